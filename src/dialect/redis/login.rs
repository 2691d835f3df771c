//! What a command means to somebody who has not logged in: who the client is, or what a server answers it
//! (`authCommand` and `helloCommand`).

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::fault::Fault;
use crate::dialect::Login;

/// What a command means before a login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing: the server answers it with this line.
    Answer(Cow<'static, [u8]>),
    /// Good-bye.
    Quit,
    /// The client is this one.
    Login {
        /// Who.
        login: Login,
        /// The command to send to the backend, where it is not the one that the client has sent.
        rewritten: Option<Bytes>,
    },
}

/// The meaning of a command, which has at least a name.
pub(super) fn meaning(args: &[Cow<'_, [u8]>]) -> Result<Meaning, Fault> {
    let is = |name: &[u8]| args.first().is_some_and(|arg| arg.eq_ignore_ascii_case(name));
    let credentials = if is(b"auth") {
        auth(args)
    } else if is(b"hello") {
        hello(args)
    } else if is(b"quit") {
        return Ok(Meaning::Quit);
    } else if is(b"reset") {
        let answer = if args.len() == 1 { RESET } else { RESET_ARITY };
        return Ok(Meaning::Answer(answer.into()));
    } else if is(b"post") || is(b"host:") {
        return Err(Fault::CrossProtocol);
    } else {
        return Ok(Meaning::Answer(NOAUTH.into()));
    };
    match credentials {
        Ok(credentials) => login(args, &credentials),
        Err(answer) => Ok(Meaning::Answer(answer)),
    }
}

/// Where the user and the password stand in a command.
struct Credentials {
    /// `None`: the command has none, and means the user `default`.
    user: Option<usize>,
    password: usize,
}

/// `AUTH password`, `AUTH user password`.
fn auth(args: &[Cow<'_, [u8]>]) -> Result<Credentials, Cow<'static, [u8]>> {
    match args.len() {
        0 | 1 => Err(AUTH_ARITY.into()),
        2 => Ok(Credentials { user: None, password: 1 }),
        3 => Ok(Credentials { user: Some(1), password: 2 }),
        _ => Err(SYNTAX.into()),
    }
}

/// `HELLO version` and options in any order. The last AUTH counts, as in Redis since 7.2.
fn hello(args: &[Cow<'_, [u8]>]) -> Result<Credentials, Cow<'static, [u8]>> {
    match args.get(1).map(|version| version.as_ref()) {
        None | Some(b"2" | b"3") => {}
        Some(version) if is_integer(version) => return Err(NOPROTO.into()),
        Some(_) => return Err(NO_VERSION.into()),
    }
    let mut credentials = None;
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let left = args.len() - at - 1;
        if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
            credentials = Some(Credentials { user: Some(at + 1), password: at + 2 });
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
            if !args[at + 1].iter().all(u8::is_ascii_graphic) {
                return Err(CLIENT_NAME.into());
            }
            at += 2;
        } else {
            return Err(unknown_option(option).into());
        }
    }
    credentials.ok_or(HELLO_NOAUTH.into())
}

/// Whether the server's `string2ll` would take it: then a version is only not supported.
fn is_integer(version: &[u8]) -> bool {
    let digits = version.strip_prefix(b"-").unwrap_or(version);
    let strict = matches!(digits, [b'1'..=b'9', ..]) || version == b"0";
    strict && std::str::from_utf8(version).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// The server shows the option as it came, up to a zero byte, and keeps its answer on one line.
fn unknown_option(option: &[u8]) -> Vec<u8> {
    let shown = option.split(|byte| *byte == 0).next().unwrap_or_default();
    let one_line = shown.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte });
    let mut answer = b"-ERR Syntax error in HELLO option '".to_vec();
    answer.extend(one_line);
    answer.extend(b"'\r\n");
    answer
}

/// Who has these credentials. The user `default` is nobody's name: libraries that know only passwords name the
/// addon in front of the password, `addon:password`, and the backend is told both in the usual way.
fn login(args: &[Cow<'_, [u8]>], credentials: &Credentials) -> Result<Meaning, Fault> {
    let password = arg(args, credentials.password);
    let user = credentials.user.map_or(DEFAULT_USER, |at| arg(args, at));
    if user != DEFAULT_USER {
        let login = Login::parse(user).map_err(|error| Fault::user(user, error))?;
        return Ok(Meaning::Login { login, rewritten: None });
    }
    let colon = password.iter().position(|&byte| byte == b':').ok_or(Fault::NoUser)?;
    let (user, password) = (&password[..colon], &password[colon + 1..]);
    // What is no name may be a part of a password: it is not shown.
    let login = Login::parse(user).map_err(|_| Fault::NoUser)?;
    let mut words: Vec<&[u8]> = args.iter().map(|arg| arg.as_ref()).collect();
    match credentials.user {
        Some(at) => words[at] = user,
        None => words.insert(1, user),
    }
    if let Some(last) = words.get_mut(credentials.user.map_or(2, |at| at + 1)) {
        *last = password;
    }
    Ok(Meaning::Login { login, rewritten: Some(encode(&words)) })
}

fn arg<'a>(args: &'a [Cow<'_, [u8]>], at: usize) -> &'a [u8] {
    args.get(at).map_or(b"", |arg| arg.as_ref())
}

/// A command as an array.
fn encode(words: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.put_slice(format!("${}\r\n", word.len()).as_bytes());
        out.put_slice(word);
        out.put_slice(b"\r\n");
    }
    out.freeze()
}

const DEFAULT_USER: &[u8] = b"default";

// The words of redis-server 7.0.15.
const RESET: &[u8] = b"+RESET\r\n";
const RESET_ARITY: &[u8] = b"-ERR wrong number of arguments for 'reset' command\r\n";
pub(super) const NOAUTH: &[u8] = b"-NOAUTH Authentication required.\r\n";
const AUTH_ARITY: &[u8] = b"-ERR wrong number of arguments for 'auth' command\r\n";
const SYNTAX: &[u8] = b"-ERR syntax error\r\n";
const NOPROTO: &[u8] = b"-NOPROTO unsupported protocol version\r\n";
const NO_VERSION: &[u8] = b"-ERR Protocol version is not an integer or out of range\r\n";
const CLIENT_NAME: &[u8] = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n";
const HELLO_NOAUTH: &[u8] = b"-NOAUTH HELLO must be called with the client already authenticated, otherwise \
    the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
    version at the same time\r\n";
