//! Passwords and keys as values: they do not print themselves.

use std::{fmt, io};

use base64::Engine;

/// A password. Shown only by those who ask for it with [`Password::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password that exists already.
    pub fn new(text: String) -> Self {
        Password(text)
    }

    /// The text itself, for a login or for somebody who asked for the URL.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// 40 random characters that need no escaping anywhere: 240 bits.
    pub(super) fn random() -> io::Result<Self> {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bytes = [0; 40];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        // 64 divides 256, so every character is equally likely.
        Ok(Password(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect()))
    }
}

impl Password {
    /// So many random bytes, as base64 without padding, in letters that need no escaping anywhere.
    pub(super) fn key(bytes: usize) -> io::Result<Self> {
        let mut random = vec![0; bytes];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        Ok(Password(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random)))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}
