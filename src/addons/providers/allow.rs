//! Which hosts an admin lets addons be at: `allow` of a provider. Sans-IO.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// One entry of a list of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Allowed {
    /// `db.example.com`: this name, wherever it leads.
    Host(String),
    /// `*.example.com`: names that end so.
    Below(String),
    /// `10.0.0.0/8`, `192.0.2.7`: addresses, whatever they are called.
    Net(IpNet),
}

/// What an admin lets addons be at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Allow(pub Vec<Allowed>);

impl Allow {
    /// Whether an address that this host has may be led to. One that means this host or this link has to be listed itself: whoever
    /// has a say in a name must not reach what listens for this host only.
    pub fn admits(&self, host: &str, address: IpAddr) -> Result<(), String> {
        let address = address.to_canonical();
        if self.0.iter().any(|entry| matches!(entry, Allowed::Net(net) if net.contains(&address))) {
            return Ok(());
        }
        if is_of_this_host(address) {
            return Err(format!("{address} is this host or this link: an admin has to list it in allow"));
        }
        match self.names(host) {
            true => Ok(()),
            false => Err(format!("{address} is in none of the networks in allow ({self})")),
        }
    }

    /// Whether a host may be asked for at all: by its name, or as far as can be known before it is resolved.
    pub fn may_be(&self, host: &str) -> Result<(), String> {
        let listed = match host.parse::<IpAddr>() {
            Ok(address) => return self.admits(host, address),
            Err(_) => self.names(host) || self.0.iter().any(|entry| matches!(entry, Allowed::Net(_))),
        };
        if listed { Ok(()) } else { Err(format!("{host} is not among the hosts in allow ({self})")) }
    }

    fn names(&self, host: &str) -> bool {
        let host = plain(host);
        self.0.iter().any(|entry| match entry {
            Allowed::Host(name) => *name == host,
            Allowed::Below(suffix) => {
                host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            Allowed::Net(_) => false,
        })
    }
}

/// Host names know no case, and a dot at their end says no more.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_of_this_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Whether this could be a host's name or address.
pub fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && text.trim_end_matches('.').split('.').all(label))
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Allowed::Net(address.to_canonical().into()));
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Allowed::Net(net.trunc()));
        }
        match text.strip_prefix("*.") {
            Some(suffix) if is_host(suffix) => Ok(Allowed::Below(plain(suffix))),
            None if is_host(text) => Ok(Allowed::Host(plain(text))),
            _ => Err(format!(
                "{text:?}, expected a host such as \"db.example.com\" or \"*.example.com\", or a network such as \"10.0.0.0/8\""
            )),
        }
    }
}

impl TryFrom<String> for Allowed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("which is empty");
        }
        for (nth, entry) in self.0.iter().enumerate() {
            f.write_str(if nth == 0 { "" } else { ", " })?;
            match entry {
                Allowed::Host(name) => f.write_str(name)?,
                Allowed::Below(suffix) => write!(f, "*.{suffix}")?,
                Allowed::Net(net) => net.fmt(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(entries: &[&str]) -> Allow {
        Allow(entries.iter().map(|entry| entry.parse().unwrap()).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_is_listed_is_led_to() {
        let allow = allow(&["db.example.com", "*.rds.example.com", "10.1.0.0/16", "::1"]);
        for (host, address) in [
            ("db.example.com", "192.0.2.1"),
            ("DB.example.com.", "192.0.2.1"),
            ("a.rds.example.com", "192.0.2.1"),
            ("a.b.rds.example.com", "2001:db8::1"),
            ("any", "10.1.255.1"),
            ("any", "::ffff:10.1.2.3"),
            ("any", "::1"),
        ] {
            assert_eq!(allow.admits(host, ip(address)), Ok(()), "{host} {address}");
        }
        for (host, address) in [
            ("rds.example.com", "192.0.2.1"),
            ("xrds.example.com", "192.0.2.1"),
            ("db.example.com.evil.org", "192.0.2.1"),
            ("any", "10.2.0.1"),
            ("db.example.com", "127.0.0.1"),
            ("db.example.com", "::ffff:127.0.0.1"),
            ("db.example.com", "169.254.169.254"),
            ("a.rds.example.com", "fe80::1"),
        ] {
            assert!(allow.admits(host, ip(address)).is_err(), "{host} {address}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_before_it_is_resolved() {
        assert!(allow(&[]).may_be("db.example.com").unwrap_err().contains("empty"));
        assert!(allow(&["db.example.com"]).may_be("other.example.com").is_err());
        assert!(allow(&["db.example.com"]).may_be("192.0.2.1").is_err());
        // Where it leads is seen when it is resolved.
        assert!(allow(&["10.0.0.0/8"]).may_be("other.example.com").is_ok());
        assert!(allow(&["10.0.0.0/8"]).may_be("10.1.1.1").is_ok());
        assert!(allow(&["127.0.0.1"]).may_be("127.0.0.1").is_ok());
    }

    #[test]
    fn entries_that_are_neither_host_nor_network_are_refused() {
        for bad in ["", "*", "*.", "a b", "10.0.0.0/33", "-a", "a..b", "http://a", "a:5432", "*.*.a"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }
}
