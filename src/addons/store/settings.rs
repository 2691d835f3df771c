//! Rows of the table `settings`: what engines are told otherwise than their plan says.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::{Store, StoreError};
use crate::dialect::Name;

impl Store {
    /// The settings that an addon has its own values for, by name.
    pub fn settings(&self, addon: &Name) -> Result<BTreeMap<String, String>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT name, value FROM settings WHERE addon = ?1")?;
        let rows = statement.query_map([addon.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps a value, or none any more.
    pub fn keep_setting(&self, addon: &Name, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            match value {
                Some(value) => transaction.execute(
                    "INSERT INTO settings VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3",
                    params![addon.as_str(), name, value],
                )?,
                None => transaction.execute(
                    "DELETE FROM settings WHERE addon = ?1 AND name = ?2",
                    params![addon.as_str(), name],
                )?,
            };
            Ok(())
        })
    }
}

/// Removes all rows of an addon.
pub(super) fn remove_of(transaction: &Transaction<'_>, addon: &Name) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM settings WHERE addon = ?1", [addon.as_str()])?;
    Ok(())
}
