//! `token`: who may use the API by what they know.

use super::args::{TokenRole, TokenVerb};
use super::client::Client;
use super::{Failure, show};
use crate::control::api::types::{TokenList, TokenMade, TokenRequest};

/// Runs a verb that is about tokens.
pub async fn run(client: &Client, verb: TokenVerb, json: bool) -> Result<(), Failure> {
    match verb {
        TokenVerb::Create { name, role, app, expires } => {
            let role = match role {
                TokenRole::Admin => "admin",
                TokenRole::Owner => "owner",
                TokenRole::ReadOnly => "read-only",
            };
            let seconds = expires.map(|time| u32::try_from(time.get().as_secs()).unwrap_or(u32::MAX));
            let request = TokenRequest {
                name: name.to_string(),
                role: role.to_owned(),
                app: app.map(|app| app.to_string()),
                expires_in_s: seconds,
            };
            let made: TokenMade = client.send("/v1/tokens", &request).await?;
            if json {
                return show::json(&made);
            }
            eprintln!("this is the only time that it is shown:");
            show::line(&made.token)
        }
        TokenVerb::List => {
            let list: TokenList = client.get("/v1/tokens").await?;
            if json { show::json(&list) } else { show::tokens(&list.tokens) }
        }
        TokenVerb::Revoke { name } => {
            client.delete_only(&format!("/v1/tokens/{name}")).await?;
            if json { Ok(()) } else { show::line(&format!("{name} is good for nothing any more")) }
        }
    }
}
