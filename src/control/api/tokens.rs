//! Tokens: make one, list them, revoke one. Only admins make and revoke; who may look sees names and roles, never a token.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::caller::{digest, role};
use super::types::{TokenList, TokenMade, TokenRequest, TokenView};
use super::{Api, ApiError, parse_body, parse_named, rfc3339};
use crate::addons::now_ms;
use crate::addons::store::TokenRow;

/// Every token, without what makes it one.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, body = TokenList)))]
pub async fn list(State(api): State<Arc<Api>>) -> Result<Json<TokenList>, ApiError> {
    Ok(Json(TokenList { tokens: api.store.tokens()?.into_iter().map(view).collect() }))
}

/// Make a token. It is told this once and never again.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens",
    request_body = TokenRequest, responses((status = 201, body = TokenMade))
)]
pub async fn create(
    State(api): State<Arc<Api>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<TokenMade>), ApiError> {
    let request: TokenRequest = parse_body(body, WHAT_TO_SEND)?;
    let name = parse_named("token", &request.name)?;
    let app = request.app.as_deref().map(|app| parse_named("app", app)).transpose()?;
    let token = new_token()
        .map_err(|error| ApiError::unavailable("no_randomness", error.to_string(), "try again"))?;
    let now = now_ms();
    let expires_at = request.expires_in_s.map(|seconds| now + i64::from(seconds) * 1000);
    let sha256 = digest(&token);
    let row = TokenRow { name, role: request.role, app, sha256, created_at: now, expires_at };
    if role(&row).is_err() {
        let message = format!(
            "there is no token of the role {:?} {}",
            row.role,
            if row.app.is_some() { "with an app" } else { "without an app" }
        );
        return Err(ApiError::invalid("bad_role", message, "send admin or read-only, or owner with an app"));
    }
    if !api.store.add_token(&row)? {
        let message = format!("a token called {} exists already; nothing was changed", row.name);
        let hint = format!("take another name, or `pierhead token revoke {}` first", row.name);
        return Err(ApiError::conflict("name_taken", message, hint));
    }
    Ok((StatusCode::CREATED, Json(TokenMade { token, view: view(row) })))
}

/// Revoke a token. What it has begun goes on.
#[utoipa::path(delete, path = "/v1/tokens/{name}", tag = "tokens", responses((status = 204)))]
pub async fn revoke(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let name = parse_named("token", &name)?;
    if api.store.remove_token(&name)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::no_such_token(&name))
    }
}

fn view(row: TokenRow) -> TokenView {
    TokenView {
        name: row.name,
        role: row.role,
        app: row.app,
        created_at: rfc3339(row.created_at),
        expires_at: row.expires_at.map(rfc3339),
    }
}

/// 256 random bits, marked so that a scanner for leaked secrets can find them.
fn new_token() -> std::io::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    Ok(format!("pierhead_{}", BASE64_URL_SAFE_NO_PAD.encode(random)))
}

const WHAT_TO_SEND: &str = r#"send JSON such as {"name": "ci", "role": "owner", "app": "shop"}"#;
