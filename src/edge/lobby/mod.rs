//! From accept to the relay: identify, route, dial, open, hand over. One task for each connection on the core's
//! tokio-uring runtime; what comes in is an accepted socket, what goes out an established pair, or a refusal in
//! the protocol's own words.

mod cancel;
mod dial;
mod hold;
mod leg;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use socket2::Socket;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::dial::{Opened, Wanted};
use self::hold::Waiting;
use self::leg::{LINGER_BYTES_MAX, Leg};
use super::admission::Ticket;
use super::cancel::CancelTable;
use super::counters::CoreCounters;
use super::relay::{Established, Story};
use crate::config::{Limits, TcpConfig};
use crate::dialect::{Dialect, Identified, Reason, Refusal, Step};
use crate::routes::Table;

/// What all connections in the lobby of one core share.
pub struct Lobby {
    limits: Limits,
    tcp: TcpConfig,
    table: Arc<Table>,
    cancels: Arc<CancelTable>,
    counters: Arc<CoreCounters>,
    connections_max: usize,
    inside: Cell<usize>,
    relays: Cell<usize>,
    draining: Cell<bool>,
    arrivals: RefCell<Vec<Established>>,
    arrived: Notify,
    waiting: Waiting,
}

/// A connection that has just been accepted.
pub struct Accepted {
    /// The client's socket, non-blocking.
    pub socket: Socket,
    /// The client's address.
    pub source: SocketAddr,
    /// What is spoken on the port, from the first byte.
    pub dialect: Box<dyn Dialect>,
    /// When.
    pub at: std::time::Instant,
    /// The right to be here.
    pub ticket: Ticket,
}

impl Lobby {
    /// An empty lobby.
    pub fn new(
        limits: Limits,
        tcp: TcpConfig,
        table: Arc<Table>,
        cancels: Arc<CancelTable>,
        counters: Arc<CoreCounters>,
        connections_max: usize,
    ) -> Self {
        Lobby {
            limits,
            tcp,
            table,
            cancels,
            counters,
            connections_max,
            inside: Cell::new(0),
            relays: Cell::new(0),
            draining: Cell::new(false),
            arrivals: RefCell::default(),
            arrived: Notify::new(),
            waiting: Waiting::default(),
        }
    }

    /// Takes a connection in. It leaves through [`Lobby::take_arrivals`] or is closed.
    pub fn enter(self: &Rc<Self>, accepted: Accepted) {
        self.inside.set(self.inside.get() + 1);
        self.counters.lobby.open();
        self.counters.of(accepted.dialect.protocol()).accepted.add(1);
        let visit = Visit(Rc::clone(self));
        tokio_uring::spawn(async move { visit.0.serve(accepted).await });
    }

    /// Connections inside.
    pub fn inside(&self) -> usize {
        self.inside.get()
    }

    /// Tells how many connections the core relays: over its limit, new ones are refused.
    pub fn set_relays(&self, relays: usize) {
        self.relays.set(relays);
    }

    /// From now on everybody who has said a name is refused.
    pub fn drain(&self) {
        self.draining.set(true);
    }

    /// Connections that are ready for the relay.
    pub fn take_arrivals(&self) -> Vec<Established> {
        self.arrivals.take()
    }

