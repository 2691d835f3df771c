//! MySQL and MariaDB: a server that speaks first, with a nonce that the client's password is hashed with.
//!
//! In: what a client answers to the edge's own greeting ([`ConnectionPhase`]). Out: the addon that is meant, and a
//! handshake with its server that ends where both streams line up. The nonce of that server is another one, so the
//! client has to hash once more, and the protocol has a way to ask for that: if a client claims to log in by another
//! plugin than its account's, the server answers with an AuthSwitchRequest, which holds the right plugin and a fresh
//! nonce. So the edge replays the client's response with the name of a plugin that nobody has and without what the
//! client had hashed; the server's AuthSwitchRequest is the first packet that is for the client, with the very
//! sequence number that the client waits for.
//!
//! Where TLS is offered, a client may ask for it instead of responding. Nobody but the server reads its response then,
//! so the host name in the ClientHello leads to the addon, and it is the plugin named in the greeting that makes the
//! server ask again ([`Settings::offering`]).
//!
//! Where a choice is left open the server's own behaviour decides (MariaDB's `sql_acl.cc`, tried on 10.11). Packets and
//! their fields are named as in the MySQL internals manual, "Connection Phase".

mod backend;
mod capability;
mod fault;
mod packet;
mod phase;
mod refusal;
mod response;
mod settings;

pub use phase::ConnectionPhase;
pub use settings::{Flavour, Random, Settings, Version};
