//! What can be typed: the verbs, their arguments and an example of each.

mod apps;
mod bindings;
mod create;
mod data;
mod globals;
mod set;
mod tokens;
mod upgrade;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

pub use self::apps::{AppVerb, Attachment, EnvFormat};
pub use self::bindings::BindingVerb;
pub use self::create::CreateArgs;
pub use self::data::{BackupsArgs, DataVerb};
pub use self::globals::Globals;
pub use self::set::SetArgs;
pub use self::tokens::{Role as TokenRole, TokenVerb};
pub use self::upgrade::{UpgradeArgs, UpgradeVerb};
use crate::config::Millis;
use crate::dialect::{Name, Protocol};

/// The TCP edge of a Docker host: one port per protocol, any number of databases behind it.
#[derive(Debug, Parser)]
#[command(
    name = "pierhead",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 conflict, 5 timed out.

Examples:
  pierhead serve &
  pierhead create postgres blog
  pierhead connect blog"
)]
pub struct Cli {
    /// What goes with every verb.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the edge and its control socket
    #[command(after_help = "Example: pierhead serve --config pierhead.toml --log-format json")]
    Serve,
    /// Make an addon, wait until a login succeeds, and print its URL
    #[command(after_help = "Example: pierhead create postgres blog --plan small\n         \
                      pierhead create secret signing --bytes 48 --app shop\n         \
                      pierhead create external orders --protocol postgres --host db.example.com --password-file -")]
    Create(CreateArgs),
    /// List addons
    #[command(visible_alias = "ls", after_help = "Example: pierhead list --json | jq -r '.addons[].name'")]
    List,
    /// Show everything about an addon
    #[command(after_help = "Example: pierhead info blog")]
    Info {
        /// The addon
        name: Name,
    },
    /// Print the URL of an addon, with its password
    #[command(after_help = "Example: export DATABASE_URL=$(pierhead url blog --host db.example.com)")]
    Url {
        /// The addon
        name: Name,
        /// The host in the URL [default: public_host of the configuration, or this host]
        #[arg(long)]
        host: Option<String>,
        /// The URL of a further login, by what stands behind the dot [default: the application's login]
        #[arg(long)]
        role: Option<String>,
    },
    /// Wait until an addon is ready or stopped, whichever is wanted
    #[command(
        after_help = "Example: pierhead create postgres blog --no-wait; pierhead wait blog --timeout 2m"
    )]
    Wait {
        /// The addon
        name: Name,
        /// How long to wait
        #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
        timeout: Millis,
    },
    /// Start an addon that is stopped or in error
    #[command(after_help = "Example: pierhead start blog")]
    Start(Change),
    /// Stop an addon; its data are kept
    #[command(after_help = "Example: pierhead stop blog")]
    Stop(Change),
    /// Stop an addon and start it again
    #[command(after_help = "Example: pierhead restart blog")]
    Restart(Change),
    /// Give an addon another plan, or its engine other settings
    Set(SetArgs),
    /// Show what an addon's engine writes
    #[command(after_help = "Example: pierhead logs blog --follow --tail 20")]
    Logs {
        /// The addon
        name: Name,
        /// Go on with what is written from now on
        #[arg(short, long)]
        follow: bool,
        /// Begin with so many of the lines written so far
        #[arg(long, value_name = "LINES")]
        tail: Option<u32>,
    },
    /// Show what has happened to an addon, or to all of them
    #[command(after_help = "Example: pierhead events blog --follow")]
    Events {
        /// The addon [default: all]
        name: Option<Name>,
        /// Go on with what happens from now on
        #[arg(short, long)]
        follow: bool,
        /// Begin with so many of those that have happened already
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        tail: u32,
    },
    /// Run the engine's own client on an addon
    #[command(after_help = "Example: pierhead connect blog -- -c 'SELECT version()'")]
    Connect {
        /// The addon
        name: Name,
        /// As a further login, by what stands behind the dot [default: the application's login]
        #[arg(long)]
        role: Option<String>,
        /// Further arguments for the client
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },
    /// Open a shell in an addon's container, or run a program there
    #[command(after_help = "Example: pierhead enter blog -- df -h /var/lib/postgresql/data")]
    Enter {
        /// The addon
        name: Name,
        /// The program and its arguments [default: a shell]
        #[arg(last = true, value_name = "PROGRAM")]
        program: Vec<String>,
    },
    /// What to do with data.
    #[command(flatten)]
    Data(DataVerb),
    /// What to do about versions.
    #[command(flatten)]
    Upgrade(UpgradeVerb),
    /// What to do with apps.
    #[command(flatten)]
    App(AppVerb),
    /// What to do with logins.
    #[command(flatten)]
    Binding(BindingVerb),
    /// Remove an addon and its data, for good
    #[command(after_help = "Example: pierhead destroy blog --force")]
    Destroy {
        /// The addon
        name: Name,
        /// Do not ask for the name again, and take it away from apps that use it
        #[arg(long)]
        force: bool,
        /// How to wait for it
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Show who has asked for what: what was changed, and which secrets were told
    #[command(after_help = "Example: pierhead audit --tail 20")]
    Audit {
        /// How many of the latest requests
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        tail: u32,
    },
    /// Show what has become of a request that was to change something
    #[command(after_help = "Example: pierhead operation op-1f0c5a9e24b7d38e")]
    Operation {
        /// Its id, from the header Pierhead-Operation or from `pierhead audit`
        id: String,
    },
    /// Say who may use the API by a token, over TCP too
    #[command(
        subcommand,
        after_help = "Example: pierhead token create ci --role owner --app shop\n         PIERHEAD_TOKEN=... pierhead --server edge.example.com:7443 list"
    )]
    Token(TokenVerb),
    /// List the routes of the edge: addons, and labelled containers that were started by others
    #[command(after_help = "Example: pierhead routes")]
    Routes,
    /// Say why a login goes where it goes, or why it is refused
    #[command(after_help = "Example: pierhead explain blog")]
    Explain {
        /// What a client would log in as
        login: String,
        /// The protocol of the port [default: the one that the addon speaks]
        #[arg(long)]
        protocol: Option<Protocol>,
    },
    /// Look whether this host has what Pierhead needs, and what to do where it has not
    #[command(after_help = "Example: pierhead doctor --fix")]
    Doctor {
        /// Remove what belongs to no addon: containers, volumes with their data, secrets, networks
        #[arg(long)]
        fix: bool,
        /// Do not ask before that
        #[arg(long, requires = "fix")]
        force: bool,
    },
    /// Print a script that lets a shell complete what is typed
    #[command(after_help = "Example: pierhead completion bash >/etc/bash_completion.d/pierhead")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Check a configuration without using it
    #[command(after_help = "Example: pierhead check-config pierhead.toml")]
    CheckConfig {
        /// The file [default: the one that `serve` would read]
        file: Option<PathBuf>,
    },
}

