//! Backups, and addons that are there for the sake of something that is going on.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};

use super::row::parsed;
use super::{Store, StoreError};
use crate::addons::Addon;
use crate::addons::backups::{Backup, State};
use crate::dialect::Name;

impl Store {
    /// Backups, the latest last; of one addon or of all. Those of an earlier addon of that name are among them.
    pub fn backups(&self, addon: Option<&Name>) -> Result<Vec<Backup>, StoreError> {
        let connection = self.connection();
        let query = "SELECT * FROM backups WHERE ?1 IS NULL OR addon = ?1 ORDER BY started_at, id";
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query(params![addon.map(Name::as_str)])?;
        let mut backups = Vec::new();
        while let Some(row) = rows.next()? {
            backups.push(read(row)?);
        }
        Ok(backups)
    }

    /// One backup.
    pub fn backup(&self, id: &str) -> Result<Option<Backup>, StoreError> {
        one(&self.connection(), id)
    }

    /// Keeps a backup that has just been begun, or has been found.
    pub fn add_backup(&self, backup: &Backup) -> Result<(), StoreError> {
        self.transaction(|transaction| write(transaction, backup))
    }

    /// Changes a backup and returns it as it is then; `None` if there is none.
    pub fn change_backup(
        &self,
        id: &str,
        change: impl FnOnce(&mut Backup),
    ) -> Result<Option<Backup>, StoreError> {
        self.transaction(|transaction| {
            let Some(mut backup) = one(transaction, id)? else { return Ok(None) };
            change(&mut backup);
            write(transaction, &backup)?;
            Ok(Some(backup))
        })
    }

    /// Removes the row of a backup of which nothing is left.
    pub fn forget_backup(&self, id: &str) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            transaction.execute("DELETE FROM backups WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// How often an addon is backed up, in milliseconds, 0 for never. `None`: as the configuration says.
    pub fn schedule(&self, addon: &Name) -> Result<Option<i64>, StoreError> {
        let query = "SELECT every_ms FROM schedules WHERE addon = ?1";
        Ok(self.connection().query_row(query, [addon.as_str()], |row| row.get(0)).optional()?)
    }

    /// Changes that.
    pub fn keep_schedule(&self, addon: &Name, every_ms: Option<i64>) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let addon = addon.as_str();
            match every_ms {
                Some(every_ms) => transaction
                    .execute("INSERT OR REPLACE INTO schedules VALUES (?1, ?2)", params![addon, every_ms])?,
                None => transaction.execute("DELETE FROM schedules WHERE addon = ?1", [addon])?,
            };
            Ok(())
        })
    }

    /// Adds an addon that is to go again unless [`Store::keep_provisional`] is called before this Pierhead ends.
    pub fn create_provisional(&self, addon: &Addon) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            super::create_in(transaction, addon)?;
            transaction.execute("INSERT INTO provisional (addon) VALUES (?1)", [addon.name.as_str()])?;
            Ok(())
        })
    }

    /// From now on it is an addon as any other.
    pub fn keep_provisional(&self, name: &Name) -> Result<(), StoreError> {
        self.transaction(|transaction| remove_of(transaction, name))
    }

    /// Addons that are there for the sake of something that is going on.
    pub fn provisional(&self) -> Result<Vec<Name>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT addon FROM provisional ORDER BY addon")?;
        let mut names = Vec::new();
        for name in statement.query_map([], |row| row.get::<_, String>(0))? {
            let name = name?;
            let bad = || StoreError::Row { name: name.clone(), column: "addon", value: name.clone() };
            names.push(Name::parse(&name).map_err(|_| bad())?);
        }
        Ok(names)
    }
}

pub(super) fn remove_of(transaction: &Transaction<'_>, name: &Name) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM provisional WHERE addon = ?1", [name.as_str()])?;
    Ok(())
}

fn one(connection: &Connection, id: &str) -> Result<Option<Backup>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM backups WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read).transpose()
}

