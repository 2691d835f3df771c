//! Who a client says it is: the response of a SASL mechanism.

use bytes::Buf;

use super::fault::Fault;

/// The user in the response of a mechanism. That it is the one that the server will find matters; whether the server
/// is going to accept the rest is its own business.
pub(super) fn user<'a>(mechanism: &[u8], response: &'a [u8]) -> Result<&'a [u8], Fault> {
    match mechanism {
        b"PLAIN" => plain(response).ok_or(Fault::Response("PLAIN")),
        b"AMQPLAIN" => amqplain(response).ok_or(Fault::Response("AMQPLAIN")),
        other => Err(Fault::mechanism(other)),
    }
}

/// RFC 4616, with an empty authorization identity, as RabbitMQ wants it: NUL, user, NUL, password.
fn plain(response: &[u8]) -> Option<&[u8]> {
    let mut parts = response.split(|byte| *byte == 0);
    let (nobody, user, _password) = (parts.next()?, parts.next()?, parts.next()?);
    (nobody.is_empty() && parts.next().is_none()).then_some(user)
}

/// A table of AMQP 0-9-1 without its length, with the fields LOGIN and PASSWORD. Of several the first counts.
fn amqplain(mut table: &[u8]) -> Option<&[u8]> {
    let (mut user, mut password) = (None, None);
    while !table.is_empty() {
        let len = table.try_get_u8().ok()?;
        let name = table.split_off(..usize::from(len))?;
        let kind = table.try_get_u8().ok()?;
        let len = value_len(kind, &mut table)?;
        let value = (kind, table.split_off(..len)?);
        match name {
            b"LOGIN" => _ = user.get_or_insert(value),
            b"PASSWORD" => _ = password.get_or_insert(value),
            _ => {}
        }
    }
    match (user?, password?) {
        ((b'S', user), _) => Some(user),
        _ => None,
    }
}

/// The length of a value of this kind; where it is written in front of the value it is taken off.
fn value_len(kind: u8, table: &mut &[u8]) -> Option<usize> {
    Some(match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'd' | b'T' => 8,
        b'S' | b'x' | b'F' | b'A' => table.try_get_u32().ok()? as usize,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_has_three_parts_of_which_the_first_is_empty() {
        assert_eq!(plain(b"\0blog\0pw"), Some(&b"blog"[..]));
        assert_eq!(plain(b"\0blog.ro\0"), Some(&b"blog.ro"[..]));
        assert_eq!(plain(b"\0\0pw"), Some(&b""[..]));
        for bad in [&b""[..], b"\0", b"\0blog", b"blog\0pw", b"shop\0blog\0pw", b"\0blog\0p\0w"] {
            assert_eq!(plain(bad), None, "{bad:?}");
        }
    }

    fn field(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
        [&[name.len() as u8][..], name.as_bytes(), &[kind], value].concat()
    }

    fn text(name: &str, value: &str) -> Vec<u8> {
        field(name, b'S', &[&(value.len() as u32).to_be_bytes()[..], value.as_bytes()].concat())
    }

    #[test]
    fn amqplain_is_a_table_in_any_order_and_the_first_login_counts() {
        let (login, password) = (text("LOGIN", "blog"), text("PASSWORD", "pw"));
        assert_eq!(amqplain(&[&login[..], &password].concat()), Some(&b"blog"[..]));
        let others = [(b'V', 0), (b't', 1), (b's', 2), (b'I', 4), (b'D', 5), (b'T', 8)];
        let others = others.map(|(kind, len)| field("x", kind, &vec![0; len])).concat();
        let table = field("LOG", b'F', b"\0\0\0\x06\x05LOGIN");
        let all = [&others[..], &table, &password, &login, &text("LOGIN", "shop")].concat();
        assert_eq!(amqplain(&all), Some(&b"blog"[..]));
        for bad in [
            login.clone(),
            password.clone(),
            [&text("login", "blog")[..], &password].concat(),
            [&field("LOGIN", b'I', &[0; 4])[..], &password].concat(),
            [&field("LOGIN", b'?', &[])[..], &password].concat(),
            [&login[..], &password[..password.len() - 1]].concat(),
            [&login[..], &password, &[0]].concat(),
        ] {
            assert_eq!(amqplain(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_response_does_not_show_it() {
        for (mechanism, response) in [(&b"PLAIN"[..], &b"sesame"[..]), (b"AMQPLAIN", b"sesame")] {
            let fault = user(mechanism, response).unwrap_err();
            assert!(!format!("{fault} {fault:?}").contains("sesame"));
        }
        assert_eq!(
            user(b"EXTERNAL", b"").unwrap_err().to_string(),
            "unknown authentication mechanism \"EXTERNAL\""
        );
    }
}
