//! The provider `secret`: a random key in a file, for what an application signs or encrypts with. No container, no route.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Accepted, Answer, Arguments, Backend, Begun, Customisation, Entries, EntryError, House, Outcome,
    Provider, Variable, VariableValue,
};
use crate::addons::Addon;
use crate::addons::lifecycle::Failure;
use crate::addons::secrets::{Password, Secrets};

/// Makes random keys.
pub struct Secret {
    secrets: Secrets,
}

/// What can be asked of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// How many random bytes; the key is longer, as it is text.
    bytes: u16,
    /// The variable in which applications expect it.
    variable: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { bytes: 32, variable: "SECRET_KEY".into() }
    }
}

/// It takes no arguments in the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// From a `[provider.NAME]` with `type = "secret"`.
pub(super) fn build(entries: &Entries, house: &House) -> Result<Arc<dyn Provider>, EntryError> {
    let Nothing {} = entries.parse()?;
    Ok(Arc::new(Secret { secrets: house.secrets.clone() }))
}

impl Provider for Secret {
    fn accept(&self, arguments: &Arguments) -> Result<Accepted, String> {
        let wanted: Wanted =
            serde_json::from_value(Value::Object(arguments.clone())).map_err(|error| error.to_string())?;
        if !(BYTES_MIN..=BYTES_MAX).contains(&wanted.bytes) {
            return Err(format!("bytes is {}, expected {BYTES_MIN} to {BYTES_MAX}", wanted.bytes));
        }
        if !is_variable(&wanted.variable) {
            let expected =
                "expected A-Z first, then A-Z, 0-9 and '_', at most 64 characters, such as SECRET_KEY";
            return Err(format!("variable is {:?}, {expected}", wanted.variable));
        }
        let arguments = serde_json::to_value(wanted).map_err(|error| error.to_string())?;
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        Ok(Accepted { kind: None, arguments, takes_password: false })
    }

    fn begin_provision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Begun> {
        Box::pin(async move {
            let bytes = wanted(addon)?.bytes;
            // One that is there was made by a call whose answer was lost.
            self.secrets.ensure_key(&addon.name, bytes.into()).map_err(file_failure)?;
            let id = self.secrets.path(&addon.name).display().to_string();
            Ok(Begun { id, message: format!("a random key of {bytes} bytes") })
        })
    }

    fn provision_complete<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<Option<Backend>>> {
        Box::pin(async move {
            self.key(addon)?;
            Ok(Outcome::Done(None))
        })
    }

    fn config<'a>(&'a self, addon: &'a Addon, custom: &'a Customisation) -> Answer<'a, Vec<Variable>> {
        Box::pin(async move {
            let name = custom.name(&self.variable(addon));
            Ok(vec![Variable { name, value: VariableValue::Text(self.key(addon)?) }])
        })
    }

    fn deprovision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<String>> {
        Box::pin(async move {
            self.secrets.remove(&addon.name).map_err(file_failure)?;
            Ok(Outcome::Done("the key is removed".into()))
        })
    }

    fn variable(&self, addon: &Addon) -> String {
        wanted(addon).map_or_else(|_| Wanted::default().variable, |wanted| wanted.variable)
    }

    fn check<'a>(&'a self, addon: &'a Addon) -> Answer<'a, ()> {
        Box::pin(async move { self.key(addon).map(drop) })
    }

    fn rotate<'a>(&'a self, addon: &'a Addon) -> Option<Answer<'a, ()>> {
        Some(Box::pin(async move {
            self.key(addon)?;
            self.secrets.replace_key(&addon.name, wanted(addon)?.bytes.into()).map_err(file_failure)
        }))
    }
}

impl Secret {
    /// A key that is gone is not made again: what was signed with it would be worth nothing, and nobody would know why.
    fn key(&self, addon: &Addon) -> Result<Password, Failure> {
        match self.secrets.exists(&addon.name).map_err(file_failure)? {
            true => self.secrets.read(&addon.name).map_err(file_failure),
            false => {
                let path = self.secrets.path(&addon.name);
                let what = format!(
                    "its key is gone: put {} back, or destroy it and create it again",
                    path.display()
                );
                Err(Failure::Lasting(what))
            }
        }
    }
}

fn wanted(addon: &Addon) -> Result<Wanted, Failure> {
    let arguments = Value::Object(addon.order.arguments.clone());
    serde_json::from_value(arguments).map_err(|error| Failure::Lasting(format!("its arguments: {error}")))
}

fn is_variable(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= 64 && text.starts_with(|first: char| first.is_ascii_uppercase()) && text.bytes().all(rest)
}

fn file_failure(error: std::io::Error) -> Failure {
    Failure::Retry(format!("the file with the key: {error}"))
}

const BYTES_MIN: u16 = 16;
const BYTES_MAX: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> Result<Arguments, String> {
        let secret = Secret { secrets: Secrets::new(std::path::Path::new("/nowhere")) };
        secret.accept(&serde_json::from_str(text).unwrap()).map(|accepted| accepted.arguments)
    }

    #[test]
    fn what_is_left_out_is_filled_in_and_what_is_wrong_is_said() {
        assert_eq!(
            Value::Object(accept("{}").unwrap()),
            serde_json::json!({"bytes": 32, "variable": "SECRET_KEY"})
        );
        for (bad, words) in [
            (r#"{"bytes": 15}"#, "expected 16 to 1024"),
            (r#"{"bytes": 1025}"#, "expected 16 to 1024"),
            (r#"{"variable": "x"}"#, "such as SECRET_KEY"),
            (r#"{"variable": ""}"#, "such as SECRET_KEY"),
            (r#"{"byte": 16}"#, "unknown field `byte`"),
        ] {
            let error = accept(bad).unwrap_err();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }
}
