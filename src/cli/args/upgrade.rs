//! Verbs about the version of an addon's engine.

use clap::{Args, Subcommand};

use super::duration;
use crate::config::Millis;
use crate::dialect::Name;

/// What to do about versions.
#[derive(Debug, Subcommand)]
pub enum UpgradeVerb {
    /// Bring an addon to another version of its engine: logins wait meanwhile, the URL stays
    #[command(after_help = "Example: pierhead upgrade blog --to 17; pierhead upgrade blog --finish

Versions that read each other's files (PostgreSQL 15.4 and 15.8) swap containers on the same volume. Another major version
gets a container and a volume of its own; sessions are ended, logins wait, the data are written out by the old engine, read
in by the new one and compared. That takes about as long as an export and an import: for 10 GiB rather minutes than seconds.
If it takes longer than --hold-max, or anything fails, the old engine serves again as if nothing had been. Afterwards the
old container is kept, stopped, for `pierhead rollback`, until --finish removes it.")]
    Upgrade(UpgradeArgs),
    /// Go back to the container that an addon had before its upgrade
    #[command(after_help = "Example: pierhead rollback blog

What was written since an upgrade to another major version is in the new volume only, and is lost: if anybody has logged in since,
--force is needed. Between versions that share a volume nothing is lost.")]
    Rollback {
        /// The addon
        name: Name,
        /// Also if what was written since would be lost
        #[arg(long)]
        force: bool,
        /// How long to wait for it
        #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
        timeout: Millis,
    },
}

/// Arguments of `upgrade`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct UpgradeArgs {
    /// The addon
    pub name: Name,
    /// A tag in the repository of its image: 17 makes postgres:17 of postgres:15
    #[arg(long, value_name = "VERSION", required_unless_present_any = ["image", "finish", "cancel"],
          conflicts_with_all = ["image", "finish", "cancel"])]
    pub to: Option<String>,
    /// A whole image
    #[arg(long, conflicts_with_all = ["finish", "cancel"])]
    pub image: Option<String>,
    /// Only say what would be done
    #[arg(long, visible_alias = "plan-only", conflicts_with_all = ["finish", "cancel"])]
    pub dry_run: bool,
    /// How long logins may wait before everything goes back
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration, conflicts_with_all = ["finish", "cancel"])]
    pub hold_max: Millis,
    /// Remove the old container and its volume
    #[arg(long, conflicts_with = "cancel")]
    pub finish: bool,
    /// End an upgrade that is going on, and go back
    #[arg(long)]
    pub cancel: bool,
    /// Return at once, without waiting until it is done
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for it
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = duration)]
    pub timeout: Millis,
}
