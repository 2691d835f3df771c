//! The names of addons, and the logins that carry them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of an addon: `[a-z][a-z0-9-]{0,31}`, so that it is a DNS label, a container name and a
/// database user at once (DESIGN §4.7).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 32;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text)?;
        Ok(Name(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who a client says it is: `name` or `name.role`. The part before the dot is the addon. At most 63 bytes,
/// as PostgreSQL cuts longer users: two roles must not become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The addon.
    pub name: Name,
    /// The role inside the addon, where one is given.
    pub role: Option<String>,
}

impl Login {
    /// The longest role, in bytes.
    pub const ROLE_LEN_MAX: usize = 63 - 1 - Name::LEN_MAX;

    /// Parses `name` or `name.role`. The role is made of what a name is made of, and `_`.
    pub fn parse(user: &[u8]) -> Result<Self, NameError> {
        let user = std::str::from_utf8(user).map_err(|_| NameError::Character)?;
        let (name, role) = match user.split_once('.') {
            None => (user, None),
            Some((name, role)) => (name, Some(role)),
        };
        let name = Name::parse(name)?;
        if let Some(role) = role {
            check_role(role)?;
        }
        Ok(Login { name, role: role.map(str::to_owned) })
    }
}

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name may not be empty")]
    Empty,
    /// Longer than [`Name::LEN_MAX`].
    #[error("a name has at most 32 characters")]
    TooLong,
    /// Does not begin with a letter.
    #[error("a name begins with a lower-case letter")]
    Start,
    /// Holds something else than `a-z`, `0-9` and `-`.
    #[error("a name has only lower-case letters, digits and '-'")]
    Character,
    /// What stands behind the dot can be no role.
    #[error("a role has 1 to 30 lower-case letters, digits, '-' and '_'")]
    Role,
}

fn check(text: &str) -> Result<(), NameError> {
    let first = *text.as_bytes().first().ok_or(NameError::Empty)?;
    if text.len() > Name::LEN_MAX {
        return Err(NameError::TooLong);
    }
    if !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Err(NameError::Character);
    }
    if !first.is_ascii_lowercase() {
        return Err(NameError::Start);
    }
    Ok(())
}

fn check_role(role: &str) -> Result<(), NameError> {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let fits = (1..=Login::ROLE_LEN_MAX).contains(&role.len()) && role.bytes().all(allowed);
    if fits { Ok(()) } else { Err(NameError::Role) }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Name::parse(&text)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Name::parse(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in ["a", "blog", "fun-monkey-12d3ab", &"a".repeat(32)] {
            assert_eq!(Name::parse(good).map(|name| name.as_str().to_owned()), Ok(good.to_owned()));
        }
        let bad = [
            ("", NameError::Empty),
            ("127.0.0.1", NameError::Character),
            ("Blog", NameError::Character),
            ("b\0", NameError::Character),
            ("1a", NameError::Start),
            ("-a", NameError::Start),
            (&"a".repeat(33), NameError::TooLong),
        ];
        for (text, error) in bad {
            assert_eq!(Name::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn login_routes_by_the_part_before_the_dot() {
        let login = Login::parse(b"blog.read_only").unwrap();
        assert_eq!((login.name.as_str(), login.role.as_deref()), ("blog", Some("read_only")));
        assert_eq!(Login::parse(b".blog"), Err(NameError::Empty));
        assert_eq!(Login::parse(b"blog.\xff"), Err(NameError::Character));
        for bad in ["blog.", "blog.a.b", "blog.A", &format!("blog.{}", "a".repeat(31))] {
            assert_eq!(Login::parse(bad.as_bytes()), Err(NameError::Role), "{bad}");
        }
        let longest = format!("{}.{}", "a".repeat(32), "b".repeat(30));
        assert_eq!(longest.len(), 63);
        assert!(Login::parse(longest.as_bytes()).is_ok());
    }
}
