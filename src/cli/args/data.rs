//! Verbs about the data of addons.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::duration;
use crate::config::Millis;
use crate::dialect::Name;

/// What to do with data.
#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Write the data of an addon to a file, with the engine's own program
    #[command(
        after_help = "Example: pierhead export blog --output blog.dump; pierhead export blog | ssh other pierhead import blog -"
    )]
    Export {
        /// The addon
        name: Name,
        /// The file [default: stdout]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Replace the data of an addon by those in a file that `export` has written; if that fails they are as they were
    #[command(after_help = "Example: pierhead import blog blog.dump")]
    Import {
        /// The addon
        name: Name,
        /// The file; - for stdin
        file: PathBuf,
    },
    /// Back an addon up to a target, restore it into a scratch addon, and wait until it is known to be good
    #[command(after_help = "Example: pierhead backup blog --to offsite")]
    Backup {
        /// The addon
        name: Name,
        /// A [backup.target.NAME] of the configuration [default: `to` in its table backup]
        #[arg(long, value_name = "TARGET")]
        to: Option<Name>,
        /// Remove all but so many of the latest good backups of the addon there [default: as the configuration says]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        keep: Option<u32>,
        /// Return at once, without waiting until it is good
        #[arg(long)]
        no_wait: bool,
        /// How long to wait
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
        timeout: Millis,
    },
    /// List backups
    #[command(after_help = "Example: pierhead backups blog")]
    Backups(BackupsArgs),
    /// Say or show how often an addon is backed up without anybody asking
    #[command(after_help = "Example: pierhead schedule blog 12h")]
    Schedule {
        /// The addon
        name: Name,
        /// 12h or 7d; off; or default, for as the configuration says [default: only show it]
        every: Option<String>,
    },
    /// Replace the data of an addon by those of a backup, or make a new addon of it
    #[command(
        after_help = "Example: pierhead restore blog --from blog-20261124T211500Z-3f2a --as blog-before"
    )]
    Restore {
        /// The addon
        name: Name,
        /// The backup, as `pierhead backups` calls it
        #[arg(long, value_name = "ID")]
        from: String,
        /// Make a new addon of this name instead, of the same kind, plan and image
        #[arg(long = "as", value_name = "NEW")]
        new: Option<Name>,
    },
    /// Make a new addon of the same kind, plan and image, with the data of another
    #[command(after_help = "Example: pierhead clone blog blog-test")]
    Clone {
        /// The addon whose data are copied
        name: Name,
        /// The name of the new one
        new: Name,
    },
}

/// Which backups, and what to do with them.
#[derive(Debug, Args)]
pub struct BackupsArgs {
    /// Of this addon only, which may be gone by now
    pub name: Option<Name>,
    /// Take on those at this target that this Pierhead does not know, as after the loss of its data_dir
    #[arg(long, value_name = "TARGET", conflicts_with = "name")]
    pub adopt: Option<String>,
    /// Remove this one
    #[arg(long, value_name = "ID", requires = "name")]
    pub remove: Option<String>,
}
