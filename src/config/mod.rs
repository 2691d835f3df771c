//! `pierhead.toml` parsed into types that cannot hold a wrong value. A wrong key or value is reported with
//! file, line, column and what was expected. Flags come before `PIERHEAD_*` variables, these before the file.

mod addon;
mod backup;
mod core;
mod error;
mod listener;
mod load;
mod provider;
mod units;
mod waits;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use self::addon::default_plan;
pub use self::addon::{KindConfig, Plan};
pub use self::backup::{BackupConfig, Place};
pub use self::core::{CoreConfig, Cores};
pub use self::error::ConfigError;
pub use self::listener::ListenerConfig;
pub use self::provider::ProviderConfig;
pub use self::units::{Millis, Size};
pub use self::waits::{BackendConfig, DeadlineConfig};
use crate::dialect::Name;
use serde::Deserialize;

/// Where the configuration is looked for when nobody names a file.
pub const DEFAULT_PATH: &str = "/etc/pierhead/pierhead.toml";

/// Everything that can be configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The file that was read, if there was one.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Directory of the store, the secrets and the backups.
    pub data_dir: PathBuf,
    /// Host name or address that URLs of addons name; none takes the address of the edge on this host.
    pub public_host: Option<String>,
    /// The control socket and who may use it.
    pub control: ControlConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The Docker engine.
    pub docker: DockerConfig,
    /// The ports of the edge.
    #[serde(rename = "listener")]
    pub listeners: Vec<ListenerConfig>,
    /// The cores of the edge: defaults, and what differs on single CPUs.
    #[serde(rename = "core")]
    pub cores: Cores,
    /// The limits of DESIGN §5.
    pub limits: Limits,
    /// TCP settings of both legs of a connection.
    pub tcp: TcpConfig,
    /// Where backups go, and when.
    pub backup: BackupConfig,
    /// How large an addon may be, by plan name.
    #[serde(rename = "plan")]
    pub plans: BTreeMap<Name, Plan>,
    /// The engines that can be provisioned, by kind name.
    #[serde(rename = "kind")]
    pub kinds: BTreeMap<Name, KindConfig>,
    /// Who else makes addons, by the name that they are created by.
    #[serde(rename = "provider")]
    pub providers: BTreeMap<Name, ProviderConfig>,
    /// How engines that are in no container are looked after.
    #[serde(rename = "backend")]
    pub backends: BackendConfig,
    /// How long an addon may be in a state before it is in error.
    pub deadlines: DeadlineConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            file: None,
            data_dir: "/var/lib/pierhead".into(),
            public_host: None,
            control: ControlConfig::default(),
            log: LogConfig::default(),
            docker: DockerConfig::default(),
            listeners: ListenerConfig::defaults(),
            cores: Cores::default(),
            limits: Limits::default(),
            tcp: TcpConfig::default(),
            backup: BackupConfig::default(),
            plans: addon::default_plans(),
            kinds: addon::default_kinds(),
            providers: BTreeMap::new(),
            backends: BackendConfig::default(),
            deadlines: DeadlineConfig::default(),
        }
    }
}

/// The control socket.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// Path of the Unix socket that the CLI and other programs talk to.
    pub socket: PathBuf,
    /// Permission bits of the socket.
    #[serde(deserialize_with = "units::octal")]
    pub mode: u32,
    /// Group that owns the socket; none leaves the process' own.
    pub group: Option<String>,
    /// Where Prometheus may scrape `/metrics` over TCP; none serves it on the control socket only.
    pub metrics: Option<SocketAddr>,
    /// The largest file that `import` takes. It is kept in `data_dir` while it is read in.
    pub import_max: Size,
    /// The API over TCP, in TLS and for those who have a token; none serves it on the socket only.
    pub tcp: Option<TcpApiConfig>,
    /// How many further logins (`bind`) an addon may have.
    pub bindings_max: u32,
}

