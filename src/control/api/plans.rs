//! Plans that a caller asks for.

use super::Api;
use super::error::ApiError;
use crate::addons::kinds::Kind;
use crate::dialect::Name;

impl Api {
    /// The plan called `word`, if an engine of this kind can live in it.
    pub(super) fn plan(&self, kind: &dyn Kind, word: &str) -> Result<Name, ApiError> {
        let Some((name, plan)) = self.config.plans.get_key_value(word) else {
            let hint = format!("send one of: {}", self.plans_from(0).join(", "));
            return Err(ApiError::invalid("unknown_plan", format!("there is no plan {word:?}"), hint));
        };
        let needed = kind.memory_min();
        if plan.memory.bytes() >= needed {
            return Ok(name.clone());
        }
        let message = format!(
            "the plan {word} has {} MiB of memory, and {} needs {} MiB",
            plan.memory.bytes() >> 20,
            kind.name(),
            needed >> 20
        );
        let hint = match &self.plans_from(needed)[..] {
            [] => "add a [plan.NAME] with more memory to the configuration".to_owned(),
            plans => format!("send one of: {}", plans.join(", ")),
        };
        Err(ApiError::invalid("plan_too_small", message, hint))
    }

    /// The plans with at least so many bytes of memory.
    fn plans_from(&self, memory: u64) -> Vec<&str> {
        let plans = self.config.plans.iter().filter(|(_, plan)| plan.memory.bytes() >= memory);
        plans.map(|(name, _)| name.as_str()).collect()
    }
}
