//! What a listener says about the servers behind it, and the greeting that follows from it. Drivers decide by the
//! version how to talk to a server, and what is offered in the greeting holds for the whole connection: so one flavour
//! per port, and the oldest version of all servers behind it.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use serde::Deserialize;

use super::capability::{self, CLIENT_MYSQL, SSL};
use super::packet::{packet, put_string};
use crate::dialect::tls::{Gate, StartTls};

/// What the servers behind a port are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// MariaDB.
    Mariadb,
    /// MySQL, and what descends from it.
    Mysql,
}

/// A server's version: three numbers, and what a vendor puts behind them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Version {
    text: Box<str>,
    numbers: [u16; 3],
}

/// Fills its argument with bytes that nobody can foretell.
#[derive(Clone, Copy)]
pub struct Random(pub fn(&mut [u8]) -> io::Result<()>);

/// What the edge says it is at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    flavour: Flavour,
    /// As it goes over the wire.
    version: Arc<str>,
    offer: Offer,
    /// The collation that a client uses if it has no opinion.
    collation: u8,
    /// By which plugin most accounts log in. A client prepares for it, and is asked for another one if need be.
    plugin: &'static str,
    random: Random,
    tls: StartTls,
}

/// The capability flags of a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) flags: u32,
    /// MariaDB's further flags.
    pub(super) mariadb: u32,
}

impl Settings {
    /// A port for servers of `flavour`, the oldest of which is of `version`. By default a MariaDB; the default version
    /// is the oldest that its makers still care for.
    pub fn new(flavour: Option<Flavour>, version: Option<Version>, random: Random) -> Self {
        let flavour = flavour.unwrap_or(Flavour::Mariadb);
        let version = version.unwrap_or_else(|| Version::default_of(flavour));
        let modern = flavour == Flavour::Mysql && version.numbers >= [8, 0, 0];
        Settings {
            flavour,
            version: version.on_the_wire(flavour).into(),
            offer: Offer::of(flavour, &version),
            collation: if modern { UTF8MB4_0900_AI_CI } else { UTF8MB4_GENERAL_CI },
            plugin: if modern { CACHING_SHA2 } else { "mysql_native_password" },
            random,
            tls: StartTls::Off,
        }
    }

    /// The same port, with TLS if it is offered.
    ///
    /// In TLS nobody can ask the client to hash once more, with the server's nonce, but the server itself. It does so
    /// if the client begins with another plugin than its account's; and with this plugin, which sends the password
    /// itself if the hash is wrong, it matters to no account.
    pub fn offering(mut self, tls: StartTls) -> Self {
        if tls != StartTls::Off {
            self.offer.flags |= SSL;
            self.plugin = CACHING_SHA2;
        }
        Settings { tls, ..self }
    }

    /// What the servers behind the port are.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    pub(super) fn offer(&self) -> Offer {
        self.offer
    }

    /// A gate for one connection, if TLS is offered.
    pub(super) fn gate(&self) -> Option<Gate> {
        self.tls.gate()
    }

    /// The greeting for one connection: `Protocol::HandshakeV10`, the first packet of all.
    pub(super) fn greeting(&self) -> io::Result<Bytes> {
        let mut random = [0; NONCE_LEN + 1];
        (self.random.0)(&mut random)?;
        let (nonce, id) = random.split_at_mut(NONCE_LEN);
        // One half is read as a string, so a zero byte may not be among them, and servers send seven bits.
        nonce.iter_mut().for_each(|byte| *byte = b'0' + (*byte & 63));
        let (first, second) = nonce.split_at(NONCE_FIRST_LEN);
        let [flags_0, flags_1, flags_2, flags_3] = self.offer.flags.to_le_bytes();
        Ok(packet(0, |out| {
            out.put_u8(PROTOCOL_VERSION);
            put_string(out, self.version.as_bytes());
            out.put_u32_le(ID_MIN | u32::from(id.first().copied().unwrap_or_default()));
            put_string(out, first);
            out.put_slice(&[flags_0, flags_1, self.collation]);
            out.put_u16_le(STATUS_AUTOCOMMIT);
            out.put_slice(&[flags_2, flags_3, NONCE_LEN as u8 + 1]);
            out.put_bytes(0, 6);
            out.put_u32_le(self.offer.mariadb);
            put_string(out, second);
            put_string(out, self.plugin.as_bytes());
        }))
    }
}

