//! The ports of the edge: what is spoken where, and what each dialect is told.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, SeqAccess, Visitor};

use super::units::Size;
use crate::dialect::mysql::{self, Flavour, Version};
use crate::dialect::tls::{self, StartTls, Zone};
use crate::dialect::{Name, Protocol, Protocols, Speaks, nats};

/// One port of the edge.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "WrittenListener")]
pub struct ListenerConfig {
    /// What is spoken here.
    pub speaks: Speaks,
    /// The addresses to listen on. Default: every IPv4 address at the protocol's own port.
    pub listen: Vec<SocketAddr>,
}

/// A listener as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenListener {
    dialect: Dialects,
    #[serde(default)]
    listen: Vec<SocketAddr>,
    to: Option<Name>,
    flavour: Option<Flavour>,
    version: Option<Version>,
    nats: Option<NatsSettings>,
    #[serde(default)]
    tls: TlsMode,
    zone: Option<Zone>,
}

/// One dialect, or several that can share a port. There is at least one.
struct Dialects(Vec<Protocol>);

/// What a listener's table says to its dialects.
struct Settings {
    to: Option<Name>,
    flavour: Option<Flavour>,
    version: Option<Version>,
    nats: Option<NatsSettings>,
    tls: TlsMode,
    zone: Option<Zone>,
}

/// What becomes of clients that ask for TLS inside another protocol.
#[derive(Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum TlsMode {
    /// They are told that there is none.
    #[default]
    Off,
    /// They are led by host name, and passed through.
    Passthrough,
}

impl TryFrom<WrittenListener> for ListenerConfig {
    type Error = String;

    fn try_from(written: WrittenListener) -> Result<Self, String> {
        let WrittenListener {
            dialect: Dialects(dialects),
            mut listen,
            to,
            flavour,
            version,
            nats,
            tls,
            zone,
        } = written;
        let settings = Settings { to, flavour, version, nats, tls, zone };
        settings.check(&dialects)?;
        let speaks = match dialects[..] {
            [dialect] => settings.apply(dialect, Protocols::named())?,
            // Who shares a port with others is there for their clients.
            _ => {
                let among = dialects.iter().copied().collect();
                let choices = dialects.iter().map(|dialect| settings.apply(*dialect, among));
                Speaks::AnyOf(choices.collect::<Result<_, _>>()?)
            }
        };
        if listen.is_empty() {
            let port = dialects.iter().find_map(|dialect| dialect.default_port());
            let port = port.ok_or("`listen` is missing, expected addresses such as [\"0.0.0.0:5201\"]")?;
            listen.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
        }
        Ok(ListenerConfig { speaks, listen })
    }
}

impl ListenerConfig {
    /// Each address, with each protocol that is spoken there.
    pub fn endpoints(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        let protocols = self.speaks.protocols();
        self.listen
            .iter()
            .flat_map(move |address| protocols.clone().into_iter().map(|protocol| (protocol, *address)))
    }

    /// One for every protocol that has a port of its own.
    pub(super) fn defaults() -> Vec<Self> {
        let of = |protocol: &Protocol| {
            let written = WrittenListener {
                dialect: Dialects(vec![*protocol]),
                listen: vec![],
                to: None,
                flavour: None,
                version: None,
                nats: None,
                tls: TlsMode::Off,
                zone: None,
            };
            ListenerConfig::try_from(written).ok()
        };
        Protocol::ALL.iter().filter_map(of).collect()
    }
}

impl Settings {
    /// No setting is there that none of the dialects understands.
    fn check(&self, dialects: &[Protocol]) -> Result<(), String> {
        let spoken = list(dialects);
        if self.to.is_some() && !dialects.contains(&Protocol::None) {
            return Err(format!(
                "`to` belongs to dialect = \"none\": {spoken} clients say the name themselves"
            ));
        }
        let can_ask = |dialect: &Protocol| matches!(dialect, Protocol::Postgres | Protocol::Mysql);
        if self.tls != TlsMode::Off && !dialects.iter().any(can_ask) {
            return Err(format!(
                "`tls` belongs to dialects in which it can be asked for: postgres and mysql, not {spoken}"
            ));
        }
        if (self.flavour.is_some() || self.version.is_some()) && !dialects.contains(&Protocol::Mysql) {
            return Err(format!("`flavour` and `version` belong to dialect = \"mysql\", not to {spoken}"));
        }
        if self.nats.is_some() && !dialects.contains(&Protocol::Nats) {
            return Err(format!("`nats` belongs to dialect = \"nats\", not to {spoken}"));
        }
        if self.zone.is_some() && self.tls == TlsMode::Off && !dialects.contains(&Protocol::Tls) {
            return Err(format!(
                "`zone` belongs to TLS, which {spoken} does not offer without tls = \"passthrough\""
            ));
        }
        Ok(())
    }

