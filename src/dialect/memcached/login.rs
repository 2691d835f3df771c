//! SASL PLAIN (RFC 4616): `authzid NUL user NUL password`, as one value.

use super::fault::Fault;

/// The mechanism's name.
pub(super) const PLAIN: &[u8] = b"PLAIN";

/// The user in what a client says. Whom it wants to act for (the authzid) is for the server to allow.
pub(super) fn user(credentials: &[u8]) -> Result<&[u8], Fault> {
    let mut parts = credentials.split(|byte| *byte == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(b""), Some(_), None) => Err(Fault::NoUser),
        (Some(_), Some(user), Some(_), None) => Ok(user),
        _ => Err(Fault::Credentials),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_the_second_of_three() {
        for good in [&b"\0blog\0pw"[..], b"blog\0blog\0pw", b"other\0blog\0"] {
            assert_eq!(user(good), Ok(&b"blog"[..]));
        }
        for bad in [&b""[..], b"blog", b"\0blog", b"\0blog\0pw\0", b"\0\0\0\0"] {
            assert_eq!(user(bad), Err(Fault::Credentials));
        }
        assert_eq!(user(b"blog\0\0pw"), Err(Fault::NoUser));
    }
}
