//! Idempotency keys: a request that is sent again with the same `Idempotency-Key` gets the answer that the first one got,
//! and nothing is done twice. (The header is that of the IETF draft httpapi-idempotency-key-header.)

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use super::entrance::OPERATION;
use super::{Api, ApiError, BODY_MAX};
use crate::addons::now_ms;
use crate::addons::store::{KeptAnswer, operation};
use crate::control::access::Deed;

/// The header that a key comes in.
pub const KEY: &str = "idempotency-key";

/// The keys of requests that are being carried out, each with its caller's own.
#[derive(Default)]
pub struct InProgress(Mutex<HashSet<(String, String)>>);

/// Answers a request with a key from what was answered before, or carries it out and keeps its answer.
pub async fn once(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let is_change = Deed::of(request.method().as_str(), request.uri().path()) == Deed::Change;
    let Some(key) = request.headers().get(KEY).filter(|_| is_change).cloned() else {
        return next.run(request).await;
    };
    if request.uri().path() == TOKENS {
        let message = "a token is told once and kept nowhere, so its answer cannot be given again";
        return ApiError::invalid("no_key", message, "send it without an Idempotency-Key").into_response();
    }
    let Some(caller) = request.extensions().get::<Caller>().map(Caller::key) else {
        return ApiError::no_token("nobody is known to have sent this").into_response();
    };
    keyed(&api, caller, &key, request, next).await.unwrap_or_else(ApiError::into_response)
}

async fn keyed(
    api: &Api,
    caller: String,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_LEN_MAX);
    let key = key.ok_or_else(|| {
        let message = format!("an Idempotency-Key has 1 to {KEY_LEN_MAX} visible ASCII characters");
        ApiError::malformed(message, "send for example a UUID")
    })?;
    let (request, digest) = digested(request).await?;
    let _in_progress = api.keys.enter(&caller, key).ok_or_else(|| {
        let message = "a request with this Idempotency-Key is being carried out";
        ApiError::conflict("in_progress", message, "send it again a little later")
    })?;
    let current = operation::current().unwrap_or_default();
    let found = api.store.begin_keyed(&caller, key, &digest, &current, now_ms())?;
    let operation = match found {
        Some(kept) if kept.request != digest => {
            let message = "another request came with this Idempotency-Key; nothing was changed";
            return Err(ApiError::invalid("key_reused", message, "take a new key for a new request"));
        }
        Some(kept) => match kept.answer {
            Some(answer) => return Ok(given_again(answer, &kept.operation)),
            // It had begun when Pierhead ended: what it has done, if anything, is the same operation's.
            None => kept.operation,
        },
        None => current,
    };
    let answer = operation::within(operation.clone(), next.run(request)).await;
    keep(api, &caller, key, &operation, answer).await
}

/// The request and what tells it from others: method, path, query and body.
async fn digested(request: Request) -> Result<(Request, [u8; 32]), ApiError> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.map_err(|_| {
        let message =
            format!("with an Idempotency-Key a body has at most {BODY_MAX} bytes, and arrives whole");
        ApiError::invalid("too_large", message, "send it without a key")
    })?;
    let mut hash = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &body[..]] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Ok((Request::from_parts(parts, Body::from(body)), hash.finalize().into()))
}

/// Keeps an answer. That something was not to be had just now is not kept: it is to be tried again.
async fn keep(
    api: &Api,
    caller: &str,
    key: &str,
    operation: &str,
    answer: Response,
) -> Result<Response, ApiError> {
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| {
        ApiError::unavailable("broken_off", format!("the answer broke off: {error}"), "send it again")
    })?;
    let answer = KeptAnswer { status: parts.status.as_u16(), body: body.to_vec() };
    let lasts = !parts.status.is_server_error();
    api.store.end_keyed(caller, key, lasts.then_some(&answer))?;
    Ok((parts.status, headers(operation), body).into_response())
}

fn given_again(answer: KeptAnswer, operation: &str) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let replayed = [("idempotent-replayed", "true")];
    (status, headers(operation), replayed, answer.body).into_response()
}

fn headers(operation: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(operation) {
        headers.insert(OPERATION, id);
    }
    headers
}

impl InProgress {
    /// `None` if a request with this key is under way.
    fn enter(&self, caller: &str, key: &str) -> Option<Entered<'_>> {
        let entry = (caller.to_owned(), key.to_owned());
        let added = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.clone());
        added.then_some(Entered { all: self, entry })
    }
}

/// A key that is in use until this is dropped.
struct Entered<'a> {
    all: &'a InProgress,
    entry: (String, String),
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.entry);
    }
}

const TOKENS: &str = "/v1/tokens";
const KEY_LEN_MAX: usize = 255;
