//! Mosquitto, an MQTT broker, as the official image (eclipse-mosquitto) has it.
//!
//! The broker wants its password hashed, in a file of its own: its own tool does that to a copy of the secret when the
//! container starts, where its configuration is written, too.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Access, ClientCommand, ImageSettings, Kind, LoginCheck, in_time, login_url};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::{Name, Protocol};

/// The kind `mosquitto`.
pub struct Mosquitto;

impl Kind for Mosquitto {
    fn name(&self) -> &'static str {
        "mosquitto"
    }

    fn protocol(&self) -> Protocol {
        Protocol::Mqtt
    }

    fn port(&self) -> u16 {
        1883
    }

    fn image_settings(&self, _name: &Name, plan: &Plan) -> ImageSettings {
        let memory_max = (plan.memory.bytes() / 4 * 3).to_string();
        // The last but one is `$0`: what the configuration adds goes to the broker.
        let args = ["sh", "-c", START, "mosquitto", &memory_max];
        ImageSettings {
            env: vec![],
            args: args.map(str::to_owned).to_vec(),
            secret_path: SECRET_PATH,
            volume_paths: &["/mosquitto/data"],
        }
    }

    fn secret_text(&self, name: &Name, password: &Password) -> Option<String> {
        Some(format!("{name}:{}\n", password.expose()))
    }

    fn secret_uid(&self) -> u32 {
        1883
    }

    fn url(&self, access: &Access<'_>) -> String {
        login_url("mqtt", access)
    }

    fn variable(&self) -> &'static str {
        "MQTT_URL"
    }

    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        name: &'a Name,
        _login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a> {
        in_time(connect(address, name, password))
    }

    fn client(&self, access: &Access<'_>) -> Option<ClientCommand> {
        let args = |host: &str, port: u16| {
            let args = ["-h", host, "-p", &port.to_string(), "-u", access.login];
            args.map(str::to_owned).to_vec()
        };
        Some(ClientCommand {
            program: "mosquitto_sub".into(),
            args: args(access.host, access.port),
            args_in_container: args("127.0.0.1", self.port()),
            password_variable: "MQTT_PASSWORD".into(),
        })
    }

    fn client_script(&self) -> Option<&'static str> {
        Some(CLIENT)
    }
}

/// Logs in, with MQTT 3.1.1.
async fn connect(address: SocketAddr, name: &Name, password: &Password) -> Result<(), String> {
    let string = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    // A clean session of nobody in particular, user and password, 60 s between signs of life.
    let head = b"\0\x04MQTT\x04\xc2\0\x3c\0\0".to_vec();
    let body = [head, string(name.as_str()), string(password.expose())].concat();
    let len = u8::try_from(body.len()).ok().filter(|len| *len < 0x80).ok_or("the password is too long")?;
    let io = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(io)?;
    stream.write_all(&[&[0x10, len][..], &body].concat()).await.map_err(io)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.map_err(io)?;
    match answer {
        [0x20, 2, _, 0] => {}
        [0x20, 2, _, 3] => return Err("server unavailable".into()),
        [0x20, 2, _, 4 | 5] => return Err("not authorized".into()),
        other => return Err(format!("something else than an answer to a login: {other:?}")),
    }
    stream.write_all(b"\xe0\0").await.map_err(io)
}

/// Run by `sh` in the container: the limit of the broker's memory in bytes, then arguments for the broker.
const START: &str = r#"set -eu
umask 077
dir=$(mktemp -d)
cp /run/secrets/users "$dir/users"
mosquitto_passwd -U "$dir/users"
cat >"$dir/mosquitto.conf" <<CONF
listener 1883
allow_anonymous false
password_file $dir/users
persistence true
persistence_location /mosquitto/data/
autosave_interval 10
log_dest stdout
memory_limit $1
CONF
shift
[ "$(id -u)" != 0 ] || chown -R mosquitto "$dir"
exec mosquitto -c "$dir/mosquitto.conf" "$@"
"#;

/// mosquitto_sub takes a password as an argument, which everybody can read, or from a file of options. Without a topic
/// it hears all of them.
const CLIENT: &str = r#"umask 077
dir=$(mktemp -d) || exit
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
printf '%s\n' "-P $MQTT_PASSWORD" >"$dir/$0"
unset MQTT_PASSWORD
case " $* " in *' -t '* | *' --topic '*) ;; *) set -- "$@" -v -t '#' ;; esac
XDG_CONFIG_HOME=$dir "$0" "$@"
"#;

const SECRET_PATH: &str = "/run/secrets/users";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_the_secret_file_and_in_the_url_and_nowhere_else() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("sesame".into()));
        let access = Access {
            name: &name,
            login: name.as_str(),
            password: &password,
            host: "db.example.com",
            port: 1883,
        };
        let settings = Mosquitto.image_settings(&name, &Plan::default());
        assert!(!format!("{:?}{:?}", Mosquitto.client(&access), settings.args).contains("sesame"));
        assert_eq!(settings.args[3..], ["mosquitto", "402653184"]);
        assert_eq!(Mosquitto.url(&access), "mqtt://blog:sesame@db.example.com:1883");
        assert_eq!(Mosquitto.secret_text(&name, &password).unwrap(), "blog:sesame\n");
    }
}
