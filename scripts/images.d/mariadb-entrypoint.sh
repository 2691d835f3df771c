#!/usr/bin/env bash
# Entry point of pierhead/mariadb: makes the database in an empty volume, then becomes the server.
# In come the variables, secret files and init scripts of the official image; not its variables for replication, upgrades
# and the health check. One thing is different: an init that was interrupted is begun again at the next start, and is
# never taken for a database.
set -Eeuo pipefail

data=/var/lib/mysql
socket=/run/mysqld/init.sock # its own, so that mariadb-admin does not see the server that only sets up
marker_name=.pierhead-init   # a file among the data, there from before the first of them to after the last
server=                      # the server that only sets up, while it runs

say() { printf 'entrypoint: %s\n' "$*"; }
die() { printf 'entrypoint: error: %s\n' "$*" >&2; exit 1; }

main() {
    if [ "${1:0:1}" = - ]; then set -- mariadbd "$@"; fi
    if [ "${1:-}" = mysqld ]; then set -- mariadbd "${@:2}"; fi
    if [ "${1:-}" != mariadbd ] || wants_information "$@"; then exec "$@"; fi
    read_variables
    if [ "$(id -u)" = 0 ]; then
        give_directories_to_mysql "$@"
        exec setpriv --reuid=mysql --regid=mysql --init-groups env HOME=/nonexistent bash "${BASH_SOURCE[0]}" "$@"
    fi
    data=$(setting datadir "$@")
    if [ ! -d "$data/mysql" ] || [ -e "$data/$marker_name" ]; then initialise "$@"; fi
    # The server has no use for them.
    for name in "${secrets[@]}"; do unset "MARIADB_$name" "MYSQL_$name"; done
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

secrets=(ROOT_PASSWORD ROOT_PASSWORD_HASH PASSWORD PASSWORD_HASH)
texts=(ROOT_HOST DATABASE USER)
switches=(ALLOW_EMPTY_ROOT_PASSWORD RANDOM_ROOT_PASSWORD INITDB_SKIP_TZINFO)

# MARIADB_X counts before MYSQL_X, and X_FILE stands for X. Files are read before root is given up: a secret may be
# readable by root only. Afterwards both names hold the same, as init scripts may use either.
read_variables() {
    local name
    for name in "${secrets[@]}" "${texts[@]}"; do
        read_file "MYSQL_$name"
        read_file "MARIADB_$name"
        same "MARIADB_$name" "MYSQL_$name"
    done
    for name in "${switches[@]}"; do
        # This one lost a word on the way.
        same "MARIADB_$name" "MYSQL_${name/EMPTY_ROOT/EMPTY}"
    done
}

read_file() {
    local name=$1 file=${1}_FILE
    [ -n "${!file:-}" ] || return 0
    [ -z "${!name:-}" ] || die "both $name and $file are set; set one of them"
    [ -r "${!file}" ] || die "$file: cannot read ${!file}"
    export "$name=$(<"${!file}")"
    unset "$file"
}

same() {
    local new=$1 old=$2
    export "$new=${!new:-${!old:-}}"
    export "$old=${!new}"
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
    require_password
    begin_afresh
    say "making the database"
    mariadb-install-db --datadir="$data" --rpm --auth-root-authentication-method=normal --skip-test-db \
        "${@:2}" --skip-log-bin --innodb-flush-log-at-trx-commit=0 >/dev/null
    start_init_server "$@"
    create_accounts
    run_init_scripts
    finish_root
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

require_password() {
    local ways=0 name
    for name in ROOT_PASSWORD ROOT_PASSWORD_HASH ALLOW_EMPTY_ROOT_PASSWORD RANDOM_ROOT_PASSWORD; do
        name=MARIADB_$name
        [ -z "${!name}" ] || ways=$((ways + 1))
    done
    [ $ways -gt 0 ] || die "no password for root: set MARIADB_ROOT_PASSWORD_FILE, MARIADB_ROOT_PASSWORD," \
        "MARIADB_ROOT_PASSWORD_HASH, MARIADB_RANDOM_ROOT_PASSWORD or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD"
    [ -z "$MARIADB_ROOT_PASSWORD_HASH" ] || [ $ways -eq 1 ] ||
        die "MARIADB_ROOT_PASSWORD_HASH and another root password are set; set one of them"
    [ -z "$MARIADB_PASSWORD" ] || [ -z "$MARIADB_PASSWORD_HASH" ] ||
        die "both MARIADB_PASSWORD and MARIADB_PASSWORD_HASH are set; set one of them"
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
    "$@" --skip-networking --socket="$socket" --skip-slave-start --wsrep-on=OFF --expire-logs-days=0 \
        --loose-innodb-buffer-pool-load-at-startup=0 --loose-innodb-buffer-pool-dump-at-shutdown=0 \
        --innodb-flush-log-at-trx-commit=0 &
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

sql_as_root() { mariadb --no-defaults --protocol=socket --socket="$socket" --user=root --default-character-set=utf8mb4 "$@"; }

# Under this name init scripts of the official image may call it, with arguments.
# shellcheck disable=SC2120
docker_process_sql() {
    local password=$MARIADB_ROOT_PASSWORD
    if [ "${1:-}" = --dont-use-mysql-root-password ]; then password='' && shift; fi
    MYSQL_PWD=$password sql_as_root ${MARIADB_DATABASE:+"--database=$MARIADB_DATABASE"} "$@"
}

create_accounts() {
    [ -n "$MARIADB_INITDB_SKIP_TZINFO" ] ||
        mariadb-tzinfo-to-sql --skip-write-binlog /usr/share/zoneinfo 2>/dev/null | MYSQL_PWD='' sql_as_root --database=mysql
    if [ -n "$MARIADB_RANDOM_ROOT_PASSWORD" ]; then
        MARIADB_ROOT_PASSWORD=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
        say "GENERATED ROOT PASSWORD: $MARIADB_ROOT_PASSWORD"
    fi
    export MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD=$MARIADB_ROOT_PASSWORD
    # In binary mode a password may hold anything.
    MYSQL_PWD='' sql_as_root --database=mysql --binary-mode < <(account_statements)
}

account_statements() {
    local root_host=${MARIADB_ROOT_HOST:-%} root
    root=$(quoted root)@$(quoted "$root_host")
    echo "SET SESSION sql_log_bin = 0;"
    echo "SET SESSION sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '');"
    # With names by host there would be two roots more than one knows of.
    echo "DELETE FROM mysql.proxies_priv WHERE host <> 'localhost';"
    echo "DELETE FROM mysql.global_priv WHERE NOT (user IN ('root', 'mysql', 'mariadb.sys') AND host = 'localhost');"
    echo "FLUSH PRIVILEGES;"
    if [ "$root_host" != localhost ]; then
        echo "CREATE USER $root $(identified "$MARIADB_ROOT_PASSWORD" "$MARIADB_ROOT_PASSWORD_HASH");"
        echo "GRANT ALL ON *.* TO $root WITH GRANT OPTION;"
        echo "GRANT PROXY ON ''@'%' TO $root WITH GRANT OPTION;"
    fi
    echo "SET PASSWORD FOR 'root'@'localhost' = PASSWORD($(quoted "$MARIADB_ROOT_PASSWORD"));"
    [ -z "$MARIADB_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS $(identifier "$MARIADB_DATABASE");"
    if [ -n "$MARIADB_USER" ] && [ -n "$MARIADB_PASSWORD$MARIADB_PASSWORD_HASH" ]; then
        echo "CREATE USER $(quoted "$MARIADB_USER")@'%' $(identified "$MARIADB_PASSWORD" "$MARIADB_PASSWORD_HASH");"
        # In a grant an underscore stands for any character.
        [ -z "$MARIADB_DATABASE" ] ||
            echo "GRANT ALL ON $(identifier "${MARIADB_DATABASE//_/\\_}").* TO $(quoted "$MARIADB_USER")@'%';"
    fi
}

# How an account is told from others: by a password, or by what is stored of one.
identified() {
    if [ -n "$2" ]; then echo "IDENTIFIED BY PASSWORD $(quoted "$2")"; else echo "IDENTIFIED BY $(quoted "$1")"; fi
}

quoted() {
    local text=${1//\\/\\\\}
    text=${text//\'/\\\'}
    printf "'%s'" "${text//$'\n'/\\n}"
}

# shellcheck disable=SC2016
identifier() { printf '`%s`' "${1//\`/\`\`}"; }

# Of a hash nobody knows the password, so it comes when the init scripts have run.
finish_root() {
    [ -n "$MARIADB_ROOT_PASSWORD_HASH" ] || return 0
    MYSQL_PWD='' sql_as_root --binary-mode < <(
        echo "SET SESSION sql_log_bin = 0;"
        echo "SET PASSWORD FOR 'root'@'localhost' = $(quoted "$MARIADB_ROOT_PASSWORD_HASH");"
    )
}

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
