//! The DNS zone under which addons have their host names.

use std::sync::Arc;

use serde::Deserialize;

use crate::dialect::{Name, NameError};

/// A zone such as `db.example.com`: the addon `blog` is `blog.db.example.com`. Lower-case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(Arc<str>);

/// Why a host name leads to no addon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotHere {
    #[error("not of this zone")]
    Zone,
    #[error("{0}")]
    Name(#[from] NameError),
}

impl Zone {
    /// The addon that a host name, in lower case, means: `name.<zone>`. Without a zone the first label counts,
    /// whatever stands behind it.
    pub(super) fn addon(zone: Option<&Zone>, host: &[u8]) -> Result<Name, NotHere> {
        let host = std::str::from_utf8(host).map_err(|_| NameError::Character)?;
        let label = match zone {
            Some(Zone(zone)) => {
                let front = host.strip_suffix(&**zone).and_then(|front| front.strip_suffix('.'));
                front.ok_or(NotHere::Zone)?
            }
            None => host.split_once('.').map_or(host, |(label, _)| label),
        };
        Ok(Name::parse(label)?)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let label = |label: &str| {
            let inner = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
        };
        // A name and a dot must fit in front.
        if text.len() < HOST_LEN_MAX - Name::LEN_MAX && text.split('.').all(label) {
            return Ok(Zone(text.into()));
        }
        Err(format!("{text:?} is no DNS zone, expected lower-case labels such as \"db.example.com\""))
    }
}

/// RFC 1035 §2.3.4, as text.
const HOST_LEN_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(text: &str) -> Result<Zone, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_host_of_the_zone_has_one_label_more() {
        let zone = zone("db.example.com").unwrap();
        let addon = |host: &str| Zone::addon(Some(&zone), host.as_bytes());
        assert_eq!(addon("blog.db.example.com").unwrap().as_str(), "blog");
        for stranger in ["db.example.com", "blog.db.example.org", "blogdb.example.com", "blog", ""] {
            assert_eq!(addon(stranger), Err(NotHere::Zone), "{stranger}");
        }
        for bad in ["a.b.db.example.com", ".db.example.com", "1.db.example.com", "*.db.example.com"] {
            assert!(matches!(addon(bad), Err(NotHere::Name(_))), "{bad}");
        }
        assert_eq!(Zone::addon(Some(&zone), b"bl\xffg.db.example.com"), Err(NameError::Character.into()));
    }

    #[test]
    fn without_a_zone_the_first_label_counts() {
        for host in ["blog", "blog.", "blog.db.example.com", "blog.localhost"] {
            assert_eq!(Zone::addon(None, host.as_bytes()).unwrap().as_str(), "blog");
        }
        assert!(Zone::addon(None, b"10.0.0.1").is_err());
    }

    #[test]
    fn a_zone_is_a_dns_name() {
        for good in ["example", "db.example.com", "x-1.2.y"] {
            assert!(zone(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "A.b", "a..b", "-a.b", "a-.b", "a b", "ä.b", &"a".repeat(64)] {
            assert!(zone(bad).unwrap_err().contains("no DNS zone"), "{bad}");
        }
        assert!(zone(&["a"; 111].join(".")).is_err(), "221 characters leave no room for a name");
    }
}
