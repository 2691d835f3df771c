//! The format of the store and how an older one becomes the present one.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;
use crate::addons::hex;

/// Each entry brings the format one version further; `user_version` counts those that were applied. Entries are
/// never changed once released, only added.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;
    CREATE TABLE addons (
        name         TEXT PRIMARY KEY,
        kind         TEXT NOT NULL,
        protocol     TEXT NOT NULL,
        plan         TEXT NOT NULL,
        image        TEXT NOT NULL,
        desired      TEXT NOT NULL,     -- what is wanted: running, restart, stopped, destroyed
        state        TEXT NOT NULL,     -- how far it is: waiting, provisioning:STEP, ready, ...
        reason       TEXT,              -- why it is in error, or why a step is tried again
        provisioned  INTEGER NOT NULL,  -- 1 once it was ready: from then on it holds data
        checked      TEXT,              -- the start of the container that last let a login in
        since        INTEGER NOT NULL,  -- all times: milliseconds since 1970, UTC
        attempts     INTEGER NOT NULL,
        retry_at     INTEGER NOT NULL,
        container_id TEXT,
        created_at   INTEGER NOT NULL,
        updated_at   INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE events (
        id         INTEGER PRIMARY KEY,
        addon      TEXT NOT NULL,
        at         INTEGER NOT NULL,
        from_state TEXT NOT NULL,
        to_state   TEXT NOT NULL,
        note       TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_of_addon ON events (addon, id);
    ",
    "
    CREATE TABLE attachments (
        app        TEXT NOT NULL,
        variable   TEXT NOT NULL,     -- in which the app is told the URL
        prefix     TEXT,              -- what stands before the kind's own variable, if anything does
        addon      TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (app, variable)
    ) STRICT;
    CREATE INDEX attachments_of_addon ON attachments (addon);
    ",
    "
    CREATE TABLE audit (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        at     INTEGER NOT NULL,
        uid    INTEGER,               -- who asked, if the kernel has told
        pid    INTEGER,
        method TEXT NOT NULL,
        path   TEXT NOT NULL,
        status INTEGER NOT NULL
    ) STRICT;
    ",
    "
    CREATE TABLE tokens (
        name       TEXT PRIMARY KEY,
        role       TEXT NOT NULL,     -- admin, owner, read-only
        app        TEXT,              -- whose owner
        sha256     BLOB NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
    ) STRICT;
    CREATE TABLE answers (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        caller    TEXT NOT NULL,
        key       TEXT NOT NULL,
        request   BLOB NOT NULL,      -- SHA-256
        operation TEXT NOT NULL,
        at        INTEGER NOT NULL,
        status    INTEGER,            -- none: not answered yet
        body      BLOB NOT NULL,
        UNIQUE (caller, key)
    ) STRICT;
    ALTER TABLE events ADD COLUMN operation TEXT;
    CREATE INDEX events_of_operation ON events (operation);
    ALTER TABLE audit ADD COLUMN operation TEXT;
    ALTER TABLE audit ADD COLUMN token TEXT;
    ALTER TABLE audit ADD COLUMN address TEXT;
    CREATE INDEX audit_of_operation ON audit (operation);
    ",
    "
    CREATE TABLE logins (
        addon        TEXT NOT NULL,
        role         TEXT NOT NULL,     -- behind the dot; empty for the application's own login
        rights       TEXT NOT NULL,     -- owner, read-write, read-only
        phase        TEXT NOT NULL,     -- making, ready, rotating, grace, ending, removing
        number       INTEGER NOT NULL,  -- rotating: the grace in milliseconds; grace: when it ends
        second       INTEGER NOT NULL,  -- 1 if the engine knows it by its second name
        end_sessions INTEGER NOT NULL,  -- 1 if sessions end with the old password
        reason       TEXT,              -- why the present step is tried again
        created_at   INTEGER NOT NULL,
        PRIMARY KEY (addon, role)
    ) STRICT;
    ",
    "
    ALTER TABLE addons ADD COLUMN generation INTEGER NOT NULL DEFAULT 1; -- which of its containers it is
    ALTER TABLE addons ADD COLUMN volume     INTEGER NOT NULL DEFAULT 1; -- the generation that made its volume
    CREATE TABLE upgrades (
        addon           TEXT PRIMARY KEY,
        from_image      TEXT NOT NULL,
        to_image        TEXT NOT NULL,
        from_version    TEXT NOT NULL,     -- as the engine says; empty until it has been asked
        to_version      TEXT NOT NULL,
        method          TEXT NOT NULL,     -- move, swap
        from_generation INTEGER NOT NULL,
        from_volume     INTEGER NOT NULL,
        to_generation   INTEGER NOT NULL,
        to_volume       INTEGER NOT NULL,
        stage           TEXT NOT NULL,
        reason          TEXT,
        hold_max_ms     INTEGER NOT NULL,
        held_at         INTEGER,           -- since when logins wait
        since           INTEGER NOT NULL,
        started_at      INTEGER NOT NULL,
        moved_bytes     INTEGER NOT NULL
    ) STRICT;
    ",
    "
    CREATE TABLE settings (
        addon TEXT NOT NULL,
        name  TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (addon, name)
    ) STRICT;
    ",
    "
    ALTER TABLE addons ADD COLUMN provider    TEXT NOT NULL DEFAULT 'docker'; -- who makes it
    ALTER TABLE addons ADD COLUMN arguments   TEXT NOT NULL DEFAULT '{}';     -- what was asked of it, as JSON
    ALTER TABLE addons ADD COLUMN provider_id TEXT;                           -- what the provider calls it
    ALTER TABLE addons ADD COLUMN backend     TEXT;                           -- host:port of an engine in no container
    UPDATE addons SET state = 'provisioned:login' WHERE state = 'provisioning:login';
    UPDATE addons SET state = 'deprovisioning' WHERE state = 'destroying';
    UPDATE events SET from_state = 'provisioned:login' WHERE from_state = 'provisioning:login';
    UPDATE events SET to_state = 'provisioned:login' WHERE to_state = 'provisioning:login';
    UPDATE events SET from_state = 'deprovisioning' WHERE from_state = 'destroying';
    UPDATE events SET to_state = 'deprovisioning' WHERE to_state = 'destroying';
    UPDATE events SET to_state = 'deprovisioned' WHERE to_state = 'destroyed';
    ",
    "
    CREATE TABLE swaps (
        addon   TEXT PRIMARY KEY,         -- whose files have been changed for those of an import
        checked TEXT                      -- the start of its container before that
    ) STRICT;
    ",
    "
    CREATE TABLE backups (
        id            TEXT PRIMARY KEY,
        addon         TEXT NOT NULL,      -- there may be none of this name any more
        kind          TEXT NOT NULL,
        plan          TEXT NOT NULL,
        image         TEXT NOT NULL,
        target        TEXT NOT NULL,
        state         TEXT NOT NULL,      -- writing, verifying, storing, good, failed, removing
        reason        TEXT,
        extension     TEXT NOT NULL,
        bytes         INTEGER NOT NULL,
        sha256        TEXT NOT NULL,
        stored_bytes  INTEGER NOT NULL,   -- encrypted, where it is
        stored_sha256 TEXT NOT NULL,
        encrypted     INTEGER NOT NULL,
        scheduled     INTEGER NOT NULL,
        started_at    INTEGER NOT NULL,
        finished_at   INTEGER
    ) STRICT;
    CREATE INDEX backups_of_addon ON backups (addon, started_at);
    CREATE TABLE provisional (
        addon TEXT PRIMARY KEY            -- goes again if Pierhead ends before what it is there for
    ) STRICT;
    CREATE TABLE schedules (
        addon    TEXT PRIMARY KEY,
        every_ms INTEGER NOT NULL         -- how often it is backed up, instead of as the configuration says; 0: never
    ) STRICT;
    ",
];

/// Sets the connection up and applies what is missing. Each step is one transaction.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    // WAL: somebody who looks at the file with sqlite3 does not stop us. FULL: a commit is on the disk when it
    // returns, also after a power failure.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (version, migration) in MIGRATIONS.iter().enumerate().skip(found.max(0) as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The identity of this installation, made up the first time.
pub(super) fn instance(connection: &Connection) -> Result<String, StoreError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        rusqlite::Error::ToSqlConversionFailure(format!("no random numbers: {error}").into())
    })?;
    let fresh = hex(&bytes);
    connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('instance', ?1)", [&fresh])?;
    let query = "SELECT value FROM meta WHERE key = 'instance'";
    let kept = connection.query_row(query, [], |row| row.get(0)).optional()?;
    Ok(kept.unwrap_or(fresh))
}