impl Default for ControlConfig {
    fn default() -> Self {
        ControlConfig {
            socket: "/run/pierhead/control.sock".into(),
            mode: 0o660,
            group: None,
            metrics: None,
            import_max: Size::from_mib(100 << 10),
            tcp: None,
            bindings_max: 32,
        }
    }
}

/// The API over TCP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpApiConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// PEM file with the certificate and those that it follows from. Read again when it has changed.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// Connections at once; further ones wait.
    #[serde(default = "tcp_connections_max")]
    pub connections_max: u32,
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A `tracing` filter, such as `info` or `pierhead::edge=debug,info`.
    pub level: String,
    /// For people or for programs.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { level: "info".into(), format: LogFormat::Human }
    }
}

/// The two forms of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The Docker engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerConfig {
    /// `unix:///path` or `tcp://host:port`; none: `DOCKER_HOST`, else the engine's usual socket.
    pub host: Option<String>,
    /// Which way the edge reaches containers.
    pub reach: Reach,
    /// Containers on one of the networks of addons; then another one is made. A Linux bridge holds 1,023 ports, and refuses
    /// the next.
    #[serde(deserialize_with = "units::bridge_ports")]
    pub network_containers_max: u32,
}

impl Default for DockerConfig {
    fn default() -> Self {
        DockerConfig { host: None, reach: Reach::default(), network_containers_max: 1000 }
    }
}

/// Which way the edge reaches containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// [`Reach::Namespace`] where this process may enter namespaces, else [`Reach::Bridge`].
    #[default]
    Auto,
    /// Over the container's bridge, as everybody else on the host.
    Bridge,
    /// By sockets inside the container's own network namespace: past the bridge and the host's packet filter.
    Namespace,
}

/// The limits of the edge. Each has a metric.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// From accept to the name, in total.
    pub identify_timeout: Millis,
    /// Connections that have not said their name yet, over all cores.
    pub unidentified_max: u32,
    /// The same from one source (an IPv4 address or an IPv6 /64).
    pub unidentified_per_source_max: u32,
    /// How long a dial may take in total, from the first try to the last.
    pub dial_timeout: Millis,
    /// How long one try to connect may take before the address is looked up again.
    pub dial_try_timeout: Millis,
    /// How long a connection may wait for an addon that is held, as one is while it is upgraded.
    pub hold_timeout: Millis,
    /// Connections that may wait so at once, over all cores.
    pub held_max: u32,
    /// After a refusal: how long the client may take to read it before the connection is closed.
    pub refusal_linger: Millis,
    /// After SIGTERM: how long connections may go on before they are closed.
    pub drain_timeout: Millis,
    /// Over how long the closing of what is left after `drain_timeout` is spread.
    pub drain_spread: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            identify_timeout: Millis::from_secs(10),
            unidentified_max: 4096,
            unidentified_per_source_max: 1024,
            dial_timeout: Millis::from_secs(5),
            dial_try_timeout: Millis::from_secs(1),
            hold_timeout: Millis::from_secs(600),
            held_max: 4096,
            refusal_linger: Millis::from_secs(1),
            drain_timeout: Millis::from_secs(30),
            drain_spread: Millis::from_secs(2),
        }
    }
}

/// TCP settings of both legs of a connection.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpConfig {
    /// Idle time before the first keepalive probe (`TCP_KEEPIDLE`).
    pub keepalive_idle: Millis,
    /// Time between probes (`TCP_KEEPINTVL`).
    pub keepalive_interval: Millis,
    /// Unanswered probes before the connection is dead (`TCP_KEEPCNT`).
    pub keepalive_count: u32,
    /// How long sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`); 0 leaves it to the kernel.
    pub user_timeout: Millis,
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            keepalive_idle: Millis::from_secs(60),
            keepalive_interval: Millis::from_secs(15),
            keepalive_count: 6,
            user_timeout: Millis::from_secs(150),
        }
    }
}

fn tcp_connections_max() -> u32 {
    256
}

fn fixed_name(text: &'static str) -> Name {
    Name::parse(text).expect("a name written in this directory")
}

#[cfg(test)]
mod tests;
