//! Which operation is being carried out: like a tracing span, it goes with the task and need not be handed from call to
//! call. What the store writes meanwhile belongs to it.

use std::io;

use crate::addons::hex;

tokio::task_local! {
    static CURRENT: String;
}

/// An id for a new operation, such as `op-1f0c5a9e24b7d38e`.
pub fn new_id() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("op-{}", hex(&random)))
}

/// Does `work` as a part of this operation.
pub async fn within<T>(id: String, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// The operation that the present task is a part of, for work that is to go on in another task.
pub fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// `work` as a part of the present operation, if there is one, wherever it is polled.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let id = current();
    async move {
        match id {
            Some(id) => within(id, work).await,
            None => work.await,
        }
    }
}
