//! PostgreSQL's way to another major version: pg_dumpall for what is everybody's, pg_dump for each database, psql.
//!
//! The dump is written by the old version's programs: containers do not reach each other (D9), so those of the new one
//! would have to be fed through the edge. A later server reads what an earlier pg_dump writes.

use super::upgrade::{Moving, Upgrade, script};

/// How an addon changes its version.
pub(super) fn upgrade() -> Upgrade {
    let with_login = |text: &str| script(&format!("{LOGIN}\n{text}"));
    Upgrade {
        version: &["postgres", "--version"],
        same_files: 1,
        moving: Some(Moving {
            freeze: with_login(FREEZE),
            thaw: with_login(":"),
            obstacles: with_login(OBSTACLES),
            dump: with_login(DUMP),
            load: with_login(LOAD),
            inventory: with_login(INVENTORY),
            password_variable: "PGPASSWORD",
        }),
    }
}

/// Who the programs log in as: it has to be a superuser.
const LOGIN: &str = "set -eu; export PGHOST=127.0.0.1 PGUSER=\"$1\" PGAPPNAME='pierhead upgrade'";

const FREEZE: &str = r#"psql -XAtq -v ON_ERROR_STOP=1 -d postgres -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()" >/dev/null"#;

const OBSTACLES: &str = r#"psql -XAtq -v ON_ERROR_STOP=1 -d postgres <<'SQL'
SELECT 'the prepared transaction ' || gid || ' would be lost: commit it or roll it back' FROM pg_prepared_xacts;
SELECT 'the replication slot ' || slot_name || ' would be lost: drop it' FROM pg_replication_slots WHERE NOT temporary;
SELECT 'the subscription ' || subname || ' would be lost: drop it' FROM pg_subscription;
SELECT 'the tablespace ' || spcname || ' has no place in another container: move what is in it, then drop it'
    FROM pg_tablespace WHERE spcname !~ '^pg_';
SQL"#;

/// Roles that are there already, as those of an addon's logins and Pierhead's own are, get what they had; databases are made anew. A failure of any of
/// the programs is one of the whole.
const DUMP: &str = r#"globals=$(pg_dumpall --globals-only)
databases=$(psql -XAtq -d postgres -c "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname")
printf '%s\n' "$globals" | sed 's/^CREATE ROLE .*;$/DO $pierhead$ BEGIN & EXCEPTION WHEN duplicate_object THEN NULL; END $pierhead$;/'
printf '%s\n' "$databases" | while IFS= read -r database; do
    if [ "$database" = postgres ]; then
        printf '\n\\connect postgres\n'
        pg_dump --dbname postgres </dev/null
    else
        pg_dump --create --clean --if-exists --dbname "dbname='$(printf '%s' "$database" | sed "s/[\\\\']/\\\\&/g")'" </dev/null
    fi
done"#;

const LOAD: &str = "exec psql -Xq -v ON_ERROR_STOP=1 -d template1 -o /dev/null -f -";

/// What belongs to an extension differs from one of its versions to the next.
const INVENTORY: &str = r#"psql -XAtq -v ON_ERROR_STOP=1 -d postgres -c "SELECT 'role ' || rolname || ' ' || rolsuper || rolcanlogin || coalesce(md5(rolpassword), '-')
    FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1"
databases=$(psql -XAtq -d postgres -c "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname")
printf '%s\n' "$databases" | while IFS= read -r database; do
    printf 'database %s\n' "$database"
    psql -XAtq -v ON_ERROR_STOP=1 -d "dbname='$(printf '%s' "$database" | sed "s/[\\\\']/\\\\&/g")'" <<'SQL'
SET search_path = pg_catalog;
CREATE TEMP VIEW own AS SELECT c.oid, c.relname, c.relkind, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');
SELECT format('SELECT %L || count(*) FROM ONLY %I.%I', 'table ' || nspname || '.' || relname || ' ', nspname, relname)
    FROM own WHERE relkind IN ('r', 'm') ORDER BY nspname, relname \gexec
SELECT 'sequence ' || schemaname || '.' || sequencename || ' ' || coalesce(last_value::text, '-') FROM pg_sequences ORDER BY 1;
SELECT 'objects ' || relkind::text || ' ' || count(*) FROM own WHERE relkind IN ('i', 'I', 'p', 'v', 'f', 'c') GROUP BY relkind ORDER BY 1;
SELECT 'constraints ' || contype::text || ' ' || count(*) FROM pg_constraint WHERE conrelid IN (SELECT oid FROM own) AND contype <> 'n'
    GROUP BY contype ORDER BY 1;
SELECT 'triggers ' || count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM own);
SELECT 'functions ' || count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e');
SELECT 'extension ' || extname FROM pg_extension ORDER BY 1;
SELECT 'large objects ' || count(*) FROM pg_largeobject_metadata;
SQL
done"#;
