//! Who sends requests: the peer of the connection, and the token that comes with a request.

use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::http::{HeaderMap, header};
use axum::serve::IncomingStream;
use sha2::{Digest, Sha256};
use tokio::net::UnixListener;

use super::{Api, ApiError};
use crate::addons::now_ms;
use crate::addons::store::{StoreError, TokenRow};
use crate::control::access::{Deed, Role, Subject};
use crate::dialect::Name;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// A process of this host, on the control socket, as the kernel says; both are missing if it does not.
    Local {
        /// Its user.
        uid: Option<u32>,
        /// Its number.
        pid: Option<i32>,
    },
    /// Somebody on the network.
    Remote(SocketAddr),
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Peer::Local { uid: credentials.map(|of| of.uid()), pid: credentials.and_then(|of| of.pid()) }
    }
}

/// Who sends a request, and what that allows.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The other end of its connection.
    pub peer: Peer,
    /// The name of its token, if one came with it.
    pub token: Option<Name>,
    /// What it may do.
    pub role: Role,
}

impl Caller {
    /// Finds out who sends a request with these headers.
    pub fn of(api: &Api, peer: Peer, headers: &HeaderMap) -> Result<Self, ApiError> {
        match (headers.get(header::AUTHORIZATION), peer) {
            (None, Peer::Local { .. }) => Ok(Caller { peer, token: None, role: Role::Admin }),
            (None, Peer::Remote(_)) => Err(ApiError::no_token("this request has no token")),
            (Some(value), _) => {
                let text = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
                let row = text.map(|text| api.store.token(&digest(text.trim()))).transpose()?.flatten();
                let row = row.ok_or_else(|| ApiError::no_token("this token is unknown"))?;
                if row.expires_at.is_some_and(|at| at <= now_ms()) {
                    return Err(ApiError::no_token("this token has expired"));
                }
                Ok(Caller { peer, role: role(&row)?, token: Some(row.name) })
            }
        }
    }

    /// Fails if this is not allowed.
    pub fn check(&self, api: &Api, deed: Deed, path: &str) -> Result<(), ApiError> {
        let apps_of = |addon: &str| api.apps_of(addon);
        self.role.may(deed, Subject::of(path), apps_of)?.map_err(ApiError::forbidden)
    }

    /// Fails if this addon is not one that the caller may do this with.
    pub fn check_addon(&self, api: &Api, deed: Deed, addon: &Name) -> Result<(), ApiError> {
        let apps_of = |addon: &str| api.apps_of(addon);
        self.role.may(deed, Subject::Addon(addon.as_str()), apps_of)?.map_err(ApiError::forbidden)
    }

    /// The app that the caller is bound to, if it is.
    pub fn own_app(&self) -> Option<&Name> {
        match &self.role {
            Role::Owner(app) => Some(app),
            Role::Admin | Role::ReadOnly => None,
        }
    }

    /// Tells callers apart, so that nobody is given what was answered to somebody else.
    pub fn key(&self) -> String {
        match (&self.token, self.peer) {
            (Some(token), _) => format!("token {token}"),
            (None, Peer::Local { uid, .. }) => format!("uid {}", uid.unwrap_or(u32::MAX)),
            (None, Peer::Remote(address)) => address.ip().to_string(),
        }
    }
}

impl Api {
    /// The apps that an addon is attached to, once for each attachment.
    fn apps_of(&self, addon: &str) -> Result<Vec<Name>, StoreError> {
        let attachments = self.store.attachments()?.into_iter();
        Ok(attachments.filter(|one| one.addon.as_str() == addon).map(|one| one.app).collect())
    }
}

/// What is kept of a token.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The role of a token.
pub fn role(row: &TokenRow) -> Result<Role, StoreError> {
    match (row.role.as_str(), &row.app) {
        ("admin", None) => Ok(Role::Admin),
        ("read-only", None) => Ok(Role::ReadOnly),
        ("owner", Some(app)) => Ok(Role::Owner(app.clone())),
        (word, _) => {
            Err(StoreError::Row { name: row.name.to_string(), column: "role", value: word.to_owned() })
        }
    }
}
