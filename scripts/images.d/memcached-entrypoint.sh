#!/bin/sh
# Entry point of pierhead/memcached: becomes the server, as the official image's does. In come the server's arguments, or
# a program of the image and its arguments.
#
# MEMCACHED_SASL_PWDB names a file with a line user:password for each user. The official image's server reads it itself;
# the distribution's cannot, so its users are put into a SASL database here.
set -eu

main() {
    case ${1:-} in -*) set -- memcached "$@" ;; esac
    if [ "${1:-}" = memcached ] && [ -n "${MEMCACHED_SASL_PWDB:-}" ]; then read_users; fi
    exec "$@"
}

read_users() {
    [ -r "$MEMCACHED_SASL_PWDB" ] || { echo "entrypoint: error: cannot read $MEMCACHED_SASL_PWDB" >&2; exit 1; }
    umask 077
    users=$(mktemp -d)
    while IFS=: read -r user password || [ -n "$user" ]; do
        [ -n "$user" ] || continue
        printf '%s' "$password" | saslpasswd2 -p -c -a memcached -u "$(hostname)" -f "$users/sasldb" "$user"
    done <"$MEMCACHED_SASL_PWDB"
    # A configuration that is there has its own say about all but the users.
    cat "${SASL_CONF_PATH:-/etc/sasl2}/memcached.conf" >"$users/memcached.conf" 2>/dev/null || true
    printf 'pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s\n' "$users/sasldb" >>"$users/memcached.conf"
    export SASL_CONF_PATH="$users"
    unset password
}

main "$@"
