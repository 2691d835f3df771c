//! What a client answers to the greeting, `Protocol::HandshakeResponse41` or `Protocol::SSLRequest`, and how it is
//! passed on.

use bytes::{BufMut, Bytes, BytesMut};

use super::capability::{
    CLIENT_MYSQL, CONNECT_ATTRS, CONNECT_WITH_DB, PLUGIN_AUTH, PLUGIN_AUTH_LENENC, PROTOCOL_41,
    SECURE_CONNECTION, SSL,
};
use super::fault::Fault;
use super::packet::{Reader, packet, put_string};
use super::settings::Offer;

/// A client's response, without what it has hashed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response<'a> {
    head: Head<'a>,
    user: &'a [u8],
    database: Option<&'a [u8]>,
    /// The connection attributes with their length in front; none if the client claims none.
    attributes: &'a [u8],
}

/// A client's request for TLS. Its response follows in TLS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TlsRequest<'a>(Head<'a>);

/// The first 32 bytes of a response; a request for TLS is just these.
#[derive(Debug, PartialEq, Eq)]
struct Head<'a> {
    flags: u32,
    /// The longest packet that the client takes, its collation, and a filler.
    as_it_came: &'a [u8],
    /// MariaDB's further flags.
    mariadb: u32,
}

/// The flags that a backend was sent.
pub(super) type Sent = Offer;

impl<'a> Response<'a> {
    /// Takes the payload of a response apart, as the server does.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Fault> {
        if payload.first_chunk().is_some_and(|flags| u32::from(u16::from_le_bytes(*flags)) & PROTOCOL_41 == 0)
        {
            return Err(Fault::Protocol320);
        }
        let mut reader = Reader(payload);
        let head = Head::parse(&mut reader).ok_or(Fault::Layout("it is too short"))?;
        let claims = |flag| head.flags & flag != 0;
        if reader.0.is_empty() && claims(SSL) {
            return Err(Fault::Tls);
        }
        if !claims(SECURE_CONNECTION | PLUGIN_AUTH) {
            return Err(Fault::OldPassword);
        }
        let user = reader.string().ok_or(Fault::Layout("the user does not end"))?;
        skip_authentication(&mut reader, head.flags).ok_or(Fault::Layout("the password does not end"))?;
        // The server is content with a database, and with a plugin, that ends where the packet ends.
        let database = match claims(CONNECT_WITH_DB) {
            true if reader.0.is_empty() => return Err(Fault::Layout("the database is missing")),
            true => Some(reader.string_or_rest()),
            false => None,
        };
        if claims(PLUGIN_AUTH) {
            reader.string_or_rest();
        }
        let attributes = if claims(CONNECT_ATTRS) {
            let start = reader.0;
            reader.sized().ok_or(Fault::Layout("the connection attributes do not end"))?;
            &start[..start.len() - reader.0.len()]
        } else {
            &[]
        };
        Ok(Response { head, user, database, attributes })
    }

    /// Whom the client means. As in the server, quotes around the name do not belong to it.
    pub(super) fn user(&self) -> &'a [u8] {
        match self.user {
            [b'\'', name @ .., b'\''] => name,
            name => name,
        }
    }

    /// The response that a backend is sent: what the edge has not offered is left out, and so is what the client has
    /// hashed, with a nonce that this backend has never heard of. With the flags that it claims.
    pub(super) fn replay(&self, offer: Offer) -> (Bytes, Sent) {
        let sent = self.head.cut_to(offer);
        let replay = packet(SEQUENCE, |out| {
            self.head.put(out, sent);
            put_string(out, self.user);
            // Nothing, in each of the three ways in which its length may be written.
            out.put_u8(0);
            if let Some(database) = self.database {
                put_string(out, database);
            }
            put_string(out, NO_PLUGIN);
            if sent.flags & CONNECT_ATTRS != 0 {
                out.put_slice(self.attributes);
            }
        });
        (replay, sent)
    }
}

impl<'a> TlsRequest<'a> {
    /// The request for TLS that `payload` is, if it is one. The server looks at the flag only: it drops what stands
    /// behind the first 32 bytes, and reads on in TLS.
    pub(super) fn parse(payload: &'a [u8]) -> Option<Self> {
        let head = Head::parse(&mut Reader(payload))?;
        let wanted = PROTOCOL_41 | SSL;
        (head.flags & wanted == wanted).then_some(TlsRequest(head))
    }

    /// The request that a backend is sent, with the flags that it claims. They hold for the response too, whatever that
    /// claims: servers do not look at its flags ("for legacy reasons", `parse_client_handshake_packet`).
    pub(super) fn replay(&self, offer: Offer) -> (Bytes, Sent) {
        let sent = self.0.cut_to(offer);
        (packet(SEQUENCE, |out| self.0.put(out, sent)), sent)
    }
}

