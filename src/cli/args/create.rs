//! Arguments of `create`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::duration;
use crate::config::Millis;
use crate::dialect::Name;

/// What is to be made, and how long to wait for it.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The engine, such as `postgres`; `secret` for a random key; or a [provider.NAME] of the configuration
    pub kind: String,
    /// Its name: a-z, then a-z, 0-9 and '-', at most 32 [default: one is made up]
    pub name: Option<Name>,
    /// How large it may be: a [plan.NAME] of the configuration
    #[arg(long)]
    pub plan: Option<String>,
    /// An app that is to use it
    #[arg(long)]
    pub app: Option<Name>,
    /// What its provider is to know.
    #[command(flatten)]
    pub provider: ProviderArgs,
    /// Return at once, without waiting until it is ready
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    pub timeout: Millis,
}

/// For what is in no container.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is in no container")]
pub struct ProviderArgs {
    /// external: what it speaks, such as postgres, mysql or redis
    #[arg(long, value_name = "KIND")]
    protocol: Option<String>,
    /// external: the host on which it runs, a name or an address
    #[arg(long)]
    host: Option<String>,
    /// external: its port [default: the one of what it speaks]
    #[arg(long, requires = "host")]
    port: Option<u16>,
    /// A file with the password of the user that is called as the addon; - for stdin
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// secret: how many random bytes [default: 32]
    #[arg(long)]
    bytes: Option<u16>,
    /// secret: the variable in which applications expect it [default: SECRET_KEY]
    #[arg(long)]
    variable: Option<String>,
    /// Any other argument of its provider. A value is JSON, or else text
    #[arg(long = "argument", value_name = "KEY=VALUE", value_parser = pair)]
    others: Vec<(String, Value)>,
}

impl ProviderArgs {
    /// As the API takes them.
    pub fn arguments(&self) -> Map<String, Value> {
        let given = [
            ("protocol", self.protocol.clone().map(Value::from)),
            ("host", self.host.clone().map(Value::from)),
            ("port", self.port.map(Value::from)),
            ("bytes", self.bytes.map(Value::from)),
            ("variable", self.variable.clone().map(Value::from)),
        ];
        let given = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        given.chain(self.others.iter().cloned()).collect()
    }
}

fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((key.to_owned(), value))
}
