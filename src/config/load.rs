//! From file and variables to a checked [`Config`].

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::error::{at_offset, located};
use super::{Config, ConfigError, DEFAULT_PATH, default_plan};
use crate::dialect::mysql::Flavour;
use crate::dialect::{Name, Protocol, Speaks};

impl Config {
    /// Reads the file at `path` - or, when none is named, [`DEFAULT_PATH`] if it exists - and then the
    /// `PIERHEAD_*` variables.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match path {
            Some(path) => Some(read(path)?),
            None if Path::new(DEFAULT_PATH).exists() => Some(read(Path::new(DEFAULT_PATH))?),
            None => None,
        };
        let path = path.unwrap_or(Path::new(DEFAULT_PATH));
        let mut config = Config::parse(text.as_deref().unwrap_or(""), path)?;
        config.file = text.is_some().then(|| path.to_owned());
        config.apply_variables(|name| std::env::var(name).ok())?;
        Ok(config)
    }

    /// Parses a configuration. `path` is for messages only.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Config = toml::from_str(text).map_err(|error| located(text, path, &error))?;
        // A file that has but a [plan.large] says what differs: kinds that name no plan have theirs all the same.
        config.plans.entry(default_plan()).or_default();
        let source = Arc::new((text.to_owned(), path.to_owned()));
        config.providers.values_mut().for_each(|provider| provider.stands_in(&source));
        config.check_references(text, path)?;
        Ok(config)
    }

    /// Overrides single values from variables: `PIERHEAD_DATA_DIR`, `PIERHEAD_CONTROL_SOCKET`,
    /// `PIERHEAD_LOG`, `PIERHEAD_LOG_FORMAT`, `PIERHEAD_METRICS`, `PIERHEAD_PORT_<PROTOCOL>` and
    /// `PIERHEAD_IMAGE_<KIND>`.
    pub fn apply_variables(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        if let Some(value) = variable("PIERHEAD_DATA_DIR") {
            self.data_dir = value.into();
        }
        if let Some(value) = variable("PIERHEAD_CONTROL_SOCKET") {
            self.control.socket = value.into();
        }
        if let Some(value) = variable("PIERHEAD_LOG") {
            self.log.level = value;
        }
        if let Some(value) = variable("PIERHEAD_LOG_FORMAT") {
            self.log.format = parse_variable("PIERHEAD_LOG_FORMAT", value, |text| {
                clap::ValueEnum::from_str(text, false).map_err(|_| "expected `human` or `json`".to_owned())
            })?;
        }
        if let Some(value) = variable("PIERHEAD_METRICS") {
            self.control.metrics = Some(parse_variable("PIERHEAD_METRICS", value, |text| {
                text.parse().map_err(|_| "expected an address and port such as 127.0.0.1:9187".to_owned())
            })?);
        }
        for listener in &mut self.listeners {
            for protocol in listener.speaks.protocols() {
                let name = format!("PIERHEAD_PORT_{}", protocol.as_str().to_uppercase());
                let Some(value) = variable(&name) else { continue };
                let port = parse_variable(&name, value, |text| {
                    text.parse().map_err(|_| "expected a port from 1 to 65535".to_owned())
                })?;
                listener.listen.iter_mut().for_each(|address| address.set_port(port));
            }
        }
        for (kind, config) in &mut self.kinds {
            let name = format!("PIERHEAD_IMAGE_{}", kind.as_str().to_uppercase().replace('-', "_"));
            if let Some(value) = variable(&name) {
                config.image = value;
            }
        }
        Ok(())
    }

    /// The address on which clients of this host reach the edge for `protocol`, if it is listened for.
    pub fn local_address(&self, protocol: Protocol) -> Option<SocketAddr> {
        let listener =
            self.listeners.iter().find(|listener| listener.speaks.protocols().contains(&protocol))?;
        let mut address = *listener.listen.first()?;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(address)
    }

    /// What the servers behind the port at this address are, where its protocol has flavours.
    pub fn flavour_at(&self, address: SocketAddr) -> Option<Flavour> {
        let listener = self.listeners.iter().find(|listener| listener.listen.contains(&address))?;
        match &listener.speaks {
            Speaks::Mysql(settings) => Some(settings.flavour()),
            _ => None,
        }
    }

    /// What serde cannot see: names that refer to other parts of the file.
    fn check_references(&self, text: &str, path: &Path) -> Result<(), ConfigError> {
        for (kind, config) in &self.kinds {
            if !self.plans.contains_key(&config.plan) {
                let known = self.plans.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("kind {kind} has plan {:?}, expected one of: {known}", config.plan);
                let at = text.find(&format!("[kind.{kind}]")).unwrap_or(0);
                return Err(at_offset(text, path, at, message));
            }
        }
        let planless = self.providers.iter().find(|(_, of)| !self.plans.contains_key(&of.plan));
        if let Some((name, provider)) = planless {
            let known = self.plans.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("provider {name} has plan {:?}, expected one of: {known}", provider.plan);
            return Err(provider.error(&message, None));
        }
        if self.backup.place(self.backup.to.as_str(), &self.data_dir).is_none() {
            let known = self.backup.target_names();
            let message = format!("no target is called {}, expected one of: {known}", self.backup.to);
            return Err(at_offset(text, path, text.find("[backup]").unwrap_or(0), message));
        }
        for (plan, kind) in
            self.plans.iter().flat_map(|(name, plan)| plan.args.keys().map(move |kind| (name, kind)))
        {
            if !self.kinds.contains_key(kind) {
                let known = self.kinds.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("plan {plan} has args of the kind {kind}, expected one of: {known}");
                let at = text.find(&format!("[plan.{plan}")).unwrap_or(0);
                return Err(at_offset(text, path, at, message));
            }
        }
        let mut seen = HashSet::new();
        for address in self.listeners.iter().flat_map(|listener| &listener.listen) {
            if !seen.insert(*address) {
                let at = text.rfind(&address.to_string()).unwrap_or(0);
                let message = format!("two listeners at {address}, expected each address once");
                return Err(at_offset(text, path, at, message));
            }
        }
        Ok(())
    }
}

fn parse_variable<T>(
    variable: &str,
    value: String,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, ConfigError> {
    parse(&value).map_err(|message| ConfigError::Variable { variable: variable.to_owned(), value, message })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}