    /// Waits until there are arrivals.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    async fn serve(&self, accepted: Accepted) {
        let Accepted { socket, source, mut dialect, at, mut ticket } = accepted;
        let client = Leg::new(socket);
        let mut input = BytesMut::new();
        let identified = match self.identify(&client, &mut dialect, &mut input, at).await {
            Outcome::Identified(identified) => identified,
            Outcome::Cancel(request) => return self.cancel(client, request, ticket).await,
            Outcome::Refuse(refusal) => {
                return self.refuse(client, source, dialect.as_ref(), &refusal, input).await;
            }
            Outcome::Gone => return,
        };
        let protocol = dialect.protocol();
        let identify = at.elapsed();
        self.counters.of(protocol).identify.add(identify);
        let Identified { login, by, mut opening, watch } = identified;
        let wanted = Wanted { protocol, name: &login.name, role: login.role.as_deref(), by };
        let opened = self.open(&client, wanted, &mut opening, &input, &mut ticket).await;
        let Opened { route, open, backend, held } = match opened {
            Ok(opened) => opened,
            Err(Some(refusal)) => {
                return self.refuse(client, source, dialect.as_ref(), &refusal, input).await;
            }
            Err(None) => return,
        };
        let deadline = Instant::now() + self.limits.dial_timeout.get();
        if client.write_all(&backend.early, deadline).await.is_err() {
            return;
        }
        let dial = at.elapsed().saturating_sub(identify + held);
        self.counters.of(protocol).dial.add(dial);
        self.counters.of(protocol).routed[by.method()].add(1);
        drop(ticket);
        let early = backend.early.len() as u64;
        let story = Story { source, accepted: at, identify, held, dial, replayed: backend.sent, early };
        let (client, backend) = (client.into_socket(), backend.leg.into_socket());
        self.arrivals.borrow_mut().push(Established { client, backend, watch, route, open, story });
        self.arrived.notify_one();
    }

    /// Reads until the dialect knows who is meant.
    async fn identify(
        &self,
        client: &Leg,
        dialect: &mut Box<dyn Dialect>,
        input: &mut BytesMut,
        accepted: std::time::Instant,
    ) -> Outcome {
        let deadline = Instant::from_std(accepted + self.limits.identify_timeout.get());
        let mut total = 0;
        loop {
            match dialect.step(input) {
                Step::NeedMore => {}
                Step::Reply(bytes) => match client.write_all(&bytes, deadline).await {
                    Ok(()) => continue,
                    Err(_) => return Outcome::Gone,
                },
                Step::Become(known) => {
                    *dialect = known;
                    continue;
                }
                Step::Identified(identified) => return Outcome::Identified(identified),
                Step::Cancel(request) => return Outcome::Cancel(request),
                Step::Refuse(refusal) => return Outcome::Refuse(refusal),
                Step::Close => return Outcome::Gone,
            }
            if total >= dialect.identify_bytes_max() {
                let detail = format!("no name in the first {total} bytes");
                return Outcome::Refuse(Refusal::new(Reason::TooBig, detail));
            }
            match client.read(input, deadline).await {
                Ok(0) => return Outcome::Gone,
                Ok(count) => total += count,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let detail = format!("no name within {:?}", self.limits.identify_timeout.get());
                    return Outcome::Refuse(Refusal::new(Reason::TooSlow, detail));
                }
                Err(_) => return Outcome::Gone,
            }
        }
    }

    async fn refuse(
        &self,
        client: Leg,
        source: SocketAddr,
        dialect: &dyn Dialect,
        refusal: &Refusal,
        behind: BytesMut,
    ) {
        let protocol = dialect.protocol();
        self.counters.of(protocol).refused[refusal.reason as usize].add(1);
        let name = refusal.name.as_ref().map(tracing::field::display);
        let reason = refusal.reason.as_str();
        tracing::info!(%source, %protocol, addon = name, reason, detail = ?refusal.detail, "refused");
        let words = dialect.refuse(refusal);
        let deadline = Instant::now() + self.limits.refusal_linger.get();
        if client.write_all(&words, deadline).await.is_ok() {
            answer_refused(&client, dialect, refusal, behind, deadline).await;
            client.linger(self.limits.refusal_linger.get()).await;
        }
    }
}

/// Where a protocol's clients go on talking after a refusal, and could not read it otherwise: answers them until
/// they have gone, or until `deadline`.
async fn answer_refused(
    client: &Leg,
    dialect: &dyn Dialect,
    refusal: &Refusal,
    mut input: BytesMut,
    deadline: Instant,
) {
    let mut total = 0;
    while let Some(answers) = dialect.answer_refused(refusal, &mut input) {
        if total > LINGER_BYTES_MAX || client.write_all(&answers, deadline).await.is_err() {
            return;
        }
        match client.read(&mut input, deadline).await {
            Ok(count @ 1..) => total += count,
            _ => return,
        }
    }
}

/// How the search for a name ended.
enum Outcome {
    Identified(Identified),
    Cancel(crate::dialect::postgres::CancelRequest),
    Refuse(Refusal),
    /// The client has left; there is nobody to tell.
    Gone,
}

/// Counts a connection as inside for as long as its task lives.
struct Visit(Rc<Lobby>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
        self.0.counters.lobby.close();
        // The core may be waiting for the lobby to be empty.
        self.0.arrived.notify_one();
    }
}
