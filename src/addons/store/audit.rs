//! The audit log: who has asked for what over the control socket. The latest ten thousand are kept.

use rusqlite::params;

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
        let AuditEntry { at, uid, pid, method, path, status } = entry;
        self.transaction(|transaction| {
            transaction.execute(
                "INSERT INTO audit (at, uid, pid, method, path, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![at, uid, pid, method, path, status],
            )?;
            let oldest = transaction.last_insert_rowid() - AUDIT_MAX;
            transaction.execute("DELETE FROM audit WHERE id <= ?1", [oldest])?;
            Ok(())
        })
    }

    /// The latest `count` entries, the latest last.
    pub fn audited(&self, count: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT at, uid, pid, method, path, status FROM audit ORDER BY id DESC LIMIT ?1",
        )?;
        let entries = statement.query_map([count], |row| {
            Ok(AuditEntry {
                at: row.get(0)?,
                uid: row.get(1)?,
                pid: row.get(2)?,
                method: row.get(3)?,
                path: row.get(4)?,
                status: row.get(5)?,
            })
        })?;
        let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
        entries.reverse();
        Ok(entries)
    }
}

const AUDIT_MAX: i64 = 10_000;
