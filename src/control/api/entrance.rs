//! The way in: who asks, whether that is allowed, which operation it begins; and what is kept of it in the audit log.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::caller::{Caller, Peer};
use super::{Api, ApiError};
use crate::addons::now_ms;
use crate::addons::store::{AuditEntry, operation};
use crate::control::access::Deed;

/// The answer to a request that changes something has the id of its operation in this header.
pub const OPERATION: &str = "pierhead-operation";

/// Lets a request in, or answers why not. What changes something or is told a secret is kept in the audit log once it is
/// answered, or its sender has gone away. An entry that cannot be kept is logged, and the answer stands.
pub async fn enter(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let path: String = request.uri().path().to_owned();
    let method = request.method().to_string();
    let deed = Deed::of(&method, &path);
    let caller = Caller::of(&api, peer, request.headers());
    // Also of one that is refused: who has tried is what an audit log is read for.
    let token = caller.as_ref().ok().and_then(|caller| caller.token.as_ref()).map(ToString::to_string);
    let allowed = caller.and_then(|caller| caller.check(&api, deed, &path).map(|()| caller));
    if let Ok(caller) = &allowed {
        request.extensions_mut().insert(caller.clone());
    }
    if deed == Deed::Look {
        return match allowed {
            Ok(_) => next.run(request).await,
            Err(error) => error.into_response(),
        };
    }
    let path = path.chars().take(PATH_LEN_MAX).collect();
    let entry = entry(peer, token, method, path);
    let mut pending = Pending { api: Arc::clone(&api), entry };
    let answer = match allowed {
        Ok(_) if deed == Deed::Secret => next.run(request).await,
        Ok(_) => operate(request, next).await,
        Err(error) => error.into_response(),
    };
    pending.entry.status = answer.status().as_u16();
    let operation = answer.headers().get(OPERATION);
    pending.entry.operation = operation.and_then(|id| id.to_str().ok()).map(str::to_owned);
    answer
}

/// Carries a change out as an operation of its own, unless something further in has found that it is an earlier one.
async fn operate(request: Request, next: Next) -> Response {
    let id = match operation::new_id() {
        Ok(id) => id,
        Err(error) => {
            return ApiError::unavailable("no_randomness", error.to_string(), "try again").into_response();
        }
    };
    let mut answer = operation::within(id.clone(), next.run(request)).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().entry(OPERATION).or_insert(id);
    }
    answer
}

/// A request whose entry is kept when this is dropped: with the answer, or because nobody waits for it any more.
struct Pending {
    api: Arc<Api>,
    entry: AuditEntry,
}

fn entry(peer: Peer, token: Option<String>, method: String, path: String) -> AuditEntry {
    let (uid, pid, address) = match peer {
        Peer::Local { uid, pid } => (uid, pid, None),
        Peer::Remote(address) => (None, None, Some(address.to_string())),
    };
    AuditEntry { at: 0, uid, pid, token, address, operation: None, method, path, status: SENDER_GONE }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.entry.at = now_ms();
        let AuditEntry { uid, pid, token, address, method, path, status, .. } = &self.entry;
        tracing::info!(uid, pid, token, address, method, path, status, "control request");
        if let Err(error) = self.api.store.audit(&self.entry) {
            tracing::error!(%error, "the audit log failed");
        }
    }
}

/// As nginx has it: the sender has closed the connection before there was an answer.
const SENDER_GONE: u16 = 499;
/// Longer paths are nobody's here.
const PATH_LEN_MAX: usize = 200;
