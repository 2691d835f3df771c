//! What goes with every verb, and the configuration that follows from it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::client::Client;
use crate::cli::{Failure, Way};
use crate::config::{Config, LogFormat};
use crate::control::{check_kinds, check_providers};

/// What goes with every verb.
#[derive(Debug, Args)]
pub struct Globals {
    /// The configuration [default: /etc/pierhead/pierhead.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "PIERHEAD_CONFIG")]
    pub config: Option<PathBuf>,
    /// The control socket [default: the one in the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// A Pierhead elsewhere, such as edge.example.com:7443; its token is taken from $PIERHEAD_TOKEN
    #[arg(long, global = true, value_name = "HOST:PORT", env = "PIERHEAD_SERVER", conflicts_with = "socket")]
    pub server: Option<String>,
    /// The certificates that the server's must follow from [default: those that this host trusts]
    #[arg(long, global = true, value_name = "FILE", env = "PIERHEAD_CA")]
    pub ca: Option<PathBuf>,
    /// Answer with JSON on stdout; errors with JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// What to log, such as `info` or `pierhead::edge=debug,info`
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

impl Globals {
    /// The configuration, with what was given on the command line on top.
    pub fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref())
            .map_err(|error| Failure::usage(format!("wrong configuration: {error}")))?;
        if let Some(socket) = &self.socket {
            config.control.socket.clone_from(socket);
        }
        if let Some(log) = &self.log {
            config.log.level.clone_from(log);
        }
        if let Some(format) = self.log_format {
            config.log.format = format;
        }
        Ok(config)
    }

    /// The same, and nothing in it is unknown to this version.
    pub fn checked_config(&self) -> Result<Config, Failure> {
        let config = self.config()?;
        check_kinds(&config)
            .and_then(|()| check_providers(&config))
            .map_err(|error| Failure::usage(format!("wrong configuration: {error}")))?;
        Ok(config)
    }

    /// A client of the Pierhead that is meant.
    pub fn client(&self) -> Result<Client, Failure> {
        // No argument: everybody on the host could read it.
        let token = std::env::var("PIERHEAD_TOKEN").ok().filter(|token| !token.is_empty());
        let way = match &self.server {
            Some(address) => Way::Server { address: address.clone(), ca: self.ca.clone() },
            None => Way::Socket(self.socket()?),
        };
        Ok(Client::new(way, token))
    }

    /// The control socket. A configuration is read only if it is needed to know.
    fn socket(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(self.config()?.control.socket),
        }
    }
}
