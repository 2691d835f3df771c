//! RabbitMQ, as the official image has it.
//!
//! The server reads users, virtual hosts and permissions from a file of definitions whenever it starts: that is what the
//! secret is. It has the password's hash only. There is no user `guest`: definitions take the place of the defaults.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::accounts::RabbitmqAccounts;
use super::{
    Access, Accounts, Archive, ImageSettings, Kind, LoginCheck, in_time, login_url, rabbitmq_archive,
};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::{Name, Protocol};

/// The kind `rabbitmq`.
pub struct Rabbitmq;

impl Kind for Rabbitmq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn protocol(&self) -> Protocol {
        Protocol::Amqp
    }

    fn port(&self) -> u16 {
        5672
    }

    fn image_settings(&self, name: &Name, plan: &Plan) -> ImageSettings {
        // Above this publishers have to wait. It is the share of the memory that the server takes by itself from 4.0 on;
        // before, it may not see how much its container has.
        let memory_max = (plan.memory.bytes() / 5 * 3).to_string();
        // `rabbitmq` is `$0`: what the configuration adds are lines of rabbitmq.conf.
        let args = ["sh", "-c", RUN, "rabbitmq", name.as_str(), &memory_max];
        ImageSettings {
            env: vec![
                // The data belong to the node of this name.
                ("RABBITMQ_NODENAME", "rabbit@localhost".into()),
                // Only tools in the container itself talk to the node by Erlang's own protocol.
                ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
                ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".into()),
            ],
            args: args.map(str::to_owned).to_vec(),
            secret_path: SECRET_PATH,
            volume_paths: &["/var/lib/rabbitmq"],
        }
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&RabbitmqAccounts)
    }

    /// With the virtual host, which is called as the addon.
    fn url(&self, access: &Access<'_>) -> String {
        format!("{}/{}", login_url("amqp", access), access.name)
    }

    fn variable(&self) -> &'static str {
        "RABBITMQ_URL"
    }

    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        name: &'a Name,
        login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a> {
        in_time(open(address, name, login, password))
    }

    fn archive(&self, _name: &Name) -> Option<Archive> {
        Some(rabbitmq_archive::archive())
    }

    fn client_elsewhere(&self) -> Option<&'static str> {
        Some(
            "`docker exec NAME rabbitmqctl list_queues -p NAME` looks into the server; amqp-publish and amqp-consume of \
             amqp-tools take the URL, as an argument that everybody on the host can read",
        )
    }
}

/// The hash of RabbitMQ ("Access Control", "Computing Password Hash"): a salt of four bytes, and the SHA-256 of it and the
/// password. The salt is made from the user: passwords are random, and the same file has to come out every time.
pub(super) fn password_hash(login: &str, password: &Password) -> String {
    let salt = &Sha256::digest(login)[..4];
    let hash = Sha256::new().chain_update(salt).chain_update(password.expose()).finalize();
    BASE64.encode([salt, &hash[..]].concat())
}

/// Logs in with AMQP 0-9-1, opens the virtual host, and takes leave: a server logs who does not.
async fn open(address: SocketAddr, name: &Name, login: &str, password: &Password) -> Result<(), String> {
    let (name, password) = (name.as_str(), password.expose());
    let short = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    let long = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let response = format!("\0{login}\0{password}");
    let start_ok = [long(TELL_WHY), short("PLAIN"), long(response.as_bytes()), short("en_US")].concat();
    let open = [short(name), vec![0, 0]].concat();
    let leave = [&200_u16.to_be_bytes()[..], &short("checked"), &[0; 4]].concat();

    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    say(&mut stream, b"AMQP\0\0\x09\x01").await?;
    hear(&mut stream, START).await?;
    say(&mut stream, &method(START_OK, &start_ok)).await?;
    // Channels, frames and heartbeats as the server likes them.
    let tune = hear(&mut stream, TUNE).await?;
    say(&mut stream, &[method(TUNE_OK, &tune), method(OPEN, &open)].concat()).await?;
    hear(&mut stream, OPEN_OK).await?;
    say(&mut stream, &method(CLOSE, &leave)).await?;
    hear(&mut stream, CLOSE_OK).await.map(drop)
}

async fn say(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).await.map_err(|error| error.to_string())
}

