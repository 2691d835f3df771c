//! Rows of the table `addons` as [`Addon`]s.

use rusqlite::{Connection, Row, named_params};

use super::StoreError;
use crate::addons::lifecycle::{Desired, Life, State};
use crate::addons::{Addon, Backend, Order};
use crate::dialect::Name;

pub(super) fn all(connection: &Connection) -> Result<Vec<Addon>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM addons ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut addons = Vec::new();
    while let Some(row) = rows.next()? {
        addons.push(read(row)?);
    }
    Ok(addons)
}

pub(super) fn one(connection: &Connection, name: &Name) -> Result<Option<Addon>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM addons WHERE name = ?1")?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn insert(connection: &Connection, addon: &Addon) -> Result<(), StoreError> {
    write(
        connection,
        addon,
        "INSERT INTO addons VALUES (:name, :kind, :protocol, :plan, :image, :desired, :state, :reason,
         :provisioned, :checked, :since, :attempts, :retry_at, :container_id, :created_at, :updated_at, :generation, :volume,
         :provider, :arguments, :provider_id, :backend)",
    )
}

pub(super) fn update(connection: &Connection, addon: &Addon) -> Result<(), StoreError> {
    write(
        connection,
        addon,
        "UPDATE addons SET kind = :kind, protocol = :protocol, plan = :plan, image = :image, desired = :desired,
         state = :state, reason = :reason, provisioned = :provisioned, checked = :checked, since = :since,
         attempts = :attempts, retry_at = :retry_at, container_id = :container_id, created_at = :created_at,
         updated_at = :updated_at, generation = :generation, volume = :volume,
         provider = :provider, arguments = :arguments, provider_id = :provider_id, backend = :backend WHERE name = :name",
    )
}

fn write(connection: &Connection, addon: &Addon, statement: &str) -> Result<(), StoreError> {
    let life = &addon.life;
    connection.prepare_cached(statement)?.execute(named_params! {
        ":name": addon.name.as_str(),
        ":kind": addon.kind.as_str(),
        ":protocol": addon.protocol.as_str(),
        ":plan": addon.plan.as_str(),
        ":image": addon.image,
        ":desired": life.desired.as_str(),
        ":state": life.state.to_string(),
        ":reason": life.reason,
        ":provisioned": life.provisioned,
        ":checked": life.checked,
        ":since": life.since,
        ":attempts": life.attempts,
        ":retry_at": life.retry_at,
        ":container_id": addon.container_id,
        ":created_at": addon.created_at,
        ":updated_at": addon.updated_at,
        ":generation": addon.generation,
        ":volume": addon.volume,
        ":provider": addon.order.provider.as_str(),
        ":arguments": serde_json::Value::Object(addon.order.arguments.clone()).to_string(),
        ":provider_id": addon.order.id,
        ":backend": addon.order.backend.as_ref().map(ToString::to_string),
    })?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Addon, StoreError> {
    Ok(Addon {
        name: parsed(row, "name", |text| Name::parse(text).ok())?,
        kind: parsed(row, "kind", |text| Name::parse(text).ok())?,
        protocol: parsed(row, "protocol", |text| text.parse().ok())?,
        plan: parsed(row, "plan", |text| Name::parse(text).ok())?,
        order: order(row)?,
        image: row.get("image")?,
        life: Life {
            desired: parsed(row, "desired", Desired::parse)?,
            state: parsed(row, "state", State::parse)?,
            reason: row.get("reason")?,
            provisioned: row.get("provisioned")?,
            checked: row.get("checked")?,
            since: row.get("since")?,
            attempts: row.get("attempts")?,
            retry_at: row.get("retry_at")?,
        },
        container_id: row.get("container_id")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        generation: row.get("generation")?,
        volume: row.get("volume")?,
    })
}

fn order(row: &Row<'_>) -> Result<Order, StoreError> {
    let backend: Option<String> = row.get("backend")?;
    Ok(Order {
        provider: parsed(row, "provider", |text| Name::parse(text).ok())?,
        arguments: parsed(row, "arguments", |text| serde_json::from_str(text).ok())?,
        id: row.get("provider_id")?,
        backend: backend.map(|_| parsed(row, "backend", Backend::parse)).transpose()?,
    })
}

/// A word of a row as what it stands for. The error names the addon whose row it is.
pub(super) fn parsed<T>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, StoreError> {
    let value: String = row.get(column)?;
    match parse(&value) {
        Some(parsed) => Ok(parsed),
        None => {
            let name = row.get("name").or_else(|_| row.get("addon"))?;
            Err(StoreError::Row { name, column, value })
        }
    }
}
