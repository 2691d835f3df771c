//! The audit log: who has asked for what over the control socket. The latest ten thousand are kept.

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::addons::UnixMs;

/// A request that changed something, or was told a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// When it was answered.
    pub at: UnixMs,
    /// The user who asked, as the kernel says (SO_PEERCRED); none if it does not.
    pub uid: Option<u32>,
    /// That user's process.
    pub pid: Option<i32>,
    /// The name of the token that came with it.
    pub token: Option<String>,
    /// Where it came from, if it came over TCP.
    pub address: Option<String>,
    /// The operation that it began; none if it was told a secret.
    pub operation: Option<String>,
    /// The request's method.
    pub method: String,
    /// Its path, without a query.
    pub path: String,
    /// The status it was answered with.
    pub status: u16,
}

impl Store {
    /// Keeps an entry, and drops the oldest beyond [`AUDIT_MAX`].
    pub fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let AuditEntry { at, uid, pid, token, address, operation, method, path, status } = entry;
        self.transaction(|transaction| {
            transaction.execute(
                "INSERT INTO audit (at, uid, pid, token, address, operation, method, path, status)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![at, uid, pid, token, address, operation, method, path, status],
            )?;
            let oldest = transaction.last_insert_rowid() - AUDIT_MAX;
            transaction.execute("DELETE FROM audit WHERE id <= ?1", [oldest])?;
            Ok(())
        })
    }

    /// The latest `count` entries, the latest last.
    pub fn audited(&self, count: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT * FROM audit ORDER BY id DESC LIMIT ?1")?;
        let mut entries = statement.query_map([count], read)?.collect::<Result<Vec<_>, _>>()?;
        entries.reverse();
        Ok(entries)
    }

    /// The latest request that began this operation.
    pub fn audited_operation(&self, operation: &str) -> Result<Option<AuditEntry>, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT * FROM audit WHERE operation = ?1 ORDER BY id DESC LIMIT 1")?;
        Ok(statement.query_row([operation], read).optional()?)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        at: row.get("at")?,
        uid: row.get("uid")?,
        pid: row.get("pid")?,
        token: row.get("token")?,
        address: row.get("address")?,
        operation: row.get("operation")?,
        method: row.get("method")?,
        path: row.get("path")?,
        status: row.get("status")?,
    })
}

const AUDIT_MAX: i64 = 10_000;
