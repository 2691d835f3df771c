//! Which providers there are: types that are compiled in, and names with arguments from the configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Docker, Provider, external, secret};
use crate::addons::kinds;
use crate::addons::order::Order;
use crate::addons::secrets::Secrets;
use crate::config::{Config, ConfigError, ProviderConfig};
use crate::dialect::Name;

/// A provider that is compiled in, before it has a name and arguments.
#[derive(Clone, Copy)]
pub struct Type {
    /// The word in `type = "..."`.
    pub word: &'static str,
    /// Makes one of the table's other entries.
    pub build: Build,
}

/// Makes a provider of the arguments in the configuration.
pub type Build = fn(&Entries, &House) -> Result<Arc<dyn Provider>, EntryError>;

/// Every type. A new one is a line here.
pub const TYPES: &[Type] =
    &[Type { word: "external", build: external::build }, Type { word: SECRET, build: secret::build }];

/// What providers may use of the house.
#[derive(Clone)]
pub struct House {
    /// One file for each addon, that only Pierhead can read.
    pub secrets: Secrets,
}

impl House {
    /// With secrets below this directory. Nothing is made before it is needed.
    pub fn new(data_dir: &Path) -> Self {
        House { secrets: Secrets::new(data_dir) }
    }
}

/// A provider with its name.
#[derive(Clone)]
pub struct Registered {
    /// The word in `pierhead create NAME`, and in rows.
    pub name: Name,
    /// Who does it.
    pub provider: Arc<dyn Provider>,
    /// The plan of an addon that names none.
    pub plan: Name,
    /// Whether somebody who owns but an app may ask for one.
    pub owners: bool,
}

/// Every provider, by name.
#[derive(Clone)]
pub struct Providers(BTreeMap<Name, Registered>);

impl Providers {
    /// Those of the configuration, and `secret`. The error has file, line and column.
    pub fn build(config: &Config, types: &[Type], house: &House) -> Result<Self, ConfigError> {
        let mut all = BTreeMap::new();
        if let Ok(name) = Name::parse(SECRET) {
            all.insert(name, ProviderConfig::of(SECRET));
        }
        all.extend(config.providers.clone());
        let mut providers = Providers(BTreeMap::new());
        for (name, of) in all {
            let registered =
                registered(&name, &of, types, house).map_err(|error| of.error(&error.0, error.1))?;
            providers.0.insert(name, registered);
        }
        Ok(providers)
    }

    /// The same, with the provider of everything in containers.
    pub fn with_docker(mut self, docker: Docker) -> Self {
        let Order { provider: name, .. } = Order::docker();
        // Kinds have plans of their own, so this one is never used.
        let plan = crate::config::default_plan();
        self.0.insert(name.clone(), Registered { name, provider: Arc::new(docker), plan, owners: true });
        self
    }

    /// The provider of this name.
    pub fn find(&self, name: &str) -> Option<&Registered> {
        self.0.get(name)
    }

    /// What can be created of them, by name.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys().filter(|name| name.as_str() != Order::DOCKER)
    }
}

/// The error says which key it is about; none for the table as a whole.
fn registered(
    name: &Name,
    of: &ProviderConfig,
    types: &[Type],
    house: &House,
) -> Result<Registered, (String, Option<String>)> {
    if name.as_str() == Order::DOCKER || kinds::find(name.as_str()).is_some() {
        return Err((format!("[provider.{name}]: {name} is there already, expected another name"), None));
    }
    let found = types.iter().find(|known| known.word == of.word);
    let known = || types.iter().map(|known| known.word).collect::<Vec<_>>().join(", ");
    let word = |word: &str| {
        (
            format!("there is no provider of the type {word:?}, expected one of: {}", known()),
            Some("type".into()),
        )
    };
    let found = found.ok_or_else(|| word(&of.word))?;
    let entries = Entries { entries: of.entries() };
    let provider = (found.build)(&entries, house).map_err(|error| (error.message, error.key))?;
    let owners = of.owners.unwrap_or(provider.is_for_owners());
    Ok(Registered { name: name.clone(), provider, plan: of.plan.clone(), owners })
}

/// The entries of a `[provider.NAME]` that are the provider's own.
pub struct Entries {
    entries: toml::Table,
}

/// What is wrong with them.
#[derive(Debug)]
pub struct EntryError {
    /// The entry that is wrong; none if one is missing.
    pub key: Option<String>,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl Entries {
    /// As the provider's own type. With `#[serde(deny_unknown_fields)]` a mistyped entry is found too.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, EntryError> {
        let parse = |entries: &toml::Table| {
            entries.clone().try_into::<T>().map(drop).map_err(|error| error.message().to_owned())
        };
        let Err(message) = parse(&self.entries) else {
            return self
                .entries
                .clone()
                .try_into()
                .map_err(|error| EntryError { key: None, message: error.to_string() });
        };
        // The values do not know where they stood: the one without which this error is gone is meant.
        let without = |key: &String| {
            let mut entries = self.entries.clone();
            entries.remove(key);
            parse(&entries).err().as_ref() != Some(&message)
        };
        Err(EntryError { key: self.entries.keys().find(|key| without(key)).cloned(), message })
    }
}

const SECRET: &str = "secret";
