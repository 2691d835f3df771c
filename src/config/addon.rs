//! What an addon is made with: its plan, and the kind of its engine.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::fixed_name;
use super::units::{self, Size};
use crate::dialect::Name;

/// How large an addon may be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// CPUs, in fractions (0.5 is half of one).
    #[serde(deserialize_with = "units::cpus")]
    pub cpus: f64,
    /// Memory, swap included.
    pub memory: Size,
    /// Processes and threads.
    pub pids: u32,
    /// Connections through the edge at once; 0 for no limit.
    pub connections_max: u32,
    /// What its volume may hold; none for no limit. Holds where the file system below Docker's volumes has project quotas.
    pub disk: Option<Size>,
    /// Further arguments for the engines, by kind, behind those of `[kind.KIND]`.
    pub args: BTreeMap<Name, Vec<String>>,
}

impl Default for Plan {
    fn default() -> Self {
        let (memory, args) = (Size::from_mib(512), BTreeMap::new());
        Plan { cpus: 1.0, memory, pids: 256, connections_max: 90, disk: None, args }
    }
}

/// An engine that can be provisioned.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindConfig {
    /// The container image.
    pub image: String,
    /// The plan of an addon that names none.
    #[serde(default = "default_plan")]
    pub plan: Name,
    /// Further arguments for the engine, behind the image's entry point.
    #[serde(default)]
    pub args: Vec<String>,
    /// The user (uid) inside the image who must be able to read the file with the secret. Default: that of the kind's
    /// official image.
    #[serde(default)]
    pub secret_uid: Option<u32>,
}

impl KindConfig {
    fn image(image: &str) -> Self {
        KindConfig { image: image.into(), plan: default_plan(), args: vec![], secret_uid: None }
    }
}

/// The official images of the kinds.
const DEFAULT_IMAGES: [(&str, &str); 10] = [
    ("postgres", "postgres:17"),
    ("mariadb", "mariadb:11.8"),
    ("mysql", "mysql:8.4"),
    ("redis", "redis:7"),
    ("valkey", "valkey/valkey:8"),
    ("rabbitmq", "rabbitmq:4"),
    ("mongodb", "mongo:7"),
    ("nats", "nats:2"),
    ("mosquitto", "eclipse-mosquitto:2"),
    ("memcached", "memcached:1.6"),
];

/// The plans of a configuration that has none.
pub(super) fn default_plans() -> BTreeMap<Name, Plan> {
    BTreeMap::from([(default_plan(), Plan::default())])
}

/// The kinds of a configuration that has none.
pub(super) fn default_kinds() -> BTreeMap<Name, KindConfig> {
    DEFAULT_IMAGES.map(|(kind, image)| (fixed_name(kind), KindConfig::image(image))).into()
}

/// The plan of what names none.
pub(crate) fn default_plan() -> Name {
    fixed_name("small")
}
