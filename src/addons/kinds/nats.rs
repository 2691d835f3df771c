//! NATS with JetStream, as the official image has it.
//!
//! The server takes no password from a file of its own, but all of its configuration: that is what the secret is.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Access, ClientCommand, ImageSettings, Kind, LoginCheck, in_time, login_url, url_host};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::{Name, Protocol};

/// The kind `nats`.
pub struct Nats;

impl Kind for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn protocol(&self) -> Protocol {
        Protocol::Nats
    }

    fn port(&self) -> u16 {
        4222
    }

    fn image_settings(&self, _name: &Name, plan: &Plan) -> ImageSettings {
        let memory = plan.memory.bytes();
        ImageSettings {
            env: vec![
                // Above this the server's garbage collector works harder, before the kernel would end the server.
                ("GOMEMLIMIT", format!("{}B", memory / 4 * 3)),
                // Of it, what streams may have that are kept in memory. The configuration asks for it by name.
                ("PIERHEAD_STREAMS_IN_MEMORY", (memory / 4).to_string()),
            ],
            args: ["-c", SECRET_PATH].map(str::to_owned).to_vec(),
            secret_path: SECRET_PATH,
            volume_paths: &["/data"],
        }
    }

    fn secret_text(&self, name: &Name, password: &Password) -> Option<String> {
        // Quoted as in JSON, should somebody have chosen a password that needs it.
        let password = serde_json::Value::from(password.expose());
        Some(format!(
            "port: {}\nserver_name: \"{name}\"\nauthorization {{ user: \"{name}\", password: {password} }}\n\
             jetstream {{ store_dir: \"/data\", max_memory_store: $PIERHEAD_STREAMS_IN_MEMORY }}\n",
            self.port(),
        ))
    }

    fn url(&self, access: &Access<'_>) -> String {
        login_url("nats", access)
    }

    fn variable(&self) -> &'static str {
        "NATS_URL"
    }

    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        name: &'a Name,
        _login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a> {
        in_time(ping(address, name, password))
    }

    fn client(&self, access: &Access<'_>) -> Option<ClientCommand> {
        let server = format!("{}:{}", url_host(access.host), access.port);
        Some(ClientCommand {
            program: "nats".into(),
            args: ["--server", &server, "--user", access.login].map(str::to_owned).to_vec(),
            args_in_container: vec![],
            password_variable: "NATS_PASSWORD".into(),
        })
    }

    fn client_elsewhere(&self) -> Option<&'static str> {
        Some("the command line of NATS is at github.com/nats-io/natscli, and in the image natsio/nats-box")
    }
}

/// Logs in, and is answered.
async fn ping(address: SocketAddr, name: &Name, password: &Password) -> Result<(), String> {
    let login = serde_json::json!({
        "user": name.as_str(), "pass": password.expose(), "verbose": false, "name": "pierhead login check",
    });
    let io = |error: std::io::Error| error.to_string();
    let (from, mut to) = TcpStream::connect(address).await.map_err(io)?.into_split();
    let mut answers = BufReader::new(from.take(ANSWERS_LEN_MAX)).lines();
    let mut said = false;
    while let Some(line) = answers.next_line().await.map_err(io)? {
        match line.split(' ').next() {
            Some("INFO") if !said => {
                to.write_all(format!("CONNECT {login}\r\nPING\r\n").as_bytes()).await.map_err(io)?;
                said = true;
            }
            Some("PONG") => return Ok(()),
            Some("-ERR") => return Err(line.trim_start_matches("-ERR ").trim_matches('\'').to_owned()),
            _ => {}
        }
    }
    Err("the server closed the connection".into())
}

const SECRET_PATH: &str = "/run/secrets/nats.conf";
const ANSWERS_LEN_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_the_secret_file_and_in_the_url_and_nowhere_else() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("sesame".into()));
        let access =
            Access { name: &name, login: name.as_str(), password: &password, host: "::1", port: 4222 };
        let settings = Nats.image_settings(&name, &Plan::default());
        let told = format!("{:?}{:?}{:?}", Nats.client(&access), settings.env, settings.args);
        assert!(!told.contains("sesame"));
        assert!(told.contains("402653184B") && told.contains("134217728"), "{told}");
        assert_eq!(Nats.url(&access), "nats://blog:sesame@[::1]:4222");
        let secret = Nats.secret_text(&name, &password).unwrap();
        assert!(secret.contains("authorization { user: \"blog\", password: \"sesame\" }"), "{secret}");
    }
}
