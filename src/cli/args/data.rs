//! Verbs about the data of addons.

use std::path::PathBuf;

use clap::Subcommand;

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
    /// Back an addon up into a directory, and read the backup into a scratch addon to see that it is good
    #[command(after_help = "Example: pierhead backup blog --to /var/backups/pierhead --keep 7")]
    Backup {
        /// The addon
        name: Name,
        /// The directory; it is made if it is missing
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Remove all but so many of the latest backups of the addon
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        keep: Option<u32>,
        /// Do not read it in again
        #[arg(long)]
        no_verify: bool,
        /// How long to wait for the scratch addon
        #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
        timeout: Millis,
    },
    /// List the backups in a directory
    #[command(after_help = "Example: pierhead backups /var/backups/pierhead")]
    Backups {
        /// The directory
        dir: PathBuf,
        /// Of this addon only
        name: Option<Name>,
    },
    /// Replace the data of an addon by those of a backup, after a look at its manifest
    #[command(after_help = "Example: pierhead restore blog /var/backups/pierhead/blog-20261124T211500Z.dump")]
    Restore {
        /// The addon
        name: Name,
        /// The archive; its manifest is beside it
        file: PathBuf,
    },
    /// Make a new addon of the same kind and plan, with the data of another
    #[command(after_help = "Example: pierhead clone blog blog-test")]
    Clone {
        /// The addon whose data are copied
        name: Name,
        /// The name of the new one
        new: Name,
        /// How long to wait until it is ready
        #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
        timeout: Millis,
    },
}
