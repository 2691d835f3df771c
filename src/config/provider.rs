//! `[provider.NAME]`: a type, what every provider has, and entries that only that type knows. Where each entry stands is kept, so that
//! the provider's own complaints have a line and a column too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::{Spanned, Value};

use super::error::at_offset;
use super::{ConfigError, default_plan};
use crate::dialect::Name;

/// A provider with a name and arguments.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Which of those that are compiled in.
    pub word: String,
    /// The plan of an addon that names none.
    pub plan: Name,
    /// Whether somebody who owns but an app may ask for one; none leaves it to the type.
    pub owners: Option<bool>,
    /// The entries that are the type's own, each with where it stands.
    entries: BTreeMap<String, (usize, Value)>,
    /// Where the table's first entry stands.
    begins: usize,
    source: Option<Arc<(String, PathBuf)>>,
}

impl ProviderConfig {
    /// One without arguments, that is in no file.
    pub fn of(word: &str) -> Self {
        ProviderConfig {
            word: word.into(),
            plan: default_plan(),
            owners: None,
            entries: BTreeMap::new(),
            begins: 0,
            source: None,
        }
    }

    /// The entries that are the type's own.
    pub fn entries(&self) -> toml::Table {
        self.entries.iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }

    /// What is wrong with the entry `key`, or with the table as a whole.
    pub fn error(&self, message: &str, key: Option<String>) -> ConfigError {
        let at = key.and_then(|key| self.entries.get(&key)).map_or(self.begins, |(at, _)| *at);
        let (text, path) = self.source.as_deref().map_or(("", Path::new("")), |(text, path)| (text, path));
        at_offset(text, path, at, message.to_owned())
    }

    /// The file that it stands in.
    pub(super) fn stands_in(&mut self, source: &Arc<(String, PathBuf)>) {
        self.source = Some(Arc::clone(source));
    }
}

impl<'de> Deserialize<'de> for ProviderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = BTreeMap::<Spanned<String>, Spanned<Value>>::deserialize(deserializer)?;
        let begins = table.keys().map(|key| key.span().start).min().unwrap_or(0);
        let mut entries: BTreeMap<String, (usize, Value)> = table
            .into_iter()
            .map(|(key, value)| (key.into_inner(), (value.span().start, value.into_inner())))
            .collect();
        let mut take = |key: &str| entries.remove(key).map(|(_, value)| value);
        let word = match take("type") {
            Some(Value::String(word)) => word,
            Some(other) => {
                return Err(D::Error::custom(format!(
                    "type is {other}, expected a text such as \"external\""
                )));
            }
            None => return Err(D::Error::missing_field("type")),
        };
        let plan = take("plan").map(Name::deserialize).transpose().map_err(D::Error::custom)?;
        let owners = take("owners").map(bool::deserialize).transpose().map_err(D::Error::custom)?;
        let plan = plan.unwrap_or_else(default_plan);
        Ok(ProviderConfig { word, plan, owners, entries, begins, source: None })
    }
}