impl<'a> Head<'a> {
    fn parse(reader: &mut Reader<'a>) -> Option<Self> {
        let (flags, as_it_came, mariadb) = (reader.u32()?, reader.bytes(AS_IT_CAME_LEN)?, reader.u32()?);
        Some(Head { flags, as_it_came, mariadb })
    }

    /// The flags that a backend is sent: those that the edge has offered, and that of whoever can be asked again.
    fn cut_to(&self, offer: Offer) -> Sent {
        let flags = self.flags & (offer.flags | CLIENT_MYSQL) | PLUGIN_AUTH;
        let mariadb = if flags & CLIENT_MYSQL == 0 { self.mariadb & offer.mariadb } else { 0 };
        Sent { flags, mariadb }
    }

    /// Appends the same 32 bytes with other flags.
    fn put(&self, out: &mut BytesMut, sent: Sent) {
        out.put_u32_le(sent.flags);
        out.put_slice(self.as_it_came);
        out.put_u32_le(sent.mariadb);
    }
}

fn skip_authentication(reader: &mut Reader<'_>, flags: u32) -> Option<()> {
    if flags & PLUGIN_AUTH_LENENC != 0 {
        reader.sized()?;
    } else if flags & SECURE_CONNECTION != 0 {
        let len = reader.u8()?;
        reader.bytes(len.into())?;
    } else {
        reader.string()?;
    }
    Some(())
}

/// The sequence number of a response: one more than the greeting's.
pub(super) const SEQUENCE: u8 = 1;

/// The name of a plugin that no account has, so that every server asks for the right one. Servers compare it, and do
/// nothing else with it (`parse_client_handshake_packet`).
const NO_PLUGIN: &[u8] = b"pierhead_asks_again";

/// max_packet:u32, collation:u8, filler[19].
const AS_IT_CAME_LEN: usize = 4 + 1 + 19;

#[cfg(test)]
mod tests {
    use super::super::capability::{COMMON, MARIADB_10_6};
    use super::*;

    const BASE: u32 = CLIENT_MYSQL | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
    const OFFER: Offer = Offer { flags: COMMON & !CLIENT_MYSQL, mariadb: MARIADB_10_6 };

    fn payload(flags: u32, mariadb: u32, rest: &[u8]) -> Vec<u8> {
        let head = [&flags.to_le_bytes()[..], b"\0\0\0\x01\x2d", &[0; 19], &mariadb.to_le_bytes()];
        [&head.concat(), rest].concat()
    }

    fn fault(payload: &[u8]) -> Fault {
        Response::parse(payload).unwrap_err()
    }

    #[test]
    fn what_is_passed_on_holds_no_password_and_asks_to_be_asked_again() {
        let rest = b"blog\0\x03pw!app\0mysql_native_password\0\x04\x01a\x01b";
        let came = payload(BASE | CONNECT_WITH_DB | CONNECT_ATTRS, 0, rest);
        let response = Response::parse(&came).unwrap();
        assert_eq!(response.user(), b"blog");
        let (replay, sent) = response.replay(OFFER);
        let expected = payload(
            BASE | CONNECT_WITH_DB | CONNECT_ATTRS,
            0,
            b"blog\0\0app\0pierhead_asks_again\0\x04\x01a\x01b",
        );
        assert_eq!(replay[..4], [expected.len() as u8, 0, 0, 1]);
        assert_eq!(replay[4..], expected);
        assert_eq!(sent, Sent { flags: BASE | CONNECT_WITH_DB | CONNECT_ATTRS, mariadb: 0 });
        // Passed on again it is the same: it is a response itself.
        assert_eq!(Response::parse(&replay[4..]).unwrap().replay(OFFER).0, replay);
    }

    #[test]
    fn what_was_not_offered_is_not_passed_on() {
        let query_attributes = 1 << 27;
        let came = payload(BASE | query_attributes | CONNECT_ATTRS, 0x3d, b"blog\0\0x\0\x04\x01a\x01b\x03");
        let offer = Offer { flags: COMMON & !CONNECT_ATTRS, mariadb: 0 };
        let (replay, sent) = Response::parse(&came).unwrap().replay(offer);
        assert_eq!(sent, Sent { flags: BASE, mariadb: 0 });
        assert_eq!(replay[4..], payload(BASE, 0, b"blog\0\0pierhead_asks_again\0"));
        // MariaDB's own flags are valid only if the client does not claim to be MySQL, whatever the edge is.
        let flags =
            |flags, offer| Response::parse(&payload(flags, 0x3d, b"blog\0\0x\0")).unwrap().replay(offer).1;
        assert_eq!(flags(BASE, OFFER), Sent { flags: BASE, mariadb: 0 });
        assert_eq!(flags(BASE & !CLIENT_MYSQL, OFFER), Sent { flags: BASE & !CLIENT_MYSQL, mariadb: 0x1d });
    }

