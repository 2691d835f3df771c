//! A PostgreSQL CancelRequest on its way to the container that handed out its key.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::leg::Leg;
use super::{Lobby, Ticket};
use crate::dialect::postgres::CancelRequest;
use crate::routes::RouteState;

/// How long the backend may take: libpq waits for it, and takes our close for "done".
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

impl Lobby {
    /// Sends the client's own bytes to each container that has the key, and closes the client only when they
    /// have closed. Nobody has the key: closes at once, as a server does. The ticket is kept, so that cancels
    /// are limited as connections without a name are.
    pub(super) async fn cancel(&self, client: Leg, request: CancelRequest, ticket: Ticket) {
        let deadline = Instant::now() + CANCEL_TIMEOUT;
        for route in self.cancels.lookup(&request.key) {
            // The container may have got a new address since it handed out the key.
            let current = self.table.lookup(route.protocol, route.name.as_str());
            let Some(current) = current.filter(|current| current.container == route.container) else {
                continue;
            };
            let RouteState::Ready(upstream) = &current.state else { continue };
            self.counters.cancels.add(1);
            let Ok(backend) = Leg::connect(upstream, &self.tcp) else { continue };
            if backend.write_all(&request.packet, deadline).await.is_ok() {
                let mut nothing = BytesMut::new();
                // A server answers a cancel by closing; whatever it says is not for anybody.
                while let Ok(1..) = backend.read(&mut nothing, deadline).await {
                    nothing.clear();
                }
            }
        }
        drop((client, ticket));
    }
}
