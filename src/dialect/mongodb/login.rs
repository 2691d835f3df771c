//! Whose addon a first command means.
//!
//! A driver opens two kinds of connections. Those for work begin with a hello that carries a login already
//! (`speculativeAuthenticate`); those that watch the server never log in, so only the application's name (`appName`
//! in the URL) can say whom they mean. Drivers that watch and work on one connection need no application's name.

use std::borrow::Cow;

use super::bson::{Document, Element, Value};
use super::fault::{Fault, shown};
use crate::dialect::Login;

/// Who is meant by a client whose first command this is.
pub(super) fn login(command: Document<'_>) -> Result<Login, Fault> {
    let name = match command.elements().next() {
        Some(element) => element?.key,
        None => b"",
    };
    match name {
        b"hello" | b"isMaster" | b"ismaster" => hello(command),
        // Drivers that know their server do not ask first.
        b"saslStart" => match sasl_start(command)? {
            Sasl::User(user) => login_of(&user),
            Sasl::Nobody(mechanism) => Err(Fault::Nobody(Some(mechanism))),
        },
        name => Err(Fault::Command(shown(name))),
    }
}

fn hello(command: Document<'_>) -> Result<Login, Fault> {
    let mut fields = Fields::default();
    for element in command.elements() {
        fields.take(element?)?;
    }
    let Fields { client, mechanisms, speculative } = fields;
    let app_name = client.map_or(Ok(None), app_name)?;
    let app_name = app_name.filter(|name| !name.is_empty());
    let asked = mechanisms.map(user_of_mechanisms).transpose()?;
    let sasl = speculative.map(sasl_start).transpose()?;
    let (user, mechanism) = match sasl {
        Some(Sasl::User(user)) => (Some(user), None),
        Some(Sasl::Nobody(mechanism)) => (None, Some(mechanism)),
        None => (None, None),
    };
    if let (Some(user), Some(asked)) = (&user, asked)
        && **user != *asked
    {
        return Err(disagree("speculativeAuthenticate", user, "saslSupportedMechs", asked));
    }
    match (user.or(asked.map(Cow::from)), app_name) {
        (Some(user), app_name) => agreed(&user, app_name),
        (None, Some(app_name)) => {
            Login::parse(app_name).map_err(|error| Fault::AppName(shown(app_name), error))
        }
        (None, None) => Err(Fault::Nobody(mechanism)),
    }
}

/// The fields of a hello that matter here.
#[derive(Default)]
struct Fields<'a> {
    client: Option<Document<'a>>,
    mechanisms: Option<&'a [u8]>,
    speculative: Option<Document<'a>>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, element: Element<'a>) -> Result<(), Fault> {
        match (element.key, element.value) {
            (b"client", Value::Document(client)) => once("client", &mut self.client, client),
            (b"saslSupportedMechs", Value::String(user)) => {
                once("saslSupportedMechs", &mut self.mechanisms, user)
            }
            (b"speculativeAuthenticate", Value::Document(command)) => {
                once("speculativeAuthenticate", &mut self.speculative, command)
            }
            _ => Ok(()),
        }
    }
}

/// Whoever logs in is meant. An application's name that could be an addon's must be the same one's: the driver's
/// connections that watch go there, and would tell it about another server than the one it works with. What can be no
/// addon's name ("MongoDB Compass") says nothing.
fn agreed(user: &[u8], app_name: Option<&[u8]>) -> Result<Login, Fault> {
    let login = login_of(user)?;
    match app_name.and_then(|name| Login::parse(name).ok()) {
        Some(app) if app.name != login.name => {
            Err(disagree("the login", user, "appName", app_name.unwrap_or_default()))
        }
        _ => Ok(login),
    }
}

fn login_of(user: &[u8]) -> Result<Login, Fault> {
    Login::parse(user).map_err(|error| Fault::Login(shown(user), error))
}

