//! Upgrades: at most one row for each addon, until it is finished or followed by another.

use rusqlite::{Connection, Row, Transaction, named_params};

use super::row::parsed;
use super::{Store, StoreError};
use crate::addons::upgrade::{Method, Place, Stage, Upgrade};
use crate::addons::{Addon, UnixMs};
use crate::dialect::Name;

impl Store {
    /// The upgrade of an addon, if there is one that is not finished.
    pub fn upgrade(&self, name: &Name) -> Result<Option<Upgrade>, StoreError> {
        one(&self.connection(), name)
    }

    /// Every upgrade, by the addon's name.
    pub fn upgrades(&self) -> Result<Vec<Upgrade>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT * FROM upgrades ORDER BY addon")?;
        let mut rows = statement.query([])?;
        let mut upgrades = Vec::new();
        while let Some(row) = rows.next()? {
            upgrades.push(read(row)?);
        }
        Ok(upgrades)
    }

    /// Keeps an upgrade that has just been asked for, in the place of one that is over.
    pub fn begin_upgrade(&self, upgrade: &Upgrade) -> Result<(), StoreError> {
        self.transaction(|transaction| write(transaction, upgrade))
    }

    /// Changes the upgrade of an addon, and with it the addon: `change` sees both as they are now. Returns the upgrade as it is
    /// then; `None` if there is none.
    pub fn change_upgrade(
        &self,
        name: &Name,
        change: impl FnOnce(&mut Upgrade, &mut Addon),
    ) -> Result<Option<Upgrade>, StoreError> {
        self.transaction(|transaction| {
            let Some(before) = one(transaction, name)? else { return Ok(None) };
            let mut after = before.clone();
            let changed = super::change_in(transaction, name, |addon| change(&mut after, addon))?;
            if after == before {
                return Ok(Some(before));
            }
            write(transaction, &after)?;
            // A reason that is given at every try is not told each time.
            if let Some(addon) = changed.filter(|_| after.stage != before.stage) {
                let reason = after.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let note = format!("upgrade to {}: {}{reason}", after.to_image, after.stage.as_str());
                super::events::add(transaction, &super::Event::noted(&addon, note), true)?;
            }
            Ok(Some(after))
        })
    }

    /// Removes the row of an upgrade of which nothing is left.
    pub fn forget_upgrade(&self, name: &Name) -> Result<(), StoreError> {
        self.transaction(|transaction| remove_of(transaction, name))
    }
}

/// Removes the upgrade of an addon, if there is one.
pub(super) fn remove_of(transaction: &Transaction<'_>, name: &Name) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM upgrades WHERE addon = ?1", [name.as_str()])?;
    Ok(())
}

fn one(connection: &Connection, name: &Name) -> Result<Option<Upgrade>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM upgrades WHERE addon = ?1")?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(read).transpose()
}

fn write(transaction: &Transaction<'_>, upgrade: &Upgrade) -> Result<(), StoreError> {
    let statement = "INSERT OR REPLACE INTO upgrades (addon, from_image, to_image, from_version, to_version, method,
         from_generation, from_volume, to_generation, to_volume, stage, reason, hold_max_ms, held_at, since, started_at,
         moved_bytes)
         VALUES (:addon, :from_image, :to_image, :from_version, :to_version, :method, :from_generation, :from_volume,
         :to_generation, :to_volume, :stage, :reason, :hold_max_ms, :held_at, :since, :started_at, :moved_bytes)";
    transaction.prepare_cached(statement)?.execute(named_params! {
        ":addon": upgrade.addon.as_str(),
        ":from_image": upgrade.from_image,
        ":to_image": upgrade.to_image,
        ":from_version": upgrade.from_version,
        ":to_version": upgrade.to_version,
        ":method": upgrade.method.as_str(),
        ":from_generation": upgrade.from.generation,
        ":from_volume": upgrade.from.volume,
        ":to_generation": upgrade.to.generation,
        ":to_volume": upgrade.to.volume,
        ":stage": upgrade.stage.as_str(),
        ":reason": upgrade.reason,
        ":hold_max_ms": upgrade.hold_max_ms,
        ":held_at": upgrade.held_at,
        ":since": upgrade.since,
        ":started_at": upgrade.started_at,
        ":moved_bytes": i64::try_from(upgrade.moved_bytes).unwrap_or(i64::MAX),
    })?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Upgrade, StoreError> {
    let place = |generation, volume| -> Result<Place, rusqlite::Error> {
        Ok(Place { generation: row.get(generation)?, volume: row.get(volume)? })
    };
    Ok(Upgrade {
        addon: parsed(row, "addon", |text| Name::parse(text).ok())?,
        from_image: row.get("from_image")?,
        to_image: row.get("to_image")?,
        from_version: row.get("from_version")?,
        to_version: row.get("to_version")?,
        method: parsed(row, "method", Method::parse)?,
        from: place("from_generation", "from_volume")?,
        to: place("to_generation", "to_volume")?,
        stage: parsed(row, "stage", Stage::parse)?,
        reason: row.get("reason")?,
        hold_max_ms: row.get("hold_max_ms")?,
        held_at: row.get::<_, Option<UnixMs>>("held_at")?,
        since: row.get("since")?,
        started_at: row.get("started_at")?,
        moved_bytes: row.get::<_, i64>("moved_bytes")?.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::addons::now_ms;
    use crate::addons::store::tests::addon;

    #[test]
    fn an_upgrade_is_kept_and_changes_together_with_its_addon() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let blog = addon("blog");
        store.create(&blog).unwrap();
        assert_eq!(store.upgrade(&blog.name).unwrap(), None);
        let place = Place { generation: 1, volume: 1 };
        let images = ("postgres:15".into(), "postgres:17".into());
        let upgrade = Upgrade::new(blog.name.clone(), images, place, 2, 1000, now_ms());
        store.begin_upgrade(&upgrade).unwrap();
        assert_eq!(store.upgrades().unwrap().as_slice(), std::slice::from_ref(&upgrade));
        let changed = store.change_upgrade(&blog.name, |upgrade, addon| {
            (upgrade.stage, upgrade.reason, upgrade.held_at) = (Stage::Settle, Some("why".into()), Some(7));
            (upgrade.method, upgrade.moved_bytes, upgrade.to_version) = (Method::Swap, 5, "17.5".into());
            (addon.generation, addon.volume, addon.image) = (2, 1, "postgres:17".into());
        });
        let changed = changed.unwrap().unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.upgrade(&blog.name).unwrap(), Some(changed));
        let now = store.addon(&blog.name).unwrap().unwrap();
        assert_eq!((now.generation, now.volume, now.image.as_str()), (2, 1, "postgres:17"));
        let events = store.events(Some(&blog.name), 0, 10).unwrap();
        assert!(events.iter().any(|event| event.note == "upgrade to postgres:17: settle: why"), "{events:?}");
        store.forget(&blog.name).unwrap();
        assert_eq!(store.upgrades().unwrap(), []);
    }
}
