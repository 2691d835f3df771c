//! What an addon is: its row, its life, its kind, its secret, and the Docker objects it is made of.
//!
//! In comes what somebody wants ([`lifecycle::Desired`], written to the [`store`] before anything else happens);
//! out go Docker calls that make it so. The decisions are in [`lifecycle`], which knows no IO; everything
//! else here only reads or carries out.

pub mod apps;
pub mod archives;
pub mod backups;
pub(crate) mod crash;
pub mod kinds;
pub mod lifecycle;
pub mod logins;
pub mod order;
mod password;
pub mod providers;
pub mod provision;
mod random_name;
pub mod secrets;
pub mod store;
pub mod upgrade;

use crate::dialect::{Name, Protocol};
use lifecycle::Life;
pub use order::{Arguments, Backend, Order};
pub use random_name::random_name;

/// Milliseconds since 1970, UTC.
pub type UnixMs = i64;

/// One addon: its row in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Addon {
    /// What it is called, by people, by Docker and in logins.
    pub name: Name,
    /// The engine, an entry of [`kinds::ALL`]; or what else it is, such as `secret`.
    pub kind: Name,
    /// The protocol whose port of the edge leads to it; [`Protocol::None`] where none does.
    pub protocol: Protocol,
    /// How large it may be; an entry of the configuration.
    pub plan: Name,
    /// Who makes it.
    pub order: Order,
    /// The image it was created with; empty where there is none. A later change of the configuration does not change it.
    pub image: String,
    /// What is wanted of it and how far it has come.
    pub life: Life,
    /// The container, once there is one (full Docker id).
    pub container_id: Option<String>,
    /// When it was asked for.
    pub created_at: UnixMs,
    /// When its row last changed.
    pub updated_at: UnixMs,
    /// Which of its containers it is: 1 is what it was created with, each upgrade makes a further one.
    pub generation: u32,
    /// The generation that made the volume that it uses.
    pub volume: u32,
}

impl Addon {
    /// The same addon where an upgrade has it, or will have it.
    pub fn at(&self, place: upgrade::Place, image: &str) -> Self {
        let upgrade::Place { generation, volume } = place;
        Addon { generation, volume, image: image.to_owned(), ..self.clone() }
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The present, in the unit of the store.
pub fn now_ms() -> UnixMs {
    jiff::Timestamp::now().as_millisecond()
}