    /// A dialect with the settings that it understands. If it leads to addons by host name, then to those that
    /// speak one of `among`.
    fn apply(&self, dialect: Protocol, among: Protocols) -> Result<Speaks, String> {
        Ok(match dialect {
            Protocol::Postgres => Speaks::Postgres(self.start_tls()),
            Protocol::Mysql => {
                let random = mysql::Random(|bytes| getrandom::fill(bytes).map_err(io::Error::other));
                let settings = mysql::Settings::new(self.flavour, self.version.clone(), random);
                Speaks::Mysql(settings.offering(self.start_tls()))
            }
            Protocol::Redis => Speaks::Redis,
            Protocol::Amqp => Speaks::Amqp,
            Protocol::Mongodb => Speaks::Mongodb,
            Protocol::Nats => Speaks::Nats(self.nats.clone().unwrap_or_default().0),
            Protocol::Mqtt => Speaks::Mqtt,
            Protocol::Memcached => Speaks::Memcached,
            Protocol::Tls => Speaks::Tls(tls::Settings { zone: self.zone.clone(), among }),
            Protocol::None => {
                let to = self.to.clone();
                Speaks::Fixed(to.ok_or("dialect = \"none\" needs `to`, expected the name of an addon")?)
            }
        })
    }

    fn start_tls(&self) -> StartTls {
        match self.tls {
            TlsMode::Off => StartTls::Off,
            TlsMode::Passthrough => StartTls::Passthrough(self.zone.clone()),
        }
    }
}

impl<'de> Deserialize<'de> for Dialects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DialectsVisitor)
    }
}

struct DialectsVisitor;

impl<'de> Visitor<'de> for DialectsVisitor {
    type Value = Dialects;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a dialect such as \"postgres\", or a list of dialects")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Dialects, E> {
        Ok(Dialects(vec![Protocol::deserialize(text.into_deserializer())?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Dialects, A::Error> {
        let mut dialects = vec![];
        while let Some(dialect) = list.next_element::<Protocol>()? {
            if dialects.contains(&dialect) {
                return Err(de::Error::custom(format!(
                    "{dialect} is listed twice, expected each dialect once"
                )));
            }
            dialects.push(dialect);
        }
        if dialects.is_empty() {
            return Err(de::Error::custom("an empty list, expected dialects such as \"postgres\""));
        }
        match dialects.iter().find(|dialect| dialect.recognise().is_none()) {
            Some(dialect) if dialects.len() > 1 => Err(de::Error::custom(format!(
                "{dialect} cannot share a port, as its clients do not speak first: expected a [[listener]] of \
                 its own"
            ))),
            _ => Ok(Dialects(dialects)),
        }
    }
}

/// Protocols as they are listed to people.
fn list(protocols: &[Protocol]) -> String {
    protocols.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>().join(", ")
}

/// `nats = { version = "2.10.0", max_payload = "8MiB" }`.
#[derive(Clone, Default, serde::Deserialize)]
#[serde(try_from = "WrittenNats")]
struct NatsSettings(nats::Settings);

/// These settings as they are written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenNats {
    version: String,
    max_payload: Size,
}

impl Default for WrittenNats {
    fn default() -> Self {
        let (version, max_payload) = nats::Settings::DEFAULT;
        WrittenNats { version: version.to_owned(), max_payload: Size::from_bytes(max_payload) }
    }
}

impl TryFrom<WrittenNats> for NatsSettings {
    type Error = String;

    fn try_from(written: WrittenNats) -> Result<Self, String> {
        nats::Settings::new(&written.version, written.max_payload.bytes()).map(NatsSettings)
    }
}
