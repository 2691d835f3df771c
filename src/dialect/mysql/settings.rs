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
mod tests {
    use super::super::packet::Reader;
    use super::*;

    fn settings(flavour: Flavour, version: &str) -> Settings {
        let version = Version::try_from(version.to_owned()).unwrap();
        let random = Random(|bytes| {
            bytes.iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 13) as u8);
            Ok(())
        });
        Settings::new(Some(flavour), Some(version), random)
    }

    /// The version, the flags and the plugin of a greeting, checked for being one.
    fn parts(settings: &Settings) -> (String, u32, u32, String) {
        let greeting = settings.greeting().unwrap();
        let mut reader = Reader(&greeting);
        assert_eq!(reader.u32().unwrap() as usize, greeting.len() - 4, "sequence number 0");
        assert_eq!(reader.u8(), Some(10));
        let version = String::from_utf8(reader.string().unwrap().to_vec()).unwrap();
        assert!((0x7fff_ff00..=0x7fff_ffff).contains(&reader.u32().unwrap()));
        let mut nonce = reader.bytes(8).unwrap().to_vec();
        assert_eq!(reader.u8(), Some(0));
        let low = u32::from(reader.u16().unwrap());
        assert_eq!(reader.u8(), Some(settings.collation));
        assert_eq!(reader.u16(), Some(2));
        let flags = low | u32::from(reader.u16().unwrap()) << 16;
        assert_eq!(reader.u8(), Some(21));
        assert_eq!(reader.bytes(6), Some(&[0; 6][..]));
        let mariadb = reader.u32().unwrap();
        nonce.extend(reader.string().unwrap());
        assert!(nonce.len() == 20 && nonce.iter().all(|byte| matches!(byte, b' '..=b'~')), "{nonce:?}");
        let plugin = String::from_utf8(reader.string().unwrap().to_vec()).unwrap();
        assert!(reader.0.is_empty());
        (version, flags, mariadb, plugin)
    }

    #[test]
    fn the_greeting_is_that_of_the_flavour_and_version() {
        let (native, sha2) = ("mysql_native_password".to_owned(), "caching_sha2_password".to_owned());
        let cases = [
            (Flavour::Mariadb, "10.11.6", "5.5.5-10.11.6-MariaDB", 0x01ff_f7fe, 0x1d, &native),
            (Flavour::Mariadb, "10.5.2-log", "5.5.5-10.5.2-log-MariaDB", 0x01ff_f7fe, 0x0d, &native),
            (Flavour::Mariadb, "10.5.1", "5.5.5-10.5.1-MariaDB", 0x01ff_f7fe, 0x05, &native),
            (Flavour::Mariadb, "10.1.48", "5.5.5-10.1.48-MariaDB", 0x007f_f7fe, 0, &native),
            (
                Flavour::Mariadb,
                "11.8.3-MariaDB-ubu2404",
                "11.8.3-MariaDB-ubu2404",
                0x01ff_f7fe,
                0x1d,
                &native,
            ),
            (Flavour::Mysql, "9.7.4", "9.7.4", 0x01ff_f7ff, 0, &sha2),
            (Flavour::Mysql, "5.7.44", "5.7.44", 0x01ff_f7ff, 0, &native),
            (Flavour::Mysql, "5.6.51", "5.6.51", 0x007f_f7ff, 0, &native),
        ];
        for (flavour, version, shown, flags, mariadb, plugin) in cases {
            let expected = (shown.to_owned(), flags, mariadb, plugin.clone());
            assert_eq!(parts(&settings(flavour, version)), expected);
        }
        let default = Settings::new(None, None, Random(|_| Ok(())));
        assert_eq!(parts(&default).0, "5.5.5-10.11.0-MariaDB");
        assert_eq!(parts(&Settings::new(Some(Flavour::Mysql), None, default.random)).0, "8.4.0");
    }

    #[test]
    fn where_tls_is_offered_a_plugin_is_named_that_wrong_hashes_do_no_harm_to() {
        let with_tls = |flavour| settings(flavour, "10.11.6").offering(StartTls::Passthrough(None));
        for (flavour, flags) in [(Flavour::Mariadb, 0x01ff_fffe), (Flavour::Mysql, 0x01ff_ffff)] {
            let (_, offered, _, plugin) = parts(&with_tls(flavour));
            assert_eq!((offered, &*plugin), (flags, "caching_sha2_password"));
        }
        let without = settings(Flavour::Mariadb, "10.11.6");
        assert_eq!(parts(&without.clone().offering(StartTls::Off)), parts(&without));
    }

    #[test]
    fn no_randomness_no_greeting() {
        let broken = Random(|_| Err(io::ErrorKind::Unsupported.into()));
        assert!(Settings::new(None, None, broken).greeting().is_err());
    }

    #[test]
    fn a_version_is_three_numbers() {
        for bad in
            ["", "10", "10.11", "10.11.x", "10.11.6.1", "+1.2.3", "1.2.70000", "1.2.3 x", "1.2.3-\u{e4}"]
        {
            assert!(Version::try_from(bad.to_owned()).unwrap_err().contains("expected one such as"), "{bad}");
        }
        assert!(Version::try_from(format!("1.2.3-{}", "x".repeat(55))).is_err());
    }
}
