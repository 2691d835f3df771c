//! Redis and Valkey, as their official images have them.
//!
//! These images take no password file, but the server reads its users from one (`--aclfile`), so that is what the
//! secret is. It has the password's hash only. The user `default`, which needs no name, is off: a login says who is
//! meant.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::accounts::RedisAccounts;
use super::upgrade::Upgrade;
use super::{
    Access, Accounts, Archive, ClientCommand, ImageSettings, Kind, LoginCheck, Settings, in_time, login_url,
    redis_archive,
};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::{Name, Protocol};

/// A kind of this family: the same arguments, files and commands.
pub struct Redis {
    name: &'static str,
    client: &'static str,
    check: &'static str,
    version: &'static [&'static str],
    accounts: RedisAccounts,
}

/// The kind `redis`.
pub static REDIS: Redis = Redis {
    name: "redis",
    client: "redis-cli",
    check: "redis-check-rdb",
    version: &["redis-server", "--version"],
    accounts: RedisAccounts { client: "redis-cli" },
};
/// The kind `valkey`.
pub static VALKEY: Redis = Redis {
    name: "valkey",
    client: "valkey-cli",
    check: "valkey-check-rdb",
    version: &["valkey-server", "--version"],
    accounts: RedisAccounts { client: "valkey-cli" },
};

impl Kind for Redis {
    fn name(&self) -> &'static str {
        self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol::Redis
    }

    fn port(&self) -> u16 {
        6379
    }

    fn reserved_names(&self) -> &'static [&'static str] {
        &["default", "pierhead"]
    }

    fn image_settings(&self, _name: &Name, plan: &Plan) -> ImageSettings {
        // The rest is for buffers, and for what changes while a child writes the data down. A write beyond it is
        // refused with OOM, where the kernel would end the server.
        let data_max = plan.memory.bytes() / 4 * 3;
        let args = ["--aclfile", SECRET_PATH, "--appendonly", "yes", "--maxmemory", &data_max.to_string()];
        ImageSettings {
            env: vec![],
            args: args.map(str::to_owned).to_vec(),
            secret_path: SECRET_PATH,
            volume_paths: &["/data"],
        }
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.accounts)
    }

    fn settings(&self) -> Option<&dyn Settings> {
        Some(&self.accounts)
    }

    fn url(&self, access: &Access<'_>) -> String {
        format!("{}/0", login_url("redis", access))
    }

    fn variable(&self) -> &'static str {
        "REDIS_URL"
    }

    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        _name: &'a Name,
        login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a> {
        in_time(ping(address, login, password))
    }

    fn archive(&self, _name: &Name) -> Option<Archive> {
        Some(redis_archive::archive(self.client, self.check))
    }

    fn upgrade(&self) -> Option<Upgrade> {
        // A later server reads what an earlier one has written down, and not the other way round.
        Some(Upgrade { version: self.version, same_files: 0, moving: None })
    }

    fn client(&self, access: &Access<'_>) -> Option<ClientCommand> {
        let args = |host: &str, port: u16| {
            let args = ["-h", host, "-p", &port.to_string(), "--user", access.login];
            args.map(str::to_owned).to_vec()
        };
        Some(ClientCommand {
            program: self.client.into(),
            args: args(access.host, access.port),
            args_in_container: args("127.0.0.1", self.port()),
            password_variable: "REDISCLI_AUTH".into(),
        })
    }
}

/// Logs in and asks for something that a server which is still loading its data refuses.
async fn ping(address: SocketAddr, name: &str, password: &Password) -> Result<(), String> {
    let password = password.expose();
    let (name_len, password_len) = (name.len(), password.len());
    let commands = format!(
        "*3\r\n$4\r\nAUTH\r\n${name_len}\r\n{name}\r\n${password_len}\r\n{password}\r\n*1\r\n$4\r\nPING\r\n"
    );
    let io = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(io)?;
    stream.write_all(commands.as_bytes()).await.map_err(io)?;
    let mut answers = BufReader::new(stream.take(ANSWERS_LEN_MAX)).lines();
    for expected in ["+OK", "+PONG"] {
        match answers.next_line().await.map_err(io)? {
            Some(answer) if answer == expected => {}
            Some(answer) => return Err(answer.trim_start_matches('-').to_owned()),
            None => return Err("the server closed the connection".into()),
        }
    }
    Ok(())
}

const SECRET_PATH: &str = "/run/secrets/users.acl";
const ANSWERS_LEN_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addons::logins::{Account, Rights};

    fn access<'a>(name: &'a Name, password: &'a Password) -> Access<'a> {
        Access { name, login: name.as_str(), password, host: "db.example.com", port: 6379 }
    }

    #[test]
    fn urls_are_percent_encoded() {
        let (name, password) = (Name::parse("blog-1").unwrap(), Password::new("p@ss/w:rd %é".into()));
        let mut access = access(&name, &password);
        assert_eq!(REDIS.url(&access), "redis://blog-1:p%40ss%2Fw%3Ard%20%25%C3%A9@db.example.com:6379/0");
        access.host = "::1";
        assert!(VALKEY.url(&access).ends_with("@[::1]:6379/0"));
    }

    #[test]
    fn the_password_is_in_the_secret_file_and_nowhere_else() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("sesame".into()));
        let client = format!("{:?}", REDIS.client(&access(&name, &password)));
        let settings = REDIS.image_settings(&name, &Plan::default());
        assert!(
            !client.contains("sesame")
                && !format!("{:?}{:?}", settings.env, settings.args).contains("sesame")
        );
        assert_eq!(settings.args[4..], ["--maxmemory", "402653184"]);
        let account = Account { login: "blog".into(), rights: Rights::Owner, passwords: vec![password] };
        let secret = REDIS.accounts.users_text(&name, &[account], None).unwrap();
        // echo -n sesame | sha256sum
        let hash = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272";
        assert_eq!(
            secret,
            format!("user default reset ~* &* +@all\nuser blog on #{hash} ~* &* +@all -@admin +config|get\n")
        );
    }
}