/// Reads a frame, which must be this method, and gives its arguments.
async fn hear(stream: &mut TcpStream, expected: u32) -> Result<Vec<u8>, String> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => error.to_string(),
    };
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.map_err(io)?;
    let [1, 0, 0, len @ ..] = head else { return Err("something else than AMQP 0-9-1".into()) };
    let len = u32::from_be_bytes(len);
    if !(4..=FRAME_LEN_MAX).contains(&len) {
        return Err(format!("a frame of {len} bytes"));
    }
    let found = stream.read_u32().await.map_err(io)?;
    let mut arguments = vec![0; len as usize - 4];
    stream.read_exact(&mut arguments).await.map_err(io)?;
    // The frame's end.
    stream.read_u8().await.map_err(io)?;
    match found {
        _ if found == expected => Ok(arguments),
        CLOSE => Err(reason(&arguments)),
        _ => Err(format!("an unexpected method {},{}", found >> 16, found & 0xffff)),
    }
}

/// The text of a Connection.Close: a code of two bytes stands before it.
fn reason(arguments: &[u8]) -> String {
    let text = match arguments {
        [_, _, len, rest @ ..] => rest.get(..usize::from(*len)).unwrap_or(rest),
        _ => b"",
    };
    String::from_utf8_lossy(text).into_owned()
}

/// A frame with a method.
fn method(method: u32, arguments: &[u8]) -> Vec<u8> {
    let len = (arguments.len() as u32 + 4).to_be_bytes();
    [&[1, 0, 0][..], &len, &method.to_be_bytes(), arguments, &[0xce]].concat()
}

/// Run by `sh` in the container: the virtual host, the most memory in bytes, then lines for the configuration. AMQP 1.0 names
/// no virtual host, so the default counts.
const RUN: &str = r#"set -eu
conf=/etc/rabbitmq/conf.d/90-pierhead.conf
cat >"$conf" <<CONF
load_definitions = /run/secrets/definitions.json
default_vhost = $1
vm_memory_high_watermark.absolute = $2
CONF
shift 2
[ "$#" = 0 ] || printf '%s\n' "$@" >>"$conf"
exec docker-entrypoint.sh rabbitmq-server
"#;

const SECRET_PATH: &str = "/run/secrets/definitions.json";

/// A client's property `capabilities`: without `authentication_failure_close` a failed login is not answered.
const TELL_WHY: &[u8] = b"\x0ccapabilitiesF\0\0\0\x1f\x1cauthentication_failure_closet\x01";
const FRAME_LEN_MAX: u32 = 64 * 1024;

/// Methods of the class `connection`: its number, and theirs.
const START: u32 = 10 << 16 | 10;
const START_OK: u32 = 10 << 16 | 11;
const TUNE: u32 = 10 << 16 | 30;
const TUNE_OK: u32 = 10 << 16 | 31;
const OPEN: u32 = 10 << 16 | 40;
const OPEN_OK: u32 = 10 << 16 | 41;
const CLOSE: u32 = 10 << 16 | 50;
const CLOSE_OK: u32 = 10 << 16 | 51;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addons::logins::{Account, Rights};

    #[test]
    fn the_password_is_in_the_url_and_nowhere_else() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("sesame".into()));
        let access =
            Access { name: &name, login: name.as_str(), password: &password, host: "::1", port: 5672 };
        let settings = Rabbitmq.image_settings(&name, &Plan::default());
        let account =
            Account { login: "blog".into(), rights: Rights::Owner, passwords: vec![password.clone()] };
        let secret = RabbitmqAccounts.users_text(&name, &[account], None).unwrap();
        let told = format!("{:?}{:?}{:?}{secret}", Rabbitmq.client(&access), settings.env, settings.args);
        assert!(!told.contains("sesame"), "{told}");
        assert_eq!(settings.args[3..], ["rabbitmq", "blog", "322122546"]);
        assert_eq!(Rabbitmq.url(&access), "amqp://blog:sesame@[::1]:5672/blog");
        let secret: serde_json::Value = serde_json::from_str(&secret).unwrap();
        // rabbitmqctl authenticate_user blog sesame
        assert_eq!(secret["users"][0]["password_hash"], "3vU+lQLh0hQ2TsZ4zNC0tjXrpr8PsZB8i6vkeoZ4SQ8ThqK9");
        assert_eq!(secret["permissions"][0]["vhost"], "blog");
    }

    #[test]
    fn a_close_says_why() {
        let close = method(CLOSE, b"\x01\x93\x03why\0\0\0\0");
        assert_eq!(close, b"\x01\0\0\0\0\0\x0e\0\x0a\0\x32\x01\x93\x03why\0\0\0\0\xce");
        assert_eq!(reason(b"\x01\x93\x03why\0\0\0\0\xce"), "why");
        assert_eq!(reason(b"\x01\x93\xffwhy"), "why");
        assert_eq!(reason(b"\x01"), "");
    }
}
