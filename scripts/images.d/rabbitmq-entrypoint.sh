#!/usr/bin/env bash
# Entry point of pierhead/rabbitmq: becomes the server, as the official image's does. In come the server's own variables
# (RABBITMQ_DEFAULT_USER, _PASS, _VHOST, RABBITMQ_NODENAME, ...) and the files in /etc/rabbitmq/conf.d, or a program of
# the image and its arguments.
set -euo pipefail

conf=/etc/rabbitmq/conf.d

main() {
    if [[ $1 == rabbitmq* ]] && [ "$(id -u)" = 0 ]; then
        # May be forbidden (a read-only or a network file system); the server then says what is wrong.
        find "$RABBITMQ_DATA_DIR" ! -user rabbitmq -exec chown rabbitmq '{}' + || true
        exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "${BASH_SOURCE[0]}" "$@"
    fi
    if [ "$1" = rabbitmq-server ]; then
        refuse_what_was_taken_once
        vhost_of_amqp_1_0
    fi
    if [ "$(hostname)" != "$(hostname -s)" ]; then export RABBITMQ_USE_LONGNAME=${RABBITMQ_USE_LONGNAME:-true}; fi
    # Makes the start-up script become the server instead of waiting for it.
    export RUNNING_UNDER_SYSTEMD=true
    exec "$@"
}

# Since 3.9 the official image refuses these, too: taken for granted, they would leave a server with a known password.
refuse_what_was_taken_once() {
    local name
    for name in RABBITMQ_DEFAULT_PASS_FILE RABBITMQ_DEFAULT_USER_FILE; do
        [ -z "${!name:-}" ] || {
            echo "entrypoint: error: $name is not taken any more: put default_user and default_pass into a file in $conf" >&2
            exit 1
        }
    done
}

# In 4.x a client of AMQP 1.0 that names no virtual host gets the server's default; in 3.x that is a setting of its own.
vhost_of_amqp_1_0() {
    local vhost=${RABBITMQ_DEFAULT_VHOST:-}
    [ -n "$vhost" ] || vhost=$(sed -n 's/^[[:space:]]*default_vhost[[:space:]]*=[[:space:]]*//p' "$conf"/*.conf | tail -n 1)
    [ -z "$vhost" ] || echo "amqp1_0.default_vhost = $vhost" >"$conf/15-amqp1_0.conf"
}

main "$@"
