//! Rows of the table `logins`. The application's login has one from its first rotation on.

use rusqlite::{Connection, Row, Transaction, named_params, params};

use super::{Store, StoreError};
use crate::addons::logins::{Login, Phase, Rights, Role};
use crate::dialect::Name;

impl Store {
    /// The logins of an addon, the application's first. That one is always among them.
    pub fn logins(&self, addon: &Name) -> Result<Vec<Login>, StoreError> {
        of(&self.connection(), addon)
    }

    /// All rows, by addon and role.
    pub fn all_logins(&self) -> Result<Vec<Login>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT * FROM logins ORDER BY addon, role")?;
        let mut rows = statement.query([])?;
        let mut logins = Vec::new();
        while let Some(row) = rows.next()? {
            logins.push(read(row)?);
        }
        Ok(logins)
    }

    /// Changes the logins of an addon. `change` sees them as they are now and says which row is to be written, or which is to
    /// go; with an error nothing is written.
    pub fn change_logins<T, E: From<StoreError>>(
        &self,
        addon: &Name,
        change: impl FnOnce(&[Login]) -> Result<(Written, T), E>,
    ) -> Result<T, E> {
        let mut refused = None;
        let written = self.transaction(|transaction| match change(&of(transaction, addon)?) {
            Ok((Written::Nothing, answer)) => Ok(Some(answer)),
            Ok((Written::Row(login), answer)) => {
                write(transaction, &login)?;
                Ok(Some(answer))
            }
            Ok((Written::Gone(role), answer)) => {
                let row = params![addon.as_str(), role.as_str()];
                transaction.execute("DELETE FROM logins WHERE addon = ?1 AND role = ?2", row)?;
                Ok(Some(answer))
            }
            Err(error) => {
                refused = Some(error);
                Ok::<_, StoreError>(None)
            }
        })?;
        match (written, refused) {
            (Some(answer), _) => Ok(answer),
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("there is an answer or an error"),
        }
    }
}

/// What becomes of the rows.
pub enum Written {
    /// They stay as they are.
    Nothing,
    /// This one is added, or takes the place of the one of its role.
    Row(Login),
    /// The one of this role goes.
    Gone(Role),
}

/// Removes all rows of an addon.
pub(super) fn remove_of(transaction: &Transaction<'_>, addon: &Name) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM logins WHERE addon = ?1", [addon.as_str()])?;
    Ok(())
}

fn of(connection: &Connection, addon: &Name) -> Result<Vec<Login>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM logins WHERE addon = ?1 ORDER BY role")?;
    let mut rows = statement.query([addon.as_str()])?;
    let mut logins = Vec::new();
    while let Some(row) = rows.next()? {
        logins.push(read(row)?);
    }
    if logins.first().is_none_or(|first| first.role != Role::Application) {
        logins.insert(0, Login::application(addon));
    }
    Ok(logins)
}

fn write(connection: &Connection, login: &Login) -> Result<(), StoreError> {
    let (phase, number) = login.phase.to_store();
    let statement = "INSERT OR REPLACE INTO logins
        (addon, role, rights, phase, number, second, end_sessions, reason, created_at)
        VALUES (:addon, :role, :rights, :phase, :number, :second, :end_sessions, :reason, :created_at)";
    connection.prepare_cached(statement)?.execute(named_params! {
        ":addon": login.addon.as_str(),
        ":role": login.role.as_str(),
        ":rights": login.rights.as_str(),
        ":phase": phase,
        ":number": number,
        ":second": login.second,
        ":end_sessions": login.end_sessions,
        ":reason": login.reason,
        ":created_at": login.created_at,
    })?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Login, StoreError> {
    let name: String = row.get("addon")?;
    let bad = |column, value: &str| StoreError::Row { name: name.clone(), column, value: value.to_owned() };
    let (rights, phase): (String, String) = (row.get("rights")?, row.get("phase")?);
    Ok(Login {
        addon: Name::parse(&name).map_err(|_| bad("addon", &name))?,
        role: Role::from_store(row.get("role")?),
        rights: rights.parse::<Rights>().map_err(|_| bad("rights", &rights))?,
        phase: Phase::from_store(&phase, row.get("number")?).ok_or_else(|| bad("phase", &phase))?,
        second: row.get("second")?,
        end_sessions: row.get("end_sessions")?,
        reason: row.get("reason")?,
        created_at: row.get("created_at")?,
    })
}
