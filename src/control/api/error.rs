//! Refusals of the API: a status, a word for programs, a sentence for people and what to do next.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::types::{ErrorBody, ErrorView};
use crate::addons::logins::Role;
use crate::addons::store::StoreError;
use crate::dialect::Name;

/// Why a request was not carried out. Nothing was changed.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: String, hint: impl Into<String>) -> Self {
        ApiError { status, code, message, hint: hint.into() }
    }

    /// 400: the request cannot be understood.
    pub fn malformed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message.into(), hint)
    }

    /// 401: nobody who is known.
    pub fn no_token(message: &str) -> Self {
        let hint = "send `Authorization: Bearer TOKEN`; `pierhead token create` on the host makes one";
        Self::new(StatusCode::UNAUTHORIZED, "bad_token", message.to_owned(), hint)
    }

    /// 403: somebody who may not do this.
    pub fn forbidden(what_is_allowed: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", what_is_allowed, "ask whoever runs this pierhead")
    }

    /// 404: there is no such addon.
    pub fn no_addon(name: &Name) -> Self {
        let message = format!("there is no addon called {name}");
        Self::new(StatusCode::NOT_FOUND, "not_found", message, "`pierhead list` shows what there is")
    }

    /// 404: there is no such thing, in these words.
    pub fn missing(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message.into(), hint)
    }

    /// 404: an addon is not being upgraded.
    pub fn no_upgrade(name: &Name) -> Self {
        let message = format!("there is no upgrade of {name} that is not finished");
        let hint = format!("`pierhead upgrade {name} --to VERSION` begins one");
        Self::new(StatusCode::NOT_FOUND, "not_found", message, hint)
    }

    /// 404: nothing is attached to the app.
    pub fn no_app(app: &Name) -> Self {
        let message = format!("no addon is attached to an app called {app}");
        let hint =
            format!("`pierhead attach ADDON --app {app}` attaches one; `pierhead apps` shows what there is");
        Self::new(StatusCode::NOT_FOUND, "not_found", message, hint)
    }

    /// 404: an addon is not attached to an app, or not in that variable.
    pub fn not_attached() -> Self {
        let message = "there is no such attachment".to_owned();
        Self::new(StatusCode::NOT_FOUND, "not_found", message, "`pierhead apps` shows what there is")
    }

    /// 404: there is no such token.
    pub fn no_such_token(name: &Name) -> Self {
        let message = format!("there is no token called {name}");
        Self::new(StatusCode::NOT_FOUND, "not_found", message, "`pierhead token list` shows what there is")
    }

    /// 404: nothing is known of that operation.
    pub fn no_operation(id: &str) -> Self {
        let message = format!("nothing is known of an operation {id:?}: there is none, or it is long ago");
        Self::new(StatusCode::NOT_FOUND, "not_found", message, "`pierhead audit` shows the latest")
    }

    /// 404: the addon has no such login.
    pub fn no_binding(name: &Name, role: &Role) -> Self {
        let message = format!("{name} has no login {name}.{}", role.as_str());
        let hint = format!("`pierhead bindings {name}` shows what there is");
        Self::new(StatusCode::NOT_FOUND, "not_found", message, hint)
    }

    /// 404: there is no such path.
    pub fn no_path(path: &str) -> Self {
        let hint = "/v1/openapi.json tells what there is";
        Self::new(StatusCode::NOT_FOUND, "no_such_path", format!("there is nothing at {path}"), hint)
    }

    /// 405: not with this method.
    pub fn method(method: &str, path: &str) -> Self {
        let message = format!("{path} does not take {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, "")
    }

    /// 409: it contradicts what is there.
    pub fn conflict(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message.into(), hint)
    }

    /// 413: the body is too large.
    pub fn too_large(max: usize) -> Self {
        let message = format!("the request's body has more than {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, "send less")
    }

    /// 422: understood, but a value cannot be.
    pub fn invalid(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message.into(), hint)
    }

    /// 503: something that is needed does not answer.
    pub fn unavailable(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message.into(), hint)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(name) => ApiError::conflict(
                "name_taken",
                format!("an addon called {name} exists already; nothing was changed"),
                format!("take another name, or see `pierhead info {name}`"),
            ),
            error => {
                tracing::error!(%error, "the store failed");
                let hint = "see whether the disk of data_dir is full or read-only, then try again";
                ApiError::unavailable("store_failed", error.to_string(), hint)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorView { code: self.code.into(), message: self.message, hint: self.hint };
        (self.status, Json(ErrorBody { error })).into_response()
    }
}