/// Arguments of the verbs that change what is wanted of an addon.
#[derive(Debug, Args)]
pub struct Change {
    /// The addon
    pub name: Name,
    /// How to wait for it.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Whether and how long to wait.
#[derive(Clone, Copy, Debug, Args)]
pub struct WaitArgs {
    /// Return at once, without waiting until it is done
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = duration)]
    pub timeout: Millis,
}

fn duration(text: &str) -> Result<Millis, String> {
    let deserializer: StrDeserializer<'_, ValueError> = text.into_deserializer();
    Millis::deserialize(deserializer).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound_and_every_verb_has_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let call = format!("pierhead {}", verb.get_name());
            assert!(help.starts_with("Example: ") && help.contains(&call), "{call} has no example");
        }
    }

    #[test]
    fn wrong_words_are_refused() {
        for line in [
            "create postgres Blog",
            "create",
            "attach blog",
            "attach blog --app shop --as blue",
            "wait blog --timeout 5",
            "explain x --protocol odd",
            "connect blog -c x",
        ] {
            let error = Cli::try_parse_from(["pierhead"].into_iter().chain(line.split(' '))).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        let line = "connect blog -- -c SELECT".split(' ');
        let cli = Cli::try_parse_from(["pierhead", "--json"].into_iter().chain(line)).unwrap();
        assert!(cli.globals.json);
    }
}
