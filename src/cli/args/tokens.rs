//! Verbs about tokens.

use clap::{Subcommand, ValueEnum};

use super::duration;
use crate::config::Millis;
use crate::dialect::Name;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token and print it, this once
    #[command(after_help = "Example: pierhead token create ci --role owner --app shop --expires 90d")]
    Create {
        /// What it is called, in the audit log too
        name: Name,
        /// What it allows
        #[arg(long, value_enum)]
        role: Role,
        /// The app, for an owner
        #[arg(long, required_if_eq("role", "owner"))]
        app: Option<Name>,
        /// After how long it is good for nothing [default: never]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<Millis>,
    },
    /// List tokens
    #[command(after_help = "Example: pierhead token list")]
    List,
    /// Revoke a token, from the next request on
    #[command(after_help = "Example: pierhead token revoke ci")]
    Revoke {
        /// The token
        name: Name,
    },
}

/// What a token allows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Role {
    /// Everything
    Admin,
    /// Everything with one app and with addons that are attached to it and to no other
    Owner,
    /// Looking, but not at passwords, logs and data
    ReadOnly,
}
