//! Requests to a Pierhead. In come paths and bodies; out go parsed answers or a [`Failure`].

use std::time::Duration;

use futures_util::stream::BoxStream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Failure, Way};
use crate::control::api::types::{ErrorBody, ErrorView};

/// A body that is read while it is sent.
pub type Upload = BoxStream<'static, std::io::Result<Frame<Bytes>>>;

/// A client of one Pierhead.
pub struct Client {
    way: Way,
    token: Option<String>,
}

impl Client {
    /// A client of what is found this way. Nothing is connected before it is needed.
    pub fn new(way: Way, token: Option<String>) -> Self {
        Client { way, token }
    }

    /// `GET`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// `POST` without a body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::POST, path, Bytes::new()).await
    }

    /// `POST` with a body.
    pub async fn send<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::failed(error.to_string()))?;
        self.ask(Method::POST, path, body.into()).await
    }

    /// The same where the answer comes only once an engine has done something, which may take minutes.
    pub async fn send_and_wait<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::failed(error.to_string()))?;
        self.ask_for(Method::POST, path, body.into(), TIMEOUT_OF_ENGINES).await
    }

    /// `PUT`.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::failed(error.to_string()))?;
        self.ask(Method::PUT, path, body.into()).await
    }

    /// `PATCH`.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::failed(error.to_string()))?;
        self.ask(Method::PATCH, path, body.into()).await
    }

    /// `DELETE`.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::DELETE, path, Bytes::new()).await
    }

    /// `DELETE` that is answered with nothing.
    pub async fn delete_only(&self, path: &str) -> Result<(), Failure> {
        checked(self.request(Method::DELETE, path, Full::new(Bytes::new())).await?).await.map(drop)
    }

    /// `GET`, with the answer's body as it arrives.
    pub async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        Ok(checked(self.request(Method::GET, path, Full::new(Bytes::new())).await?).await?.into_body())
    }

    /// `POST` with a body that is read while it is sent. It takes as long as it takes.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, body: Upload) -> Result<T, Failure> {
        let answer = checked(self.request(Method::POST, path, StreamBody::new(body)).await?).await?;
        let bytes = answer.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| broken(&error))
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        self.ask_for(method, path, body, TIMEOUT).await
    }

    async fn ask_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let work = async {
            let answer = checked(self.request(method, path, Full::new(body)).await?).await?;
            let bytes = answer.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|error| broken(&error))
        };
        let late = || Failure::timed_out(format!("pierhead did not answer within {timeout:?}"));
        tokio::time::timeout(timeout, work).await.map_err(|_| late())?
    }

    async fn request<B>(&self, method: Method, path: &str, body: B) -> Result<Response<Incoming>, Failure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.way.connect().await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        // It ends when the answer has been read or the sender is dropped.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "pierhead")
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| Failure::failed(error.to_string()))?;
        sender.send_request(request).await.map_err(|error| broken(&error))
    }
}

async fn checked(answer: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let bytes = answer.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
    let error =
        serde_json::from_slice::<ErrorBody>(&bytes).map(|body| body.error).unwrap_or_else(|_| ErrorView {
            code: "unknown".into(),
            message: format!("pierhead answered {status}"),
            hint: "is the running pierhead of another version?".into(),
        });
    Err(Failure::refused(status.as_u16(), error))
}

/// A body that is there as a whole.
pub fn whole(body: Vec<u8>) -> Upload {
    futures_util::StreamExt::boxed(futures_util::stream::iter([Ok(Frame::data(Bytes::from(body)))]))
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure::failed(format!("the answer of pierhead cannot be understood: {error}"))
}

/// For answers that come at once. Creating an addon is one of them: waiting for it is done by asking again.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than the server waits for an engine.
const TIMEOUT_OF_ENGINES: Duration = Duration::from_secs(180);
