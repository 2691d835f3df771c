//! The history: every change of an addon's state, and what was wanted when. The latest few hundred of each name are kept.

use rusqlite::{Connection, Row, Rows, Transaction, params};

use super::{StoreError, operation};
use crate::addons::{Addon, UnixMs, now_ms};
use crate::dialect::Name;

/// A change of an addon's state, or of what is wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Larger for every later one; 0 for one that is not kept yet.
    pub id: i64,
    /// Whose.
    pub addon: Name,
    /// When.
    pub at: UnixMs,
    /// The state before; empty if there was no addon.
    pub from: String,
    /// The state after; `deprovisioned` if there is no addon any more.
    pub to: String,
    /// Why, if there is a reason.
    pub note: String,
    /// The operation that led to it; none if nobody had asked for anything.
    pub operation: Option<String>,
}

impl Event {
    /// An addon was asked for.
    pub(super) fn created(addon: &Addon) -> Self {
        let to = addon.life.state.to_string();
        Event { from: String::new(), note: "created".into(), ..Event::at(addon, addon.created_at, to) }
    }

    /// What the difference between two rows tells. `None`: nothing. A reason that is given again at every retry is one
    /// event.
    pub(super) fn changed(before: &Addon, after: &Addon) -> Option<Self> {
        let (from, to) = (&before.life, &after.life);
        if from.state == to.state && from.desired == to.desired && from.reason == to.reason {
            return None;
        }
        let mut note = to.reason.clone().unwrap_or_default();
        if from.desired != to.desired {
            note = format!("wanted {}", to.desired.as_str());
        }
        let event = Event::at(after, after.updated_at, to.state.to_string());
        Some(Event { from: from.state.to_string(), note, ..event })
    }

    /// Nothing is left of an addon.
    pub(super) fn forgotten(addon: &Addon) -> Self {
        Event { from: addon.life.state.to_string(), ..Event::at(addon, now_ms(), "deprovisioned".into()) }
    }

    /// Something was done with an addon that did not change its state.
    pub(super) fn noted(addon: &Addon, note: String) -> Self {
        let state = addon.life.state.to_string();
        Event { from: state.clone(), note, ..Event::at(addon, now_ms(), state) }
    }

    fn at(addon: &Addon, at: UnixMs, to: String) -> Self {
        Event {
            id: 0,
            addon: addon.name.clone(),
            at,
            from: String::new(),
            to,
            note: String::new(),
            operation: None,
        }
    }
}

/// Keeps an event, and drops the oldest of that name beyond [`EVENTS_MAX`]. It belongs to the operation that is being
/// carried out, or else - if that has not come to its end - to the one that the event before it belongs to.
pub(super) fn add(transaction: &Transaction<'_>, event: &Event, goes_on: bool) -> Result<(), StoreError> {
    let name = event.addon.as_str();
    transaction.execute(
        "INSERT INTO events (addon, at, from_state, to_state, note, operation) VALUES (?1, ?2, ?3, ?4, ?5,
         coalesce(?6, (SELECT operation FROM events WHERE addon = ?1 AND ?7 ORDER BY id DESC LIMIT 1)))",
        params![name, event.at, event.from, event.to, event.note, operation::current(), goes_on],
    )?;
    transaction.execute(
        "DELETE FROM events WHERE addon = ?1 AND id <= (SELECT id FROM events WHERE addon = ?1
         ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        params![name, EVENTS_MAX],
    )?;
    Ok(())
}

/// The latest `count` behind the one numbered `after`, the latest last; of one name, or of all.
pub(super) fn latest(
    connection: &Connection,
    name: Option<&Name>,
    after: i64,
    count: u32,
) -> Result<Vec<Event>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM events WHERE id > ?1 AND (?2 IS NULL OR addon = ?2) ORDER BY id DESC LIMIT ?3",
    )?;
    let mut events = all(statement.query(params![after, name.map(Name::as_str), count])?)?;
    events.reverse();
    Ok(events)
}

/// Those of one operation, the latest last.
pub(super) fn of_operation(connection: &Connection, operation: &str) -> Result<Vec<Event>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM events WHERE operation = ?1 ORDER BY id")?;
    all(statement.query([operation])?)
}

fn all(mut rows: Rows<'_>) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read(row)?);
    }
    Ok(events)
}

fn read(row: &Row<'_>) -> Result<Event, StoreError> {
    let name: String = row.get("addon")?;
    let bad = || StoreError::Row { name: name.clone(), column: "addon", value: name.clone() };
    Ok(Event {
        id: row.get("id")?,
        addon: Name::parse(&name).map_err(|_| bad())?,
        at: row.get("at")?,
        from: row.get("from_state")?,
        to: row.get("to_state")?,
        note: row.get("note")?,
        operation: row.get("operation")?,
    })
}

/// Events that are kept of one name.
pub(super) const EVENTS_MAX: u32 = 200;
