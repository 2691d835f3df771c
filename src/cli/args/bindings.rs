//! Verbs about logins.

use clap::Subcommand;

use super::duration;
use crate::addons::logins::Rights;
use crate::config::Millis;
use crate::dialect::Name;

/// What to do with logins.
#[derive(Debug, Subcommand)]
pub enum BindingVerb {
    /// Make a further login NAME.ROLE in the engine and print its URL
    #[command(after_help = "Example: pierhead bind blog reader --access read-only")]
    Bind {
        /// The addon
        name: Name,
        /// What stands behind the dot: a-z, 0-9, '-' and '_', at most 28
        role: String,
        /// What it may do: read-write, read-only, or owner (everything that the application may)
        #[arg(long)]
        access: Rights,
    },
    /// Remove a further login, end its sessions; what belongs to it becomes the application's
    #[command(after_help = "Example: pierhead unbind blog reader")]
    Unbind {
        /// The addon
        name: Name,
        /// What stands behind the dot
        role: String,
    },
    /// List logins, with their connections and last use
    #[command(after_help = "Example: pierhead bindings blog")]
    Bindings {
        /// The addon [default: all]
        name: Option<Name>,
    },
    /// Change a password without a failed login: the old one is let in for a while beside the new one. A `secret` is another one
    /// at once
    #[command(after_help = "Example: pierhead rotate blog --grace 24h; pierhead env --app shop\n         \
                            pierhead rotate blog --role reader --now")]
    Rotate {
        /// The addon
        name: Name,
        /// A further login, by what stands behind the dot [default: the application's login]
        #[arg(long)]
        role: Option<String>,
        /// How long the old password is let in beside the new one
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration, conflicts_with = "now")]
        grace: Millis,
        /// End the old password at once, and all sessions of it
        #[arg(long)]
        now: bool,
    },
}
