//! Addons whose engine is about to start with the data of an import, or has: until it is known whether that went well.

use rusqlite::{Transaction, params};

use super::{Store, StoreError};
use crate::dialect::Name;

/// An addon whose files have been changed, or may have been.
#[derive(Clone, Debug, PartialEq)]
pub struct Swapped {
    /// The addon.
    pub addon: Name,
    /// The start of its container before that (Docker's `StartedAt`).
    pub checked: Option<String>,
}

impl Store {
    /// Those of which it is not known yet.
    pub fn swaps(&self) -> Result<Vec<Swapped>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT addon, checked FROM swaps ORDER BY addon")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let mut swaps = Vec::new();
        for row in rows {
            let (name, checked) = row?;
            let bad = || StoreError::Row { name: name.clone(), column: "addon", value: name.clone() };
            swaps.push(Swapped { addon: Name::parse(&name).map_err(|_| bad())?, checked });
        }
        Ok(swaps)
    }

    /// The files of an addon are about to be changed.
    pub fn begin_swap(&self, swapped: &Swapped) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let Swapped { addon, checked } = swapped;
            let statement = "INSERT OR REPLACE INTO swaps (addon, checked) VALUES (?1, ?2)";
            transaction.execute(statement, params![addon.as_str(), checked])?;
            Ok(())
        })
    }

    /// It is known how that went.
    pub fn end_swap(&self, name: &Name) -> Result<(), StoreError> {
        self.transaction(|transaction| remove_of(transaction, name))
    }
}

pub(super) fn remove_of(transaction: &Transaction<'_>, name: &Name) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM swaps WHERE addon = ?1", [name.as_str()])?;
    Ok(())
}
