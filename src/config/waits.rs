//! How long things may take, and how often they are looked at: `[backend]` and `[deadlines]`.

use serde::Deserialize;

use super::units::{self, Millis};
use crate::addons::lifecycle::Deadlines;

/// How engines that are in no container are looked after.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackendConfig {
    /// How often a host name is resolved again and its engine is looked at. A dial that fails brings that forward.
    #[serde(deserialize_with = "units::check_every")]
    pub check_every: Millis,
    /// How long resolving a name may take, and connecting to an address.
    #[serde(deserialize_with = "units::check_timeout")]
    pub check_timeout: Millis,
    /// Of how many addresses of a host one is looked for.
    #[serde(deserialize_with = "units::addresses_max")]
    pub addresses_max: u32,
}

impl Default for BackendConfig {
    fn default() -> Self {
        BackendConfig {
            check_every: Millis::from_secs(10),
            check_timeout: Millis::from_secs(3),
            addresses_max: 8,
        }
    }
}

/// How long an addon may be in a state before it is in error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadlineConfig {
    /// While its image is pulled.
    pub image: Millis,
    /// While its engine starts, until it lets a login in.
    pub login: Millis,
    /// While a provider makes it.
    pub provider: Millis,
    /// While an engine in no container cannot be reached.
    pub check: Millis,
    /// In each other step, and while it is stopped or destroyed.
    pub step: Millis,
    /// One call of a provider. Not of Docker's, which has time limits of its own.
    pub call: Millis,
}

impl Default for DeadlineConfig {
    fn default() -> Self {
        let [image, login, provider, check, step, call] = [900, 180, 1800, 30, 90, 30].map(Millis::from_secs);
        DeadlineConfig { image, login, provider, check, step, call }
    }
}

impl DeadlineConfig {
    /// Those of the lifecycle.
    pub fn of_states(&self) -> Deadlines {
        Deadlines {
            image: self.image.get(),
            login: self.login.get(),
            provider: self.provider.get(),
            check: self.check.get(),
            step: self.step.get(),
        }
    }
}
