#!/bin/sh
# Entry point of pierhead/mosquitto: runs the command, as the official image's does. The broker gives up root by itself.
set -eu

if [ "$(id -u)" = 0 ]; then
    # May be forbidden (a read-only or a network file system); the broker then says what is wrong.
    chown -R mosquitto:mosquitto /mosquitto || true
fi
exec "$@"
