#!/bin/sh
# Entry point of pierhead/nats: becomes the server, as the official image's does; but the server is not root. In come the
# server's arguments, or a program of the image and its arguments.
set -eu

case ${1:-} in -*) set -- nats-server "$@" ;; esac
if [ "${1:-}" = nats-server ] && [ "$(id -u)" = 0 ]; then
    # May be forbidden (a read-only or a network file system); the server then says what is wrong.
    find /data ! -user nats -exec chown nats '{}' + || true
    exec setpriv --reuid=nats --regid=nats --clear-groups "$@"
fi
exec "$@"
