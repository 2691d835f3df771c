#!/usr/bin/env bash
# Entry point of pierhead/mysql: makes the database in an empty volume, then becomes the server.
# In come the variables, secret files and init scripts of the official image; not MYSQL_ONETIME_PASSWORD. One thing is
# different: an init that was interrupted is begun again at the next start, and is never taken for a database.
set -Eeuo pipefail

data=/var/lib/mysql
socket=/run/mysqld/init.sock # its own, so that mysqladmin does not see the server that only sets up
marker_name=.pierhead-init   # a file among the data, there from before the first of them to after the last
server=                      # the server that only sets up, while it runs

say() { printf 'entrypoint: %s\n' "$*"; }
die() { printf 'entrypoint: error: %s\n' "$*" >&2; exit 1; }

main() {
    if [ "${1:0:1}" = - ]; then set -- mysqld "$@"; fi
    if [ "${1:-}" != mysqld ] || wants_information "$@"; then exec "$@"; fi
    read_variables
    if [ "$(id -u)" = 0 ]; then
        give_directories_to_mysql "$@"
        exec setpriv --reuid=mysql --regid=mysql --init-groups env HOME=/nonexistent bash "${BASH_SOURCE[0]}" "$@"
    fi
    data=$(setting datadir "$@")
    if [ ! -d "$data/mysql" ] || [ -e "$data/$marker_name" ]; then initialise "$@"; fi
    # The server has no use for them.
    for name in "${secrets[@]}"; do unset "MYSQL_$name"; done
    exec "$@"
}

# Arguments that make the server print something and end, for which no database is needed.
wants_information() {
    local argument
    for argument; do
        case $argument in -'?' | --help | --print-defaults | -V | --version) return 0 ;; esac
    done
    return 1
}

# What the server would take for a setting with these arguments.
setting() {
    local name=$1
    shift
    "$@" --verbose --help 2>/dev/null | awk -v name="$name" '$1 == name { sub(/^[^ ]+ +/, ""); print; exit }'
}

# ---- variables ----

secrets=(ROOT_PASSWORD PASSWORD)
names=("${secrets[@]}" ROOT_HOST DATABASE USER ALLOW_EMPTY_PASSWORD RANDOM_ROOT_PASSWORD INITDB_SKIP_TZINFO)

# X_FILE stands for X. Files are read before root is given up: a secret may be readable by root only.
read_variables() {
    local name
    for name in "${names[@]}"; do
        read_file "MYSQL_$name"
        export "MYSQL_$name"
    done
}

read_file() {
    local name=$1 file=${1}_FILE
    printf -v "$name" %s "${!name:-}"
    [ -n "${!file:-}" ] || return 0
    [ -z "${!name}" ] || die "both $name and $file are set; set one of them"
    [ -r "${!file}" ] || die "$file: cannot read ${!file}"
    printf -v "$name" %s "$(<"${!file}")"
    unset "$file"
}

# ---- as root ----

give_directories_to_mysql() {
    local data dir
    data=$(setting datadir "$@")
    mkdir -p "$data"
    for dir in "$data" "${socket%/*}"; do
        # May be forbidden (a read-only or a network file system); the server then says what is wrong.
        find "$dir" ! -user mysql -exec chown mysql:mysql {} + || true
    done
}

# ---- as mysql ----

initialise() {
    # PID 1 has no default action for signals: without this, stopping would have to wait for the kill.
    trap 'abandon' INT TERM
    [ -n "$MYSQL_ROOT_PASSWORD$MYSQL_ALLOW_EMPTY_PASSWORD$MYSQL_RANDOM_ROOT_PASSWORD" ] ||
        die "no password for root: set MYSQL_ROOT_PASSWORD_FILE, MYSQL_ROOT_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD" \
            "or MYSQL_ALLOW_EMPTY_PASSWORD"
    [ "$MYSQL_USER" != root ] || die "MYSQL_USER is root, whose variable is MYSQL_ROOT_PASSWORD"
    begin_afresh
    say "making the database"
    # The server does not mind files whose names begin with a dot.
    "$@" --initialize-insecure --default-time-zone=SYSTEM
    start_init_server "$@"
    create_accounts
    run_init_scripts
    stop_init_server
    sync "$data"
    rm "$data/$marker_name"
    sync "$data"
    trap - INT TERM
    say "the database is ready"
}

abandon() {
    say "interrupted; the next start begins again"
    stop_init_server || true
    exit 130
}

