#!/bin/sh
# Entry point of pierhead/mongodb-stand-in: becomes the server. In come the server's arguments, or a program of the
# image and its arguments.
set -eu

main() {
    case ${1:-} in -*) set -- mongod "$@" ;; esac
    if [ "${1:-}" != mongod ]; then exec "$@"; fi
    if [ "$(id -u)" = 0 ]; then
        find /data/db ! -user mongodb -exec chown mongodb '{}' +
        exec setpriv --reuid=mongodb --regid=mongodb --clear-groups "$0" "$@"
    fi
    shift
    exec python3 /usr/local/lib/mongodb/server.py --bind 0.0.0.0 --data /data/db --init /docker-entrypoint-initdb.d "$@"
}

main "$@"
