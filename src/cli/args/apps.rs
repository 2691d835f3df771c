//! Verbs about apps.

use clap::{Args, Subcommand, ValueEnum};

use crate::addons::apps::Prefix;
use crate::dialect::Name;

/// What to do with apps.
#[derive(Debug, Subcommand)]
pub enum AppVerb {
    /// Tell an app about an addon: its URL becomes a variable of the app's
    #[command(after_help = "Example: pierhead attach blog --app shop --as BLUE; pierhead env --app shop")]
    Attach(Attachment),
    /// Take an addon away from an app
    #[command(after_help = "Example: pierhead detach blog --app shop")]
    Detach(Attachment),
    /// Make an attached addon the one that an app finds in the plain variable, such as DATABASE_URL
    #[command(after_help = "Example: pierhead promote blog --app shop")]
    Promote {
        /// The addon
        name: Name,
        /// The app
        #[arg(long)]
        app: Name,
    },
    /// List apps and what is attached to them
    #[command(after_help = "Example: pierhead apps")]
    Apps,
    /// Print the variables of an app or of an addon, with passwords
    #[command(
        after_help = "Example: eval \"$(pierhead env --app shop)\"\n         pierhead env --addon signing\n         docker run --env-file <(pierhead env --app shop --format docker) ..."
    )]
    Env {
        /// The app
        #[arg(long, required_unless_present = "addon", conflicts_with = "addon")]
        app: Option<Name>,
        /// An addon: what an app is told of it
        #[arg(long)]
        addon: Option<Name>,
        /// For whom
        #[arg(long, value_enum, default_value_t)]
        format: EnvFormat,
        /// The host in the URLs [default: public_host of the configuration, or this host]
        #[arg(long)]
        host: Option<String>,
    },
}

/// An addon as an app uses it.
#[derive(Debug, Args)]
pub struct Attachment {
    /// The addon
    pub name: Name,
    /// The app; it need not exist anywhere else
    #[arg(long)]
    pub app: Name,
    /// The name under which: BLUE makes BLUE_DATABASE_URL [default: the plain variable]
    #[arg(long = "as", value_name = "PREFIX")]
    pub prefix: Option<Prefix>,
}

/// For whom variables are printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum EnvFormat {
    /// Lines that a shell can run
    #[default]
    Shell,
    /// A .env file
    Dotenv,
    /// A file for `docker run --env-file`
    Docker,
    /// A JSON object
    Json,
}