begin_afresh() {
    mkdir -p "$data"
    if [ -e "$data/$marker_name" ]; then
        say "an earlier set-up was interrupted; beginning again"
        # The marker goes last, so that being interrupted here changes nothing.
        find "$data" -mindepth 1 -maxdepth 1 ! -name "$marker_name" ! -name lost+found -exec rm -rf {} +
    fi
    # Somebody else's files may not be mixed with ours, the less as a second try would delete them.
    [ -z "$(find "$data" -mindepth 1 -maxdepth 1 ! -name "$marker_name" ! -name lost+found -print -quit)" ] ||
        die "$data is not empty and holds no database: is it the right volume?"
    touch "$data/$marker_name"
    sync "$data"
}

# No TCP: nobody may take a database that is being set up for one that is ready.
start_init_server() {
    "$@" --skip-networking --mysqlx=OFF --socket="$socket" --skip-replica-start --disable-log-bin \
        --default-time-zone=SYSTEM --innodb-flush-log-at-trx-commit=0 &
    server=$!
    until MYSQL_PWD='' sql_as_root --database=mysql <<<'SELECT 1' >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null || die "the server that sets up has ended"
        sleep 0.05
    done
}

stop_init_server() {
    [ -n "$server" ] || return 0
    kill "$server"
    wait "$server"
    server=
}

sql_as_root() { mysql --no-defaults --protocol=socket --socket="$socket" --user=root --default-character-set=utf8mb4 "$@"; }

# Under this name init scripts of the official image may call it, with arguments.
# shellcheck disable=SC2120
docker_process_sql() {
    local password=$MYSQL_ROOT_PASSWORD
    if [ "${1:-}" = --dont-use-mysql-root-password ]; then password='' && shift; fi
    MYSQL_PWD=$password sql_as_root ${MYSQL_DATABASE:+"--database=$MYSQL_DATABASE"} "$@"
}

create_accounts() {
    # In one transaction: there are twenty thousand statements.
    [ -n "$MYSQL_INITDB_SKIP_TZINFO" ] ||
        { echo "SET autocommit = 0;"; mysql_tzinfo_to_sql /usr/share/zoneinfo 2>/dev/null; echo "COMMIT;"; } |
        MYSQL_PWD='' sql_as_root --database=mysql
    if [ -n "$MYSQL_RANDOM_ROOT_PASSWORD" ]; then
        MYSQL_ROOT_PASSWORD=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
        say "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
        export MYSQL_ROOT_PASSWORD
    fi
    # In binary mode a password may hold anything.
    MYSQL_PWD='' sql_as_root --database=mysql --binary-mode < <(account_statements)
}

account_statements() {
    local root_host=${MYSQL_ROOT_HOST:-%} root
    root=$(quoted root)@$(quoted "$root_host")
    echo "SET SESSION sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '');"
    if [ "$root_host" != localhost ]; then
        echo "CREATE USER $root IDENTIFIED BY $(quoted "$MYSQL_ROOT_PASSWORD");"
        echo "GRANT ALL ON *.* TO $root WITH GRANT OPTION;"
    fi
    [ -z "$MYSQL_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS $(identifier "$MYSQL_DATABASE");"
    if [ -n "$MYSQL_USER" ] && [ -n "$MYSQL_PASSWORD" ]; then
        echo "CREATE USER $(quoted "$MYSQL_USER")@'%' IDENTIFIED BY $(quoted "$MYSQL_PASSWORD");"
        # In a grant an underscore stands for any character.
        [ -z "$MYSQL_DATABASE" ] ||
            echo "GRANT ALL ON $(identifier "${MYSQL_DATABASE//_/\\_}").* TO $(quoted "$MYSQL_USER")@'%';"
    fi
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$MYSQL_ROOT_PASSWORD");"
}

quoted() {
    local text=${1//\\/\\\\}
    text=${text//\'/\\\'}
    printf "'%s'" "${text//$'\n'/\\n}"
}

# shellcheck disable=SC2016
identifier() { printf '`%s`' "${1//\`/\`\`}"; }

run_init_scripts() {
    local file
    # Some init scripts call the client by this word.
    # shellcheck disable=SC2034
    mysql=(docker_process_sql)
    for file in /docker-entrypoint-initdb.d/*; do
        [ -e "$file" ] || continue
        say "$file"
        case $file in
            *.sh) run_init_shell "$file" ;;
            *.sql) docker_process_sql <"$file" ;;
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