    #[test]
    fn who_knows_no_plugins_is_said_to_know_them() {
        let came = payload(BASE & !PLUGIN_AUTH, 0, b"blog\0\x14aaaaaaaaaaaaaaaaaaaa");
        let (replay, sent) = Response::parse(&came).unwrap().replay(OFFER);
        assert_eq!(sent.flags, BASE);
        assert_eq!(replay[4..], payload(BASE, 0, b"blog\0\0pierhead_asks_again\0"));
    }

    #[test]
    fn a_password_has_three_forms() {
        let lenenc = b"blog\0\xfc\x03\0pw!x\0";
        for (flags, rest) in [
            (BASE, &b"blog\0\x03pw!x\0"[..]),
            (BASE | PLUGIN_AUTH_LENENC, lenenc),
            (BASE & !SECURE_CONNECTION | PLUGIN_AUTH_LENENC, lenenc),
            (BASE & !SECURE_CONNECTION, b"blog\0pw!\0x\0"),
        ] {
            let came = payload(flags, 0, rest);
            let response = Response::parse(&came).unwrap();
            assert!(response.replay(OFFER).0[36..].starts_with(b"blog\0\0pierhead"), "{rest:?}");
        }
    }

    #[test]
    fn a_plugin_may_lack_its_end_or_be_missing() {
        for rest in [&b"blog\0\0"[..], b"blog\0\0x", b"blog\0\0x\0"] {
            assert_eq!(Response::parse(&payload(BASE, 0, rest)).unwrap().user(), b"blog");
        }
        let quoted = payload(BASE, 0, b"'blog'\0\0x\0");
        assert_eq!(Response::parse(&quoted).unwrap().user(), b"blog");
        assert_eq!(Response::parse(&payload(BASE, 0, b"'\0\0x\0")).unwrap().user(), b"'");
    }

    #[test]
    fn every_way_not_to_end_is_found() {
        let whole =
            payload(BASE | CONNECT_WITH_DB | CONNECT_ATTRS, 0, b"blog\0\x03pw!app\0x\0\x04\x01a\x01b");
        for end in 2..whole.len() {
            // In the midst of the name of the plugin nothing is missing but the attributes behind it.
            assert!(matches!(fault(&whole[..end]), Fault::Layout(_)), "cut at {end}");
        }
        assert!(matches!(fault(b""), Fault::Layout(_)) && matches!(fault(b"\0"), Fault::Layout(_)));
        let huge = payload(BASE | PLUGIN_AUTH_LENENC, 0, b"blog\0\xfe\xff\xff\xff\xff\xff\xff\xff\xffx\0");
        assert!(matches!(fault(&huge), Fault::Layout("the password does not end")));
    }

    #[test]
    fn old_clients_and_tls_are_told_apart() {
        assert!(matches!(fault(b"\x85\x80\0\0\x01blog\0pw"), Fault::Protocol320));
        assert!(matches!(fault(&payload(CLIENT_MYSQL | PROTOCOL_41, 0, b"blog\0pw\0")), Fault::OldPassword));
        assert!(matches!(fault(&payload(BASE | SSL, 0, b"")), Fault::Tls));
        assert!(matches!(fault(&payload(BASE, 0, b"")), Fault::Layout(_)));
        // A whole response that claims TLS without a request for it: a server without TLS lets that pass.
        assert!(Response::parse(&payload(BASE | SSL, 0, b"blog\0\0x\0")).is_ok());
    }

    #[test]
    fn a_request_for_tls_is_known_by_its_flag_and_passed_on_alone() {
        let query_attributes = 1 << 27;
        let offer = Offer { flags: OFFER.flags | SSL, ..OFFER };
        for behind in [&b""[..], b"blog\0\0x\0"] {
            let came = payload(BASE & !CLIENT_MYSQL | SSL | query_attributes, 0x3d, behind);
            let (replay, sent) = TlsRequest::parse(&came).unwrap().replay(offer);
            assert_eq!(sent, Sent { flags: BASE & !CLIENT_MYSQL | SSL, mariadb: 0x1d });
            assert_eq!(replay[..4], [32, 0, 0, 1]);
            assert_eq!(replay[4..], payload(sent.flags, 0x1d, b""));
        }
        for none in [payload(BASE, 0, b""), payload(SSL, 0, b""), payload(BASE | SSL, 0, b"")[..31].to_vec()]
        {
            assert_eq!(TlsRequest::parse(&none), None);
        }
    }
}
