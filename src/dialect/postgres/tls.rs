//! TLS passed through to a PostgreSQL server: how it is begun there.

use bytes::Bytes;

use crate::dialect::{Greeting, HandshakeStep, Opening, Reason};

/// Asks the backend for TLS, swallows its `S`, and sends it the client's ClientHello.
pub fn open_tls(client_hello: Bytes) -> Opening {
    let request = Bytes::from_static(SSL_REQUEST_PACKET);
    Opening::Handshake(Box::new(Greeting::new(request, consent, client_hello)))
}

/// The answer to an SSLRequest is one byte. Anything behind it is not from the server: it waits for the ClientHello
/// (CVE-2021-23222).
fn consent(answer: &[u8]) -> Result<Option<usize>, HandshakeStep> {
    let refuse = |detail: &str| Err(HandshakeStep::Refuse(Reason::Unreachable, detail.to_owned()));
    match answer {
        [] => Ok(None),
        [b'S'] => Ok(Some(1)),
        [b'S', ..] => refuse("its server sent unencrypted data behind its consent to TLS"),
        [b'N', ..] => refuse("its server has no TLS (ssl = off)"),
        // What a server says that cannot even start a process for the connection.
        [b'E', ..] => Err(HandshakeStep::Retry("its server answers with an error".to_owned())),
        [..] => refuse("its server does not speak PostgreSQL"),
    }
}

/// Length 8, code 80877103.
const SSL_REQUEST_PACKET: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
