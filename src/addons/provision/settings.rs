//! What an engine is told beyond its kind's own settings: by the configuration, by the plan, and for this addon alone.

use super::logins::store_failure;
use super::{Failure, Provisioner, kind};
use crate::addons::Addon;
use crate::addons::kinds::LIVE;

impl Provisioner {
    /// Arguments for the engine's start. The last of two that say the same counts: the addon's own.
    pub(super) fn further_args(&self, addon: &Addon) -> Result<Vec<String>, Failure> {
        let mut args = self.kind_config(addon)?.args.clone();
        args.extend(self.plan(addon)?.args.get(&addon.kind).into_iter().flatten().cloned());
        if let Some(settings) = kind(addon)?.settings() {
            for (name, value) in self.store.settings(&addon.name).map_err(store_failure)? {
                args.extend(settings.args(&name, &value));
            }
        }
        Ok(args)
    }

    /// Gives a running engine a value for one of its settings, or its default again. Returns whether that holds at once, or
    /// with the next start. What the engine refuses ([`Failure::NotYet`], with its words) changes nothing.
    pub async fn apply_setting(
        &self,
        addon: &Addon,
        container: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<bool, Failure> {
        let kind = kind(addon)?;
        let (Some(settings), Some(accounts)) = (kind.settings(), kind.accounts()) else {
            return Err(Failure::Lasting(format!("the kind {} has no settings", kind.name())));
        };
        let said = self.answer_of(addon, container, accounts, settings.apply(name, value)).await?;
        Ok(said.lines().last() == Some(LIVE))
    }
}
