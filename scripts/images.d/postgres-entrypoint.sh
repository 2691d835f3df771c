#!/usr/bin/env bash
# Entry point of pierhead/postgres: makes the database in an empty volume, then becomes the server.
# In come the variables, secret files and init scripts of the official image. One thing is different: an init that was
# interrupted, however, is begun again at the next start, and is never taken for a database.
set -Eeuo pipefail

socket_dir=/var/run/postgresql
init_socket_dir=/var/run/postgresql/.init # its own, so that pg_isready does not see the server that only sets up
marker_name=.pierhead-init                # a directory in PGDATA, there from before the first file to after the last

say() { printf 'entrypoint: %s\n' "$*"; }
die() { printf 'entrypoint: error: %s\n' "$*" >&2; exit 1; }

main() {
    if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
    if [ "${1:-}" != postgres ] || wants_information "$@"; then exec "$@"; fi
    read_secret_files
    if [ "$(id -u)" = 0 ]; then
        give_directories_to_postgres
        exec setpriv --reuid=postgres --regid=postgres --init-groups \
            env HOME=/var/lib/postgresql bash "${BASH_SOURCE[0]}" "$@"
    fi
    id -un >/dev/null 2>&1 || die "user $(id -u) has no name in this image: run the container as root or as 999:999"
    if [ ! -s "$PGDATA/PG_VERSION" ] || [ -e "$PGDATA/$marker_name" ]; then initialise "$@"; fi
    # The server has no use for it, and functions that a database user writes can read their environment.
    unset POSTGRES_PASSWORD PGPASSWORD
    exec "$@"
}

# Arguments that make the server print something and end, for which no database is needed.
wants_information() {
    local argument
    for argument; do
        case $argument in -'?' | --help | --describe-config | -V | --version) return 0 ;; esac
    done
    return 1
}

# ---- as root ----

# X_FILE stands for X. They are read before root is given up: a secret may be readable by root only.
read_secret_files() {
    local name file
    for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do
        file=${name}_FILE
        [ -n "${!file:-}" ] || continue
        [ -z "${!name:-}" ] || die "both $name and $file are set; set one of them"
        [ -r "${!file}" ] || die "$file: cannot read ${!file}"
        export "$name=$(<"${!file}")"
        unset "$file"
    done
}

give_directories_to_postgres() {
    local dir
    mkdir -p "$PGDATA" "$socket_dir" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"}
    for dir in "$PGDATA" "$socket_dir" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"}; do
        # May be forbidden (a read-only or a network file system); the server then says what is wrong.
        find "$dir" ! -user postgres -exec chown postgres:postgres {} + || true
    done
    chmod 700 "$PGDATA" || true
    chmod 3775 "$socket_dir" || true
}

# ---- as postgres ----

initialise() {
    # PID 1 has no default action for signals: without this, stopping would have to wait for the kill.
    trap 'abandon' INT TERM
    POSTGRES_USER=${POSTGRES_USER:-postgres}
    export POSTGRES_USER POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
    require_password
    begin_afresh
    make_cluster
    write_hba "$@"
    start_init_server "$@"
    create_database
    run_init_scripts
    stop_init_server
    # Everything is made without syncing, then synced once; only then does the marker go.
    initdb --sync-only --pgdata "$PGDATA" >/dev/null
    rmdir "$PGDATA/$marker_name"
    sync "$PGDATA"
    trap - INT TERM
    say "the database is ready"
}

abandon() {
    say "interrupted; the next start begins again"
    stop_init_server || true
    exit 130
}

require_password() {
    if [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ]; then
        say "warning: POSTGRES_HOST_AUTH_METHOD=trust lets everybody who reaches the port in without a password"
    elif [ -z "${POSTGRES_PASSWORD:-}" ]; then
        die "no password for the superuser: set POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD" \
            "(or, where nobody else can reach the port, POSTGRES_HOST_AUTH_METHOD=trust)"
    fi
}

begin_afresh() {
    mkdir -p "$PGDATA"
    if [ -e "$PGDATA/$marker_name" ]; then
        say "an earlier set-up was interrupted; beginning again"
        # The marker goes last, so that being interrupted here changes nothing.
        find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name "$marker_name" ! -name lost+found -exec rm -rf {} +
        [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || find "$POSTGRES_INITDB_WALDIR" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
        rm -rf "${PGDATA:?}/$marker_name"
    fi
    # Somebody else's files may not be mixed with ours, the less as a second try would delete them.
    [ -z "$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)" ] ||
        die "$PGDATA is not empty and holds no database: is it the right volume?"
    mkdir "$PGDATA/$marker_name"
}

# initdb wants an empty directory, which PGDATA with the marker in it is not: it works inside the marker, and the
# files then move up.
make_cluster() {
    local auth=scram-sha-256 new=$PGDATA/$marker_name/new arguments=()
    # With no password at all, asking for one locally would lock out the set-up itself.
    if [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ]; then auth=trust; fi
    # As in the official image, the variable holds shell words.
    eval "arguments=(${POSTGRES_INITDB_ARGS:-})"
    say "making the database cluster"
    [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || arguments+=(--waldir "$POSTGRES_INITDB_WALDIR")
    [ -z "${POSTGRES_PASSWORD:-}" ] || arguments=(--pwfile /dev/fd/3 "${arguments[@]}")
    # What it prints besides errors is about a plain directory, and about syncing, which comes later.
    initdb --pgdata "$new" --username "$POSTGRES_USER" --auth-host "$auth" --auth-local "$auth" --no-sync \
        --no-instructions "${arguments[@]}" 3< <(printf '%s\n' "${POSTGRES_PASSWORD:-}") >/dev/null
    find "$new" -mindepth 1 -maxdepth 1 -exec mv -t "$PGDATA" {} +
    rmdir "$new"
    chmod 700 "$PGDATA" || true
}

write_hba() {
    local method=${POSTGRES_HOST_AUTH_METHOD:-}
    shift
    [ -n "$method" ] || method=$(postgres -C password_encryption "$@")
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# No TCP: nobody may take a database that is being set up for one that is ready.
start_init_server() {
    shift
    rm -rf "$init_socket_dir"
    mkdir -m 700 "$init_socket_dir"
    export PGHOST=$init_socket_dir PGPASSWORD=${POSTGRES_PASSWORD:-}
    set -- "$@" -c listen_addresses= -c "unix_socket_directories=$init_socket_dir" -p "${PGPORT:-5432}" -F
    NOTIFY_SOCKET='' pg_ctl --pgdata "$PGDATA" --options "$(printf '%q ' "$@")" --wait --silent start
}

stop_init_server() {
    pg_ctl --pgdata "$PGDATA" --mode fast --wait --silent stop
    rm -rf "$init_socket_dir"
    unset PGHOST PGPASSWORD
}

create_database() {
    [ "$POSTGRES_DB" = postgres ] || docker_process_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db"'
}

# Under this name init scripts of the official image may call it. Of two --dbname the last one counts.
docker_process_sql() {
    psql --set ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"
}

run_init_scripts() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        [ -e "$file" ] || continue
        say "$file"
        case $file in
            *.sh) run_init_shell "$file" ;;
            *.sql) docker_process_sql --file "$file" ;;
            *.sql.gz) gunzip -c "$file" | docker_process_sql ;;
            *) say "ignored: not .sh, .sql or .sql.gz" ;;
        esac
    done
}

# One that is not executable is sourced: it may set variables for those that follow.
run_init_shell() {
    # shellcheck source=/dev/null
    if [ -x "$1" ]; then "$1"; else . "$1"; fi
}

main "$@"
