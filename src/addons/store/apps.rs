//! Rows of the table `attachments`.

use rusqlite::{Connection, Transaction, params};

use super::{Store, StoreError};
use crate::addons::apps::{self, Attachment};
use crate::addons::{Addon, lifecycle::Desired, now_ms};
use crate::dialect::Name;

/// Why apps were left as they were.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such addon, or it is going.
    #[error("there is no addon called {0}")]
    NoAddon(Name),
    /// Another addon, or the same under another name, is told in that variable.
    #[error("{app} has {variable} from {addon} already", app = .0.app, variable = .0.variable, addon = .0.addon)]
    Taken(Attachment),
    /// The addon is not attached there, or not so.
    #[error("it is not attached so")]
    NotAttached,
    /// These apps use the addon that is to go.
    #[error("it is attached to {}", list(.0))]
    InUse(Vec<Attachment>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(attachments: &[Attachment]) -> String {
    let each = attachments.iter().map(|one| format!("{} ({})", one.app, one.variable));
    each.collect::<Vec<_>>().join(", ")
}

impl From<rusqlite::Error> for AttachError {
    fn from(error: rusqlite::Error) -> Self {
        AttachError::Store(error.into())
    }
}

impl Store {
    /// Every attachment, by app and variable.
    pub fn attachments(&self) -> Result<Vec<Attachment>, StoreError> {
        all(&self.connection())
    }

    /// Adds an addon that an app is told about at once.
    pub fn create_for(&self, addon: &Addon, app: &Name, kind_variable: &str) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            super::create_in(transaction, addon)?;
            let attachment = apps::attach_new(&all(transaction)?, app, &addon.name, kind_variable);
            insert(transaction, &attachment)
        })
    }

    /// Attaches an addon. Twice is once.
    pub fn attach(&self, attachment: &Attachment) -> Result<(), AttachError> {
        self.transaction(|transaction| {
            is_there(transaction, &attachment.addon)?;
            let there = all(transaction)?;
            match apps::holder(&there, &attachment.app, &attachment.variable) {
                Some(same) if same == attachment => Ok(()),
                Some(other) => Err(AttachError::Taken(other.clone())),
                None => Ok(insert(transaction, attachment)?),
            }
        })
    }

    /// Takes an attachment away.
    pub fn detach(&self, app: &Name, variable: &str) -> Result<(), AttachError> {
        self.transaction(|transaction| {
            let count = transaction.execute(
                "DELETE FROM attachments WHERE app = ?1 AND variable = ?2",
                params![app.as_str(), variable],
            )?;
            if count == 0 { Err(AttachError::NotAttached) } else { Ok(()) }
        })
    }

    /// Makes `addon` the one that the app is told in `kind_variable`, and returns the app's attachments.
    pub fn promote(
        &self,
        app: &Name,
        addon: &Name,
        kind_variable: &str,
    ) -> Result<Vec<Attachment>, AttachError> {
        self.transaction(|transaction| {
            let mut there = all(transaction)?;
            there.retain(|attachment| attachment.app == *app);
            let after = apps::promote(&there, addon, kind_variable).ok_or(AttachError::NotAttached)?;
            for gone in there.iter().filter(|attachment| !after.contains(attachment)) {
                let row = params![gone.app.as_str(), gone.variable];
                transaction.execute("DELETE FROM attachments WHERE app = ?1 AND variable = ?2", row)?;
            }
            for new in after.iter().filter(|attachment| !there.contains(attachment)) {
                insert(transaction, new)?;
            }
            Ok(after)
        })
    }

    /// Wants an addon to be destroyed, and returns its row; `None` if there is none. One that apps use is left as it is,
    /// unless it is `forced`: then they lose it.
    pub fn want_destroyed(&self, name: &Name, forced: bool) -> Result<Option<Addon>, AttachError> {
        self.transaction(|transaction| {
            let mut attached = all(transaction)?;
            attached.retain(|attachment| attachment.addon == *name);
            if !attached.is_empty() && !forced {
                return Err(AttachError::InUse(attached));
            }
            remove_of(transaction, name)?;
            let wanted = |addon: &mut Addon| addon.life.want(Desired::Destroyed, now_ms());
            Ok(super::change_in(transaction, name, wanted)?)
        })
    }
}

/// Takes all attachments of an addon away.
pub(super) fn remove_of(transaction: &Transaction<'_>, name: &Name) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM attachments WHERE addon = ?1", [name.as_str()])?;
    Ok(())
}

fn is_there(transaction: &Transaction<'_>, name: &Name) -> Result<(), AttachError> {
    let addon = super::row::one(transaction, name)?;
    let stays = addon.is_some_and(|addon| addon.life.desired != Desired::Destroyed);
    if stays { Ok(()) } else { Err(AttachError::NoAddon(name.clone())) }
}

fn insert(transaction: &Transaction<'_>, attachment: &Attachment) -> Result<(), StoreError> {
    let Attachment { app, prefix, variable, addon } = attachment;
    let prefix = prefix.as_ref().map(apps::Prefix::as_str);
    transaction.execute(
        "INSERT INTO attachments (app, variable, prefix, addon, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![app.as_str(), variable, prefix, addon.as_str(), now_ms()],
    )?;
    Ok(())
}

fn all(connection: &Connection) -> Result<Vec<Attachment>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT app, variable, prefix, addon FROM attachments ORDER BY app, variable")?;
    let mut rows = statement.query([])?;
    let mut attachments = Vec::new();
    while let Some(row) = rows.next()? {
        let (app, addon): (String, String) = (row.get("app")?, row.get("addon")?);
        let prefix: Option<String> = row.get("prefix")?;
        let bad =
            |column, value: &str| StoreError::Row { name: addon.clone(), column, value: value.to_owned() };
        attachments.push(Attachment {
            app: Name::parse(&app).map_err(|_| bad("app", &app))?,
            prefix: prefix.map(|text| text.parse().map_err(|_| bad("prefix", &text))).transpose()?,
            variable: row.get("variable")?,
            addon: Name::parse(&addon).map_err(|_| bad("addon", &addon))?,
        });
    }
    Ok(attachments)
}
