//! The provider `external`: an engine that runs elsewhere - RDS, another host - and that clients reach by its addon's name all the same.
//!
//! Nothing is made and nothing is removed there. Where it may be is the admin's to say (`allow`): the edge is no open relay.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::allow::{Allow, is_host};
use super::{
    Accepted, Answer, Arguments, Backend, Begun, Customisation, Entries, EntryError, House, Outcome,
    Provider, Variable, VariableValue,
};
use crate::addons::Addon;
use crate::addons::kinds::{self, Kind};
use crate::addons::lifecycle::Failure;
use crate::addons::secrets::Secrets;

/// Leads to engines elsewhere.
pub struct External {
    allow: Allow,
    secrets: Secrets,
}

/// Its arguments in the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    allow: Allow,
}

/// What can be asked of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// A kind, such as `mysql`, or a protocol, such as `amqp`.
    protocol: String,
    host: String,
    #[serde(default)]
    port: u16,
    /// Whether a password came with the request: it is in a file, or has still to be put there.
    #[serde(default)]
    password: bool,
}

/// From a `[provider.NAME]` with `type = "external"`.
pub(super) fn build(entries: &Entries, house: &House) -> Result<Arc<dyn Provider>, EntryError> {
    let Configured { allow } = entries.parse()?;
    Ok(Arc::new(External { allow, secrets: house.secrets.clone() }))
}

impl Provider for External {
    fn accept(&self, arguments: &Arguments) -> Result<Accepted, String> {
        let mut wanted: Wanted = parsed(arguments)?;
        let kind = kind(&wanted.protocol)?;
        wanted.host = wanted.host.to_ascii_lowercase();
        if !is_host(&wanted.host) {
            return Err(format!("host is {:?}, expected a name or an address without a port", wanted.host));
        }
        self.allow.may_be(&wanted.host)?;
        if wanted.port == 0 {
            wanted.port = kind.port();
        }
        let arguments = serde_json::to_value(wanted).map_err(|error| error.to_string())?;
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        Ok(Accepted { kind: Some(kind), arguments, takes_password: true })
    }

    fn begin_provision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Begun> {
        Box::pin(async move {
            let backend = backend(addon)?;
            Ok(Begun {
                id: backend.to_string(),
                message: format!("it runs at {backend}, and is left as it is"),
            })
        })
    }

    fn provision_complete<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<Option<Backend>>> {
        Box::pin(async move {
            let wanted: Wanted = parsed(&addon.order.arguments).map_err(Failure::Lasting)?;
            if wanted.password && !self.secrets.exists(&addon.name).map_err(file_failure)? {
                let reason = "its password did not arrive: destroy it and create it again".to_owned();
                return Err(Failure::Retry(reason));
            }
            Ok(Outcome::Done(Some(backend(addon)?)))
        })
    }

    fn config<'a>(&'a self, addon: &'a Addon, custom: &'a Customisation) -> Answer<'a, Vec<Variable>> {
        let name = custom.name(&self.variable(addon));
        Box::pin(async move { Ok(vec![Variable { name, value: VariableValue::EdgeUrl }]) })
    }

    fn deprovision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<String>> {
        Box::pin(async move {
            self.secrets.remove(&addon.name).map_err(file_failure)?;
            Ok(Outcome::Done("its route is gone; what it led to is left as it is".into()))
        })
    }

    fn variable(&self, addon: &Addon) -> String {
        kinds::find(addon.kind.as_str()).map_or("", |kind| kind.variable()).to_owned()
    }

    fn admits(&self, addon: &Addon, address: IpAddr) -> Result<(), String> {
        let host = addon.order.backend.as_ref().map_or("", |backend| &backend.host);
        self.allow.admits(host, address)
    }

    /// Owners of an app may not have the edge dial for them.
    fn is_for_owners(&self) -> bool {
        false
    }
}

/// The kind of this name, or the first that speaks this protocol.
fn kind(word: &str) -> Result<&'static dyn Kind, String> {
    let of_protocol = || kinds::ALL.iter().copied().find(|kind| kind.protocol().as_str() == word);
    kinds::find(word).or_else(of_protocol).ok_or_else(|| {
        let known: Vec<_> = kinds::ALL.iter().map(|kind| kind.name()).collect();
        format!("protocol is {word:?}, expected one of: {}", known.join(", "))
    })
}

fn file_failure(error: std::io::Error) -> Failure {
    Failure::Retry(format!("the password file: {error}"))
}

fn backend(addon: &Addon) -> Result<Backend, Failure> {
    let Wanted { host, port, .. } = parsed(&addon.order.arguments).map_err(Failure::Lasting)?;
    Ok(Backend { host, port })
}

fn parsed(arguments: &Arguments) -> Result<Wanted, String> {
    serde_json::from_value(Value::Object(arguments.clone()))
        .map_err(|error| format!("{error} (it needs protocol and host; port may be added)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> Result<Accepted, String> {
        let allow = Allow(vec!["db.example.com".parse().unwrap(), "127.0.0.0/8".parse().unwrap()]);
        let external = External { allow, secrets: Secrets::new(std::path::Path::new("/nowhere")) };
        external.accept(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_kind_or_a_protocol_says_what_is_spoken_and_on_which_port() {
        for (word, kind, port) in
            [("postgres", "postgres", 5432), ("mysql", "mysql", 3306), ("amqp", "rabbitmq", 5672)]
        {
            let text = format!(r#"{{"protocol": "{word}", "host": "DB.example.com"}}"#);
            let accepted = accept(&text).map_err(|error| panic!("{error}")).unwrap();
            assert_eq!(accepted.kind.map(Kind::name), Some(kind));
            assert_eq!(
                (&accepted.arguments["port"], &accepted.arguments["host"]),
                (&port.into(), &"db.example.com".into())
            );
        }
    }

    #[test]
    fn what_is_wrong_or_not_allowed_is_said() {
        for (bad, words) in [
            (r#"{"protocol": "postgres"}"#, "missing field `host`"),
            (r#"{"host": "db.example.com"}"#, "missing field `protocol`"),
            (r#"{"protocol": "odd", "host": "db.example.com"}"#, "expected one of: postgres"),
            (r#"{"protocol": "postgres", "host": "a b"}"#, "expected a name"),
            (r#"{"protocol": "postgres", "host": "db.example.com:5432"}"#, "without a port"),
            (r#"{"protocol": "postgres", "host": "10.0.0.1"}"#, "in none of the networks"),
            (r#"{"protocol": "postgres", "host": "db.example.com", "port": 70000}"#, "70000"),
            (r#"{"protocol": "postgres", "host": "db.example.com", "user": "x"}"#, "unknown field `user`"),
        ] {
            let error = accept(bad).err().unwrap_or_else(|| panic!("{bad} is accepted"));
            assert!(error.contains(words), "{bad}: {error}");
        }
    }
}
