//! The audit log: every request that changes something or is told a secret, with who has sent it.

use std::sync::Arc;

use axum::Json;
use axum::extract::connect_info::Connected;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use serde::Deserialize;
use tokio::net::UnixListener;

use super::types::{AuditList, AuditView};
use super::{Api, ApiError, rfc3339};
use crate::addons::now_ms;
use crate::addons::store::AuditEntry;

/// Who is at the other end of the control socket, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Peer { uid: credentials.map(|of| of.uid()), pid: credentials.and_then(|of| of.pid()) }
    }
}

/// Keeps an entry of a request once it is answered, or its sender has gone away. One that cannot be kept is logged, and
/// the answer stands.
pub async fn record(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if (method == Method::GET || method == Method::HEAD) && !tells_a_secret(path) {
        return next.run(request).await;
    }
    let path = path.chars().take(PATH_LEN_MAX).collect();
    let mut pending = Pending { api, peer, method: method.to_string(), path, status: SENDER_GONE };
    let answer = next.run(request).await;
    pending.status = answer.status().as_u16();
    answer
}

/// A request whose entry is kept when this is dropped: with the answer, or because nobody waits for it any more.
struct Pending {
    api: Arc<Api>,
    peer: Peer,
    method: String,
    path: String,
    status: u16,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let (Peer { uid, pid }, status) = (self.peer, self.status);
        let (method, path) = (std::mem::take(&mut self.method), std::mem::take(&mut self.path));
        tracing::info!(uid, pid, method, path, status, "control request");
        if let Err(error) = self.api.store.audit(&AuditEntry { at: now_ms(), uid, pid, method, path, status })
        {
            tracing::error!(%error, "the audit log failed");
        }
    }
}

fn tells_a_secret(path: &str) -> bool {
    ["/url", "/env", "/export"].iter().any(|end| path.ends_with(end))
}

/// What can be asked of `GET /v1/audit`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// How many of the latest.
    tail: Option<u32>,
}

/// `GET /v1/audit?tail=100`
pub async fn audit(
    State(api): State<Arc<Api>>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<AuditList>, ApiError> {
    let Query(query) = query
        .map_err(|error| ApiError::malformed(error.body_text(), "send for example ?tail=100, or nothing"))?;
    let entries = api.store.audited(query.tail.unwrap_or(TAIL))?;
    let view = |entry: AuditEntry| AuditView {
        at: rfc3339(entry.at),
        uid: entry.uid,
        pid: entry.pid,
        method: entry.method,
        path: entry.path,
        status: entry.status,
    };
    Ok(Json(AuditList { requests: entries.into_iter().map(view).collect() }))
}

const TAIL: u32 = 100;
/// As nginx has it: the sender has closed the connection before there was an answer.
const SENDER_GONE: u16 = 499;
/// Longer paths are nobody's here.
const PATH_LEN_MAX: usize = 200;
