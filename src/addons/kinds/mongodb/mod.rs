//! MongoDB, as the official image has it.
//!
//! That image can make a root user from variables and files. An application needs less: a user of its own database.
//! So the secret is a script that the image runs when the data are new, which makes that user and no other, and the
//! server is told by its argument that nobody comes in without a login.

mod login;

use std::net::SocketAddr;

use super::{Access, ClientCommand, ImageSettings, Kind, LoginCheck, in_time, percent_encoded, url_host};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::{Name, Protocol};

/// The kind `mongodb`.
pub struct Mongodb;

impl Kind for Mongodb {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn protocol(&self) -> Protocol {
        Protocol::Mongodb
    }

    fn port(&self) -> u16 {
        27017
    }

    /// The server's own databases: who owns `admin` owns everything.
    fn reserved_names(&self) -> &'static [&'static str] {
        &["admin", "config", "local"]
    }

    fn image_settings(&self, _name: &Name, _plan: &Plan) -> ImageSettings {
        ImageSettings {
            env: vec![],
            // What the image adds by itself only for a root user; it leaves it out while it runs the script.
            args: vec!["--auth".into()],
            secret_path: "/docker-entrypoint-initdb.d/pierhead.js",
            volume_paths: &["/data/db"],
        }
    }

    fn secret_text(&self, name: &Name, password: &Password) -> Option<String> {
        let database = name.as_str();
        let role = serde_json::json!({"role": "dbOwner", "db": database});
        let user = serde_json::json!({"user": database, "pwd": password.expose(), "roles": [role]});
        Some(format!("db.getSiblingDB(\"{database}\").createUser({user});\n"))
    }

    fn url(&self, access: &Access<'_>) -> String {
        let (name, password) = (access.name.as_str(), percent_encoded(access.password.expose()));
        format!("mongodb://{name}:{password}@{}", location(name, access.host, access.port))
    }

    fn variable(&self) -> &'static str {
        "MONGO_URL"
    }

    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        name: &'a Name,
        _login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a> {
        in_time(login::log_in(address, name, password))
    }

    /// mongosh takes a password only as an argument or typed in, but what it is told to run can read a variable.
    fn client(&self, access: &Access<'_>) -> Option<ClientCommand> {
        let name = access.name.as_str();
        let args = |host: &str, port: u16| {
            let url = format!("mongodb://{}", location(name, host, port));
            let connect = format!("db = connect({url:?}, {name:?}, process.env.{PASSWORD_VARIABLE})");
            ["--nodb", "--shell", "--eval", &connect].map(str::to_owned).to_vec()
        };
        Some(ClientCommand {
            program: "mongosh".into(),
            args: args(access.host, access.port),
            args_in_container: args("127.0.0.1", self.port()),
            password_variable: PASSWORD_VARIABLE.into(),
        })
    }
}

/// What comes behind the login in a URL. `appName` leads the connections on which a driver watches the server and
/// never logs in; `directConnection` keeps it from looking for other servers.
fn location(name: &str, host: &str, port: u16) -> String {
    format!("{}:{port}/{name}?authSource={name}&directConnection=true&appName={name}", url_host(host))
}

const PASSWORD_VARIABLE: &str = "MONGODB_PASSWORD";

#[cfg(test)]
mod tests {
    use super::*;

    fn access<'a>(name: &'a Name, password: &'a Password) -> Access<'a> {
        Access { name, login: name.as_str(), password, host: "db.example.com", port: 27017 }
    }

    #[test]
    fn urls_are_percent_encoded_and_have_what_drivers_need() {
        let (name, password) = (Name::parse("blog-1").unwrap(), Password::new("p@ss/w:rd %é".into()));
        let mut access = access(&name, &password);
        let behind = "27017/blog-1?authSource=blog-1&directConnection=true&appName=blog-1";
        let url = format!("mongodb://blog-1:p%40ss%2Fw%3Ard%20%25%C3%A9@db.example.com:{behind}");
        assert_eq!(Mongodb.url(&access), url);
        access.host = "::1";
        assert!(Mongodb.url(&access).ends_with(&format!("@[::1]:{behind}")));
    }

    #[test]
    fn the_password_is_in_the_script_and_nowhere_else() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("ses\"ame".into()));
        let client = Mongodb.client(&access(&name, &password)).unwrap();
        let settings = Mongodb.image_settings(&name, &Plan::default());
        let told = format!("{client:?} {:?} {:?}", settings.env, settings.args);
        assert!(!told.contains("ame\"") && told.contains("process.env.MONGODB_PASSWORD"), "{told}");
        assert_eq!(
            client.args[3],
            "db = connect(\"mongodb://db.example.com:27017/blog?authSource=blog&directConnection=true&appName=blog\", \
             \"blog\", process.env.MONGODB_PASSWORD)"
        );
        let script = Mongodb.secret_text(&name, &password).unwrap();
        let user = script.strip_prefix("db.getSiblingDB(\"blog\").createUser(").unwrap();
        let user: serde_json::Value = serde_json::from_str(user.strip_suffix(");\n").unwrap()).unwrap();
        assert_eq!(user["pwd"], "ses\"ame");
        assert_eq!(user["roles"], serde_json::json!([{"role": "dbOwner", "db": "blog"}]));
    }
}