fn write(transaction: &Transaction<'_>, backup: &Backup) -> Result<(), StoreError> {
    let statement = "INSERT OR REPLACE INTO backups (id, addon, kind, plan, image, target, state, reason, extension, bytes,
         sha256, stored_bytes, stored_sha256, encrypted, scheduled, started_at, finished_at)
         VALUES (:id, :addon, :kind, :plan, :image, :target, :state, :reason, :extension, :bytes,
         :sha256, :stored_bytes, :stored_sha256, :encrypted, :scheduled, :started_at, :finished_at)";
    transaction.prepare_cached(statement)?.execute(named_params! {
        ":id": backup.id,
        ":addon": backup.addon.as_str(),
        ":kind": backup.kind.as_str(),
        ":plan": backup.plan.as_str(),
        ":image": backup.image,
        ":target": backup.target.as_str(),
        ":state": backup.state.as_str(),
        ":reason": backup.reason,
        ":extension": backup.extension,
        ":bytes": i64::try_from(backup.bytes).unwrap_or(i64::MAX),
        ":sha256": backup.sha256,
        ":stored_bytes": i64::try_from(backup.stored_bytes).unwrap_or(i64::MAX),
        ":stored_sha256": backup.stored_sha256,
        ":encrypted": backup.encrypted,
        ":scheduled": backup.scheduled,
        ":started_at": backup.started_at,
        ":finished_at": backup.finished_at,
    })?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Backup, StoreError> {
    let name = |text: &str| Name::parse(text).ok();
    Ok(Backup {
        id: row.get("id")?,
        addon: parsed(row, "addon", name)?,
        kind: parsed(row, "kind", name)?,
        plan: parsed(row, "plan", name)?,
        image: row.get("image")?,
        target: parsed(row, "target", name)?,
        state: parsed(row, "state", State::parse)?,
        reason: row.get("reason")?,
        extension: row.get("extension")?,
        bytes: row.get::<_, i64>("bytes")?.unsigned_abs(),
        sha256: row.get("sha256")?,
        stored_bytes: row.get::<_, i64>("stored_bytes")?.unsigned_abs(),
        stored_sha256: row.get("stored_sha256")?,
        encrypted: row.get("encrypted")?,
        scheduled: row.get("scheduled")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::addons::backups::Manifest;
    use crate::addons::store::tests::addon;

    #[test]
    fn a_backup_is_kept_and_its_manifest_tells_the_same() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let blog = addon("blog");
        let backup = Backup {
            id: "blog-20261129T030000Z-3f2a".into(),
            addon: blog.name.clone(),
            kind: blog.kind.clone(),
            plan: blog.plan.clone(),
            image: "postgres:17".into(),
            target: Name::parse("local").unwrap(),
            state: State::Storing,
            reason: None,
            extension: "dump.age".into(),
            bytes: 5,
            sha256: "ab".into(),
            stored_bytes: 7,
            stored_sha256: "cd".into(),
            encrypted: true,
            scheduled: false,
            started_at: 1000,
            finished_at: None,
        };
        store.add_backup(&backup).unwrap();
        let done = |backup: &mut Backup| (backup.state, backup.finished_at) = (State::Good, Some(1000));
        let changed = store.change_backup(&backup.id, done).unwrap().unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.backup(&backup.id).unwrap().as_ref(), Some(&changed));
        assert_eq!(store.backups(Some(&Name::parse("other").unwrap())).unwrap(), []);
        let text = serde_json::to_vec(&Manifest::of(&changed)).unwrap();
        let found = Manifest::parse(&text).unwrap();
        assert_eq!(found.clone().into_backup(&backup.target), changed);
        for id in ["../blog", "blog-/../../x", "other-1", "blog"] {
            let bad = Manifest { id: id.into(), ..found.clone() };
            assert!(Manifest::parse(&serde_json::to_vec(&bad).unwrap()).is_err(), "{id}");
        }
        store.forget_backup(&backup.id).unwrap();
        assert_eq!(store.backups(None).unwrap(), []);
    }

    #[test]
    fn what_is_provisional_is_until_it_is_kept_or_gone() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for name in ["one", "two"] {
            store.create_provisional(&addon(name)).unwrap();
        }
        store.keep_provisional(&addon("one").name).unwrap();
        assert_eq!(store.provisional().unwrap(), [addon("two").name]);
        store.forget(&addon("two").name).unwrap();
        assert_eq!(store.provisional().unwrap(), []);
        assert!(store.addon(&addon("one").name).unwrap().is_some());
    }
}