fn disagree(one: &'static str, name: &[u8], other: &'static str, other_name: &[u8]) -> Fault {
    Fault::Disagree([(one, shown(name)), (other, shown(other_name))])
}

/// `application.name` inside `client`.
fn app_name(client: Document<'_>) -> Result<Option<&[u8]>, Fault> {
    let (mut application, mut name) = (None, None);
    for element in client.elements() {
        if let Element { key: b"application", value: Value::Document(document) } = element? {
            once("application", &mut application, document)?;
        }
    }
    for element in application.iter().flat_map(|application| application.elements()) {
        if let Element { key: b"name", value: Value::String(text) } = element? {
            once("name", &mut name, text)?;
        }
    }
    Ok(name)
}

/// `DATABASE.USER`; a user may have dots in it, a database has none.
fn user_of_mechanisms(text: &[u8]) -> Result<&[u8], Fault> {
    let dot = text.iter().position(|byte| *byte == b'.').ok_or(Fault::Mechanisms)?;
    Ok(&text[dot + 1..])
}

/// Who begins to log in.
enum Sasl<'a> {
    User(Cow<'a, [u8]>),
    /// By a mechanism, fit to be shown, whose first message does not say.
    Nobody(String),
}

/// A command `saslStart`, by itself or in a hello.
fn sasl_start(command: Document<'_>) -> Result<Sasl<'_>, Fault> {
    let (mut mechanism, mut payload) = (None, None);
    for element in command.elements() {
        match element? {
            Element { key: b"mechanism", value: Value::String(name) } => {
                once("mechanism", &mut mechanism, name)?;
            }
            Element { key: b"payload", value: Value::Binary(bytes) } => {
                once("payload", &mut payload, bytes)?;
            }
            _ => {}
        }
    }
    let payload = payload.unwrap_or_default();
    match mechanism.unwrap_or_default() {
        b"SCRAM-SHA-256" | b"SCRAM-SHA-1" => {
            scram_user(payload).map(Sasl::User).ok_or(Fault::Payload("SCRAM"))
        }
        b"PLAIN" => plain_user(payload).map(|user| Sasl::User(user.into())).ok_or(Fault::Payload("PLAIN")),
        other => Ok(Sasl::Nobody(shown(other))),
    }
}

/// The user in `n,,n=USER,r=NONCE` (RFC 5802), as the server reads it (`sasl_scram_server_conversation.cpp`): no
/// channel binding, no mandatory extension, `=2C` and `=3D` for `,` and `=`.
fn scram_user(payload: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut parts = payload.splitn(4, |byte| *byte == b',');
    let (binding, _authorization, user) = (parts.next()?, parts.next()?, parts.next()?);
    let user = user.strip_prefix(b"n=").filter(|user| !user.is_empty())?;
    if !matches!(binding, b"n" | b"y") || parts.next().is_none() {
        return None;
    }
    if !user.contains(&b'=') {
        return Some(user.into());
    }
    let mut decoded = Vec::with_capacity(user.len());
    let mut rest = user;
    while let Some((byte, behind)) = rest.split_first() {
        let (byte, behind) = match rest {
            [b'=', b'2', b'C', behind @ ..] => (b',', behind),
            [b'=', b'3', b'D', behind @ ..] => (b'=', behind),
            _ => (*byte, behind),
        };
        decoded.push(byte);
        rest = behind;
    }
    Some(decoded.into())
}

/// The user in `\0USER\0PASSWORD` (RFC 4616). In front may stand whose rights are wanted, which is not asked.
fn plain_user(payload: &[u8]) -> Option<&[u8]> {
    let mut parts = payload.split(|byte| *byte == 0);
    let (_authorization, user, _password) = (parts.next()?, parts.next()?, parts.next()?);
    Some(user).filter(|user| !user.is_empty() && parts.next().is_none())
}

/// Keeps what a field says, if it says it for the first time.
fn once<T>(field: &'static str, place: &mut Option<T>, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::Twice(field)),
    }
}
