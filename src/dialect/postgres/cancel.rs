//! Cancel requests, and the keys by which they find the connection whose query is to be cancelled.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::u32_at;

/// A cancel request. It names no addon: whoever gave its key out is meant.
pub struct CancelRequest {
    /// Whose query is to be cancelled.
    pub key: CancelKey,
    /// The packet as it came, to be sent on as it is.
    pub packet: Bytes,
}

impl CancelRequest {
    /// Reads a whole packet whose code is that of a cancel request. `None` if its key has an impossible
    /// length: the server answers that by closing.
    pub(super) fn parse(packet: Bytes) -> Option<Self> {
        let key = CancelKey::parse(packet.get(8..)?)?;
        Some(CancelRequest { key, packet })
    }
}

/// The key of one backend process, from its BackendKeyData. Four secret bytes in protocol 3.0, 32 from
/// PostgreSQL 18 in protocol 3.2, at most 256. Up to 32 bytes are kept inline: a table of such keys costs
/// no allocation per entry.
#[derive(Clone)]
pub struct CancelKey {
    pid: u32,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Inline { len: u8, bytes: [u8; SECRET_INLINE_MAX] },
    Heap(Box<[u8]>),
}

impl CancelKey {
    /// The process id: unique within one server only.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The secret bytes. Not for logs: whoever has them can cancel queries.
    pub fn secret(&self) -> &[u8] {
        match &self.secret {
            Secret::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Secret::Heap(bytes) => bytes,
        }
    }

    /// Reads `pid secret`, which is both the body of BackendKeyData and the end of a cancel request.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        if !BODY_LEN.contains(&body.len()) {
            return None;
        }
        let (pid, secret) = (u32_at(body, 0)?, body.get(4..)?);
        let mut bytes = [0; SECRET_INLINE_MAX];
        let secret = match bytes.get_mut(..secret.len()) {
            None => Secret::Heap(secret.into()),
            Some(inline) => {
                inline.copy_from_slice(secret);
                Secret::Inline { len: secret.len() as u8, bytes }
            }
        };
        Some(CancelKey { pid, secret })
    }
}

impl PartialEq for CancelKey {
    fn eq(&self, other: &Self) -> bool {
        self.pid == other.pid && self.secret() == other.secret()
    }
}

impl Eq for CancelKey {}

impl Hash for CancelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pid.hash(state);
        self.secret().hash(state);
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelRequest").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Four bytes of process id, then 4 to 256 secret ones (libpq refuses other lengths too).
pub(super) const BODY_LEN: RangeInclusive<usize> = 4 + 4..=4 + 256;

/// What PostgreSQL 18 gives out.
const SECRET_INLINE_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn body(pid: u32, secret: &[u8]) -> Vec<u8> {
        [&pid.to_be_bytes()[..], secret].concat()
    }

    #[test]
    fn every_allowed_length_is_kept_whole_and_no_other() {
        for len in 0..=300 {
            let secret: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let key = CancelKey::parse(&body(7, &secret));
            assert_eq!(key.is_some(), (4..=256).contains(&len), "{len} bytes");
            if let Some(key) = key {
                assert_eq!((key.pid(), key.secret()), (7, &secret[..]));
            }
        }
    }

    #[test]
    fn keys_differ_by_pid_by_secret_and_by_length() {
        let secrets: [&[u8]; 4] = [&[0; 4], &[0; 5], &[0; 32], &[0; 33]];
        let keys: HashSet<_> = [1, 2]
            .iter()
            .flat_map(|&pid| secrets.iter().map(move |secret| CancelKey::parse(&body(pid, secret)).unwrap()))
            .collect();
        assert_eq!(keys.len(), 8);
        assert_ne!(CancelKey::parse(&body(1, &[0; 4])), CancelKey::parse(&body(2, &[0; 4])));
        assert!(keys.contains(&CancelKey::parse(&body(2, &[0; 33])).unwrap()));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let key = CancelKey::parse(&body(7, &[250; 4])).unwrap();
        assert_eq!(format!("{key:?}"), "CancelKey { pid: 7, .. }");
        let packet = Bytes::from([&[0; 8], &body(7, &[250; 4])[..]].concat());
        assert!(!format!("{:?}", CancelRequest::parse(packet)).contains("250"));
    }

    #[test]
    fn a_key_is_small() {
        assert!(size_of::<CancelKey>() <= 48, "{} bytes", size_of::<CancelKey>());
    }
}
