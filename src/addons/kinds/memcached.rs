//! memcached with SASL, as the official image has it.
//!
//! The server reads its users from a file (`MEMCACHED_SASL_PWDB`), which is what the secret is. PLAIN is the only way to log
//! in: of the others that the SASL library brings, one lets everybody in.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Access, ImageSettings, Kind, LoginCheck, in_time, login_url};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::{Name, Protocol};

/// The kind `memcached`.
pub struct Memcached;

impl Kind for Memcached {
    fn name(&self) -> &'static str {
        "memcached"
    }

    fn protocol(&self) -> Protocol {
        Protocol::Memcached
    }

    fn port(&self) -> u16 {
        11211
    }

    fn image_settings(&self, _name: &Name, plan: &Plan) -> ImageSettings {
        // The rest is for connections and for the server itself.
        let values_mib = ((plan.memory.bytes() / 4 * 3) >> 20).to_string();
        let args = ["sh", "-c", START, "memcached", "-m", &values_mib];
        ImageSettings {
            env: vec![
                ("MEMCACHED_SASL_PWDB", SECRET_PATH.to_owned()),
                ("SASL_CONF_PATH", "/tmp/sasl".to_owned()),
            ],
            args: args.map(str::to_owned).to_vec(),
            secret_path: SECRET_PATH,
            // It keeps nothing.
            volume_paths: &[],
        }
    }

    fn secret_text(&self, name: &Name, password: &Password) -> Option<String> {
        Some(format!("{name}:{}\n", password.expose()))
    }

    fn secret_uid(&self) -> u32 {
        11211
    }

    fn url(&self, access: &Access<'_>) -> String {
        login_url("memcached", access)
    }

    fn variable(&self) -> &'static str {
        "MEMCACHED_URL"
    }

    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        name: &'a Name,
        _login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a> {
        in_time(auth(address, name, password))
    }

    fn client_elsewhere(&self) -> Option<&'static str> {
        Some(
            "use a library that logs in by SASL, such as python-binary-memcached, or memccat of libmemcached-tools",
        )
    }
}

/// Logs in by SASL PLAIN.
async fn auth(address: SocketAddr, name: &Name, password: &Password) -> Result<(), String> {
    let body = format!("PLAIN\0{name}\0{}", password.expose());
    let mut request = vec![0x80, 0x21, 0, 5, 0, 0, 0, 0];
    request.extend((body.len() as u32).to_be_bytes());
    request.extend([0; 12]);
    request.extend(body.as_bytes());
    let io = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(io)?;
    stream.write_all(&request).await.map_err(io)?;
    let mut header = [0; 24];
    stream.read_exact(&mut header).await.map_err(io)?;
    let [0x81, 0x21, .., a, b, c, d] = header[..12] else {
        return Err("something else than an answer to a login".into());
    };
    if header[6..8] == [0, 0] {
        return Ok(());
    }
    let mut text = vec![];
    let len = u64::from(u32::from_be_bytes([a, b, c, d])).min(ANSWER_LEN_MAX);
    stream.take(len).read_to_end(&mut text).await.map_err(io)?;
    Err(String::from_utf8_lossy(&text).into_owned())
}

/// Run by `sh` in the container, with arguments for the server.
const START: &str = r#"mkdir -p "$SASL_CONF_PATH" && echo 'mech_list: plain' >"$SASL_CONF_PATH/memcached.conf" && exec docker-entrypoint.sh -S "$@""#;

const SECRET_PATH: &str = "/run/secrets/users";
const ANSWER_LEN_MAX: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_the_secret_file_and_in_the_url_and_nowhere_else() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("sesame".into()));
        let access =
            Access { name: &name, login: name.as_str(), password: &password, host: "::1", port: 11211 };
        let settings = Memcached.image_settings(&name, &Plan::default());
        assert!(!format!("{:?}{:?}", settings.env, settings.args).contains("sesame"));
        assert_eq!(settings.args[3..], ["memcached", "-m", "384"]);
        assert_eq!(Memcached.url(&access), "memcached://blog:sesame@[::1]:11211");
        assert_eq!(Memcached.secret_text(&name, &password).unwrap(), "blog:sesame\n");
    }
}
