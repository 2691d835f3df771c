//! MariaDB's way to another version: mariadb-dump as root, with logins and their rights. MySQL's programs write no logins,
//! so it has none yet.

use super::upgrade::{Moving, Upgrade, script};

/// How an addon changes its version.
pub(super) fn upgrade() -> Upgrade {
    let with_login = |text: &str| script(&format!("{LOGIN}\n{text}"));
    Upgrade {
        version: &["mariadbd", "--version"],
        // 10.6 and 10.11 are as different as 10.11 and 11.4.
        same_files: 2,
        moving: Some(Moving {
            freeze: with_login(FREEZE),
            thaw: with_login(THAW),
            obstacles: with_login(":"),
            dump: with_login(DUMP),
            load: with_login(LOAD),
            inventory: with_login(INVENTORY),
            password_variable: "MYSQL_PWD",
        }),
    }
}

/// `root` is let in through the socket inside the container only, with the addon's password.
const LOGIN: &str = "set -eu; sql() { mariadb --protocol=socket -u root -NB \"$@\"; }";

/// Events write by themselves, and may not any more; neither may anybody who is not root.
const FREEZE: &str = r#"sql -e 'SET GLOBAL event_scheduler = OFF; SET GLOBAL read_only = 1'
kills=$(sql -e "SELECT concat('KILL ', id, ';') FROM information_schema.processlist
    WHERE id <> connection_id() AND user NOT IN ('system user', 'event_scheduler')")
printf '%s\n' "$kills" | sql --force 2>/dev/null || :"#;

/// As the server starts; the old one is stopped after a move, and started after a rollback.
const THAW: &str = "sql -e 'SET GLOBAL read_only = 0'";

const DUMP: &str = r#"databases=$(sql -e "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY 1")
mariadb-dump --protocol=socket -u root --system=users --insert-ignore </dev/null
printf '%s\n' "$databases" | while IFS= read -r database; do
    mariadb-dump --protocol=socket -u root --single-transaction --quick --routines --triggers --events --hex-blob --add-drop-database --databases "$database" </dev/null
done"#;

/// The dump leaves users as they are that are there: those that the new engine was made with go first, so that each has the
/// password of the old one, or is locked as it was there.
const LOAD: &str = r#"drops=$(sql -e "SELECT concat('DROP USER ', quote(user), '@', quote(host), ';') FROM mysql.user WHERE user NOT IN ('root', 'mariadb.sys', 'healthcheck', '')")
printf '%s\n' "$drops" | sql
exec mariadb --protocol=socket -u root --batch mysql >/dev/null"#;

const INVENTORY: &str = r#"own="NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
sql -e "SELECT concat('login ', user, '@', host, ' ', coalesce(md5(json_value(priv, '\$.authentication_string')), '-'), ' ',
    coalesce(json_value(priv, '\$.account_locked'), 0) IN ('1', 'true')) FROM mysql.global_priv WHERE user NOT IN ('mariadb.sys', 'healthcheck', '') ORDER BY 1"
counts=$(sql --raw -e "SELECT concat('SELECT concat(', quote(concat('table ', table_schema, '.', table_name, ' ')), ', count(*)) FROM \`', replace(table_schema, '\`', '\`\`'), '\`.\`', replace(table_name, '\`', '\`\`'), '\`;')
    FROM information_schema.tables WHERE table_type IN ('BASE TABLE', 'SEQUENCE') AND table_schema $own ORDER BY table_schema, table_name")
printf '%s\n' "$counts" | sql --raw
sql -e "SELECT concat('views ', count(*)) FROM information_schema.views WHERE table_schema $own
    UNION ALL SELECT concat('routines ', count(*)) FROM information_schema.routines WHERE routine_schema $own
    UNION ALL SELECT concat('triggers ', count(*)) FROM information_schema.triggers WHERE trigger_schema $own
    UNION ALL SELECT concat('events ', count(*)) FROM information_schema.events WHERE event_schema $own
    UNION ALL SELECT concat('indexes ', count(*)) FROM information_schema.statistics WHERE table_schema $own
    UNION ALL SELECT concat('auto ', table_schema, '.', table_name, ' ', auto_increment) FROM information_schema.tables WHERE auto_increment IS NOT NULL AND table_schema $own""#;