impl Offer {
    fn of(flavour: Flavour, version: &Version) -> Self {
        let since = |numbers| version.numbers >= numbers;
        let (modern, mariadb) = match flavour {
            Flavour::Mysql => (since([5, 7, 5]), 0),
            Flavour::Mariadb if since([10, 6, 0]) => (true, capability::MARIADB_10_6),
            Flavour::Mariadb if since([10, 5, 2]) => (true, capability::MARIADB_10_5),
            Flavour::Mariadb if since([10, 2, 0]) => (true, capability::MARIADB_10_2),
            Flavour::Mariadb => (false, 0),
        };
        let too_new = if modern { 0 } else { capability::FROM_MYSQL_5_7 };
        let other = if flavour == Flavour::Mariadb { CLIENT_MYSQL } else { 0 };
        Offer { flags: capability::COMMON & !too_new & !other, mariadb }
    }
}

impl Version {
    fn default_of(flavour: Flavour) -> Self {
        let (text, numbers) = match flavour {
            Flavour::Mariadb => ("10.11.0", [10, 11, 0]),
            Flavour::Mysql => ("8.4.0", [8, 4, 0]),
        };
        Version { text: text.into(), numbers }
    }

    /// MariaDB 10 claims to be MySQL 5.5.5 first, for the sake of replicas that know no two-digit versions; its drivers
    /// take that off again.
    fn on_the_wire(&self, flavour: Flavour) -> String {
        let text = &self.text;
        let mark = if text.contains(MARIADB_MARK) { "" } else { MARIADB_MARK };
        match flavour {
            Flavour::Mysql => text.to_string(),
            Flavour::Mariadb if self.numbers[0] == 10 => format!("5.5.5-{text}{mark}"),
            Flavour::Mariadb => format!("{text}{mark}"),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no version, expected one such as \"10.11.6\" or \"8.4.0\"");
        let (numbers, suffix) = text.split_once('-').unwrap_or((&text, ""));
        let numbers: Option<Vec<u16>> = numbers.split('.').map(number).collect();
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(wrong)?;
        let fits =
            |byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'+' | b'~' | b'_');
        if !suffix.bytes().all(fits) || text.len() > VERSION_LEN_MAX {
            return Err(wrong());
        }
        Ok(Version { text: text.into(), numbers })
    }
}

/// Without a sign, which the standard library would take.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

/// Where randomness comes from is not a difference between two ports.
impl PartialEq for Random {
    fn eq(&self, _: &Random) -> bool {
        true
    }
}

impl Eq for Random {}

/// The version of the protocol that every server since 3.21 speaks.
pub(super) const PROTOCOL_VERSION: u8 = 10;
const NONCE_LEN: usize = 20;
const NONCE_FIRST_LEN: usize = 8;

/// The client will take this for its connection's number, and may want to end a query by it, on another connection.
/// That cannot work, but it must not hit anybody else: no server that is not restarted for years gets so far, and a
/// signed number holds it.
const ID_MIN: u32 = 0x7fff_ff00;

const STATUS_AUTOCOMMIT: u16 = 2;
const UTF8MB4_GENERAL_CI: u8 = 45;
/// MySQL's default since 8.0.
const UTF8MB4_0900_AI_CI: u8 = 255;

const CACHING_SHA2: &str = "caching_sha2_password";

const MARIADB_MARK: &str = "-MariaDB";
/// The servers' own limit, SERVER_VERSION_LENGTH.
const VERSION_LEN_MAX: usize = 60;

#[cfg(test)]
mod tests;
