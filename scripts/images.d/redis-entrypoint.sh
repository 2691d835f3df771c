#!/bin/sh
# Entry point of pierhead/redis: becomes the server, as the official image's does. In come the server's arguments, or
# a program of the image and its arguments.
set -eu

main() {
    case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac
    if [ "${1:-}" != redis-server ]; then exec "$@"; fi
    if [ "$(id -u)" = 0 ]; then
        # May be forbidden (a read-only or a network file system); the server then says what is wrong.
        find . ! -user redis -exec chown redis '{}' + || true
        exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
    fi
    # Nobody else's business, unless a mask was chosen.
    [ "$(umask)" != 0022 ] || umask 0077
    shift
    serve "$@"
}

# The official image's server is built with protected mode off. Here the argument says so, in front of all others so
# that they come after it; a configuration file has its own say.
serve() {
    case ${1:-} in
        -v | --version | -h | --help | --test-memory | --check-system) exec redis-server "$@" ;;
        '' | --*) exec redis-server --protected-mode no "$@" ;;
    esac
    if [ -f "$1" ] && grep -qi '^[[:space:]]*protected-mode[[:space:]]' "$1"; then exec redis-server "$@"; fi
    file=$1
    shift
    exec redis-server "$file" --protected-mode no "$@"
}

main "$@"
