//! Arguments of `set`.

use clap::Args;

use super::WaitArgs;
use crate::dialect::Name;

/// What `set` is to change.
#[derive(Debug, Args)]
#[command(
    after_help = "Without anything to change it shows the settings.\n\nExamples:\n  pierhead set blog --plan large\n  \
                  pierhead set blog work_mem=16MB statement_timeout=30s --unset jit\n  pierhead set blog"
)]
pub struct SetArgs {
    /// The addon
    pub name: Name,
    /// Settings of its engine
    #[arg(value_name = "SETTING=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// A setting that is to have its default again; may be repeated
    #[arg(long, value_name = "SETTING")]
    pub unset: Vec<String>,
    /// A [plan.NAME] of the configuration
    #[arg(long, conflicts_with_all = ["settings", "unset"])]
    pub plan: Option<String>,
    /// How to wait for it
    #[command(flatten)]
    pub wait: WaitArgs,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected SETTING=VALUE, such as work_mem=16MB")?;
    Ok((name.to_owned(), value.to_owned()))
}
