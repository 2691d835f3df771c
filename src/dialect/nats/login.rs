//! Who a `CONNECT` says the client is. JSON as Go's `encoding/json` reads it into the server's `ClientOpts`: keys
//! match whatever their case, the last one of several counts, `null` changes nothing, another type is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::fault::Fault;
use crate::dialect::Login;

/// Reads the JSON behind `CONNECT`. A user is preferred, as in the server; a token must begin with the addon's name and a
/// colon, and is otherwise the server's business. What is nested is skipped without recursion, and nothing is copied but
/// strings with escapes in them, so memory is bounded by the line.
pub(super) fn read(json: &[u8]) -> Result<Login, Fault> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let said = json.deserialize_any(ConnectVisitor).and_then(|said| json.end().map(|()| said));
    let said = said.map_err(Fault::json)?;
    if let Some(user) = said.user.filter(|user| !user.is_empty()) {
        return Login::parse(&user).map_err(|error| Fault::user(&user, error));
    }
    if let Some(token) = said.token.filter(|token| !token.is_empty()) {
        let colon = token.iter().position(|byte| *byte == b':').ok_or(Fault::Token)?;
        // Not shown: it may be a part of the secret.
        return Login::parse(token.get(..colon).unwrap_or_default()).map_err(|_| Fault::Token);
    }
    let signed = [said.jwt, said.nkey].into_iter().flatten().any(|text| !text.is_empty());
    Err(if signed { Fault::Signed } else { Fault::NoLogin })
}

/// What matters here of a `CONNECT`.
#[derive(Default)]
struct Connect<'a> {
    user: Option<Cow<'a, [u8]>>,
    token: Option<Cow<'a, [u8]>>,
    jwt: Option<Cow<'a, [u8]>>,
    nkey: Option<Cow<'a, [u8]>>,
}

impl<'a> Connect<'a> {
    /// Where the value of a key belongs.
    fn field(&mut self, key: &[u8]) -> Option<&mut Option<Cow<'a, [u8]>>> {
        let fields = [
            ("user", &mut self.user),
            ("auth_token", &mut self.token),
            ("jwt", &mut self.jwt),
            ("nkey", &mut self.nkey),
        ];
        fields.into_iter().find(|(name, _)| is_key(key, name)).map(|(_, field)| field)
    }
}

/// Whether Go takes a key for this one. Besides the letters' case, U+017F is an `s` to it, and U+212A a `k`.
fn is_key(mut key: &[u8], name: &str) -> bool {
    let mut take = |letter: u8| {
        let other = match letter {
            b's' => "\u{17f}".as_bytes(),
            b'k' => "\u{212a}".as_bytes(),
            _ => &[letter],
        };
        let upper = [letter.to_ascii_uppercase()];
        let rest = [&[letter][..], &upper, other].into_iter().find_map(|form| key.strip_prefix(form));
        rest.is_some_and(|rest| {
            key = rest;
            true
        })
    };
    name.bytes().all(&mut take) && key.is_empty()
}

struct ConnectVisitor;

impl<'de> Visitor<'de> for ConnectVisitor {
    type Value = Connect<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    /// `null`: nothing is said.
    fn visit_unit<E>(self) -> Result<Connect<'de>, E> {
        Ok(Connect::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Connect<'de>, A::Error> {
        let mut said = Connect::default();
        while let Some(Text(key)) = map.next_key()? {
            match said.field(&key) {
                Some(field) => {
                    if let Some(Text(text)) = map.next_value::<Option<Text<'de>>>()? {
                        *field = Some(text);
                    }
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(said)
    }
}

/// A string. Go does not mind bytes that are not UTF-8, nor half a surrogate pair.
struct Text<'a>(Cow<'a, [u8]>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(bytes.to_vec())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.as_bytes().to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(json: impl AsRef<[u8]>) -> Result<String, String> {
        read(json.as_ref()).map(|login| login.name.to_string()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_last_key_counts_whatever_its_case_and_null_changes_nothing() {
        for json in [
            r#"{"user":"blog"}"#,
            r#" {"user":"x","USER":"blog","pass":"user"} "#,
            r#"{"user":"blog","user":null}"#,
            r#"{"u\u017fer":"x","u\u017Fer":"blog"}"#,
            "{\"u\u{17f}er\":\"blog\"}",
            r#"{"user":"bl\u006fg","a":{"user":"x","b":[{"user":[]}]},"name":1e999}"#,
            r#"{"auth_token":"x:y","user":"blog.role"}"#,
            r#"{"user":"","AUTH_TOKEN":"blog:pw"}"#,
            "{\"auth_to\u{212a}en\":\"blog.role:pw\"}",
            r#"{"jwt":"x","nkey":"y","sig":"z","user":"blog"}"#,
        ] {
            assert_eq!(name(json), Ok("blog".into()), "{json}");
        }
        // Bytes that are no text matter only where a name is looked for.
        assert_eq!(name(b"{\"pass\":\"\xff\",\"\xff\":\"\xfe\",\"user\":\"blog\"}"), Ok("blog".into()));
        assert_eq!(name(r#"{"user":"blog","pass":"\ud800"}"#), Ok("blog".into()));
        assert!(name(b"{\"user\":\"blog\xff\"}").is_err());
        assert!(name(r#"{"user":"\ud800"}"#).is_err());
    }

    #[test]
    fn what_is_nested_is_skipped_however_deep_it_is() {
        let deep = format!("{{\"a\":{}{},\"user\":\"blog\"}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(name(deep), Ok("blog".into()));
    }

    #[test]
    fn what_is_no_such_json_is_refused() {
        for json in [
            "",
            "\r",
            "[]",
            "1",
            "{\"user\":1}",
            "{\"user\":[98]}",
            "{\"user\":\"blog\"} x",
            "{\"user\":\"blog\"",
        ] {
            assert!(name(json).unwrap_err().starts_with("no JSON object"), "{json}");
        }
    }

    #[test]
    fn who_says_no_name_reads_what_is_missing() {
        for json in ["{}", "null", r#"{"user":"","auth_token":""}"#, r#"{"name":"blog"}"#] {
            assert!(name(json).unwrap_err().contains("neither a user nor a token"), "{json}");
        }
        for json in [r#"{"jwt":"x"}"#, r#"{"nkey":"x","sig":"y"}"#] {
            assert!(name(json).unwrap_err().contains("nkey"), "{json}");
        }
        for json in
            [r#"{"auth_token":"s3cret"}"#, r#"{"auth_token":"s3cret:x:y!"}"#, r#"{"auth_token":":s3cret"}"#]
        {
            let error = name(json);
            if json.contains("s3cret:x") {
                assert_eq!(error, Ok("s3cret".into()));
            } else {
                assert!(error.is_err_and(|error| !error.contains("s3cret")), "a token is a secret");
            }
        }
        assert!(name(r#"{"user":"Blog\n"}"#).unwrap_err().contains("Blog\\x0a"));
    }
}
