//! Rows of the table `tokens`: who may use the API by what they know. A token itself is nowhere, only its SHA-256.

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::addons::UnixMs;
use crate::dialect::Name;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRow {
    /// What it is called, by people and in the audit log.
    pub name: Name,
    /// The word for its role.
    pub role: String,
    /// The app that it is for, if its role is about one.
    pub app: Option<Name>,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: UnixMs,
    /// From when on it is good for nothing.
    pub expires_at: Option<UnixMs>,
}

impl Store {
    /// Adds a token. `false`: one of that name is there already, and is left as it is.
    pub fn add_token(&self, token: &TokenRow) -> Result<bool, StoreError> {
        self.transaction(|transaction| {
            let added = transaction.execute(
                "INSERT OR IGNORE INTO tokens (name, role, app, sha256, created_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    token.name.as_str(),
                    token.role,
                    token.app.as_ref().map(Name::as_str),
                    token.sha256,
                    token.created_at,
                    token.expires_at
                ],
            )?;
            Ok(added > 0)
        })
    }

    /// Removes a token. `false`: there was none.
    pub fn remove_token(&self, name: &Name) -> Result<bool, StoreError> {
        self.transaction(|transaction| {
            Ok(transaction.execute("DELETE FROM tokens WHERE name = ?1", [name.as_str()])? > 0)
        })
    }

    /// The token with this hash.
    pub fn token(&self, sha256: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT * FROM tokens WHERE sha256 = ?1")?;
        statement.query_row([sha256], |row| Ok(read(row))).optional()?.transpose()
    }

    /// Every token, by name.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT * FROM tokens ORDER BY name")?;
        let rows = statement.query_map([], |row| Ok(read(row)))?;
        rows.collect::<Result<Vec<_>, _>>()?.into_iter().collect()
    }
}

fn read(row: &Row<'_>) -> Result<TokenRow, StoreError> {
    let name: String = row.get("name")?;
    let app: Option<String> = row.get("app")?;
    let parsed = |column: &'static str, text: &str| {
        Name::parse(text).map_err(|_| StoreError::Row { name: name.clone(), column, value: text.to_owned() })
    };
    Ok(TokenRow {
        name: parsed("name", &name)?,
        role: row.get("role")?,
        app: app.as_deref().map(|app| parsed("app", app)).transpose()?,
        sha256: row.get("sha256")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
    })
}
