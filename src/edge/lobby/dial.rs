//! From a name to a backend whose byte stream lines up with the client's: look up, connect, open; again and again
//! until the dial deadline.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, sleep_until};

use super::leg::Leg;
use super::{Lobby, Ticket};
use crate::dialect::{By, Handshake, HandshakeStep, Name, Opening, Protocol, Reason, Refusal};
use crate::routes::{Ambiguous, OpenGuard, Route, RouteState, Upstream};
use crate::sys::peer_has_gone;

/// Whom a client means.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// What the client speaks.
    pub(super) protocol: Protocol,
    pub(super) name: &'a Name,
    /// What stands behind the dot of the login.
    pub(super) role: Option<&'a str>,
    pub(super) by: By,
}

/// A backend that is ready for the relay.
pub(super) struct Opened {
    pub(super) route: Arc<Route>,
    pub(super) open: OpenGuard,
    pub(super) backend: Backend,
    /// How long the client was held before.
    pub(super) held: Duration,
}

/// A connection to a backend.
pub(super) struct Backend {
    pub(super) leg: Leg,
    /// What it has said beyond the handshake: the client's.
    pub(super) early: BytesMut,
    /// How many bytes it was sent.
    pub(super) sent: u64,
}

/// Where a connection goes now.
enum Way {
    To(Arc<Route>, Upstream),
    /// Nowhere yet.
    Held,
}

/// Why a try to reach a backend has failed.
enum DialError {
    /// It may be there yet.
    Io(io::Error),
    /// It is there, and will not do.
    Refuse(Reason, String),
}

/// The pause between two tries to connect grows from this one ...
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);
/// ... to this one.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(250);

impl Lobby {
    /// Looks the route up, connects, and delivers what the client has sent so far: again and again, looking up
    /// afresh each time, until the dial deadline. A backend that is just starting is waited for. `Err(None)`:
    /// the client has gone.
    pub(super) async fn open(
        &self,
        client: &Leg,
        wanted: Wanted<'_>,
        opening: &mut Opening,
        surplus: &[u8],
        ticket: &mut Ticket,
    ) -> Result<Opened, Option<Refusal>> {
        let mut deadline = Instant::now() + self.limits.dial_timeout.get();
        let mut held = Duration::ZERO;
        let mut pause = RETRY_PAUSE_MIN;
        let name = wanted.name;
        for nth in 0u32.. {
            let (route, mut upstream) = match self.way(&wanted)? {
                Way::To(route, upstream) => (route, upstream),
                Way::Held => {
                    let before = Instant::now();
                    self.hold(client, &wanted, surplus, ticket).await?;
                    (held, pause) = (held + before.elapsed(), RETRY_PAUSE_MIN);
                    deadline = Instant::now() + self.limits.dial_timeout.get();
                    continue;
                }
            };
            if nth % 2 == 1 {
                // The namespace may be the one that is out of order.
                upstream = Upstream::Tcp(upstream.address());
            }
            let Some(open) = route.usage.try_open(route.connections_max) else {
                let detail = format!("its limit is {} connections", route.connections_max);
                return Err(Some(Refusal::of(name, Reason::TooManyConnections, detail)));
            };
            let error = match self.dial(&upstream, opening, surplus, deadline).await {
                Ok(backend) if self.still_leads_to(&route) => {
                    let open = open.with_role(wanted.role);
                    return Ok(Opened { route, open, backend, held });
                }
                // The container was replaced in the meantime, and its address may be another's by now; or it is held.
                Ok(_) => continue,
                Err(DialError::Io(error)) => error,
                Err(DialError::Refuse(reason, detail)) => {
                    self.counters.dial_failures.add(1);
                    tracing::warn!(addon = %name, container = %route.container, ?detail, "addon cannot serve");
                    return Err(Some(Refusal::of(name, reason, detail)));
                }
            };
            drop(open);
            route.usage.dial_failed();
            self.counters.dial_failures.add(1);
            if peer_has_gone(client.socket().as_fd()) {
                return Err(None);
            }
            if Instant::now() + pause >= deadline {
                tracing::warn!(addon = %name, container = %route.container, %error, "addon not reachable");
                return Err(Some(Refusal::of(name, Reason::Unreachable, describe(&error))));
            }
            sleep_until(Instant::now() + pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        unreachable!("the dial deadline ends the tries")
    }

    /// Whether connections like this one are to wait.
    pub(super) fn is_held(&self, wanted: &Wanted<'_>) -> Result<bool, Option<Refusal>> {
        self.way(wanted).map(|way| matches!(way, Way::Held))
    }

    /// Where a connection to `name` goes now.
    fn way(&self, wanted: &Wanted<'_>) -> Result<Way, Option<Refusal>> {
        let refuse = |reason, detail: &str| Err(Some(Refusal::of(wanted.name, reason, detail)));
        if self.draining.get() {
            return refuse(Reason::Draining, "");
        }
        if self.relays.get() >= self.connections_max {
            return refuse(Reason::TooManyConnections, "the edge has no room for more connections");
        }
        let route = match self.lookup(wanted) {
            Ok(Some(route)) => route,
            Ok(None) => return refuse(Reason::UnknownName, ""),
            Err(ambiguous) => return refuse(Reason::UnknownName, &ambiguous.to_string()),
        };
        match (&route.state, wanted.by) {
            (RouteState::Ready(upstream), By::Host(_)) => {
                Ok(Way::To(Arc::clone(&route), route.for_tls(upstream)))
            }
            (RouteState::Ready(upstream), _) => Ok(Way::To(Arc::clone(&route), upstream.clone())),
            (RouteState::Held, _) => Ok(Way::Held),
            (RouteState::Starting, _) => refuse(Reason::Starting, ""),
            (RouteState::Stopped, _) => refuse(Reason::Stopped, ""),
            (RouteState::Unreachable, _) => {
                refuse(Reason::Unreachable, "it did not answer when it was last looked at")
            }
        }
    }

    fn lookup(&self, wanted: &Wanted) -> Result<Option<Arc<Route>>, Ambiguous> {
        let name = wanted.name.as_str();
        match wanted.by {
            By::Login => Ok(self.table.lookup(wanted.protocol, name)),
            By::HostOf(protocol) => Ok(self.table.lookup(protocol, name)),
            By::Host(among) => self.table.lookup_among(among, name),
            By::Listener => Ok(Protocol::ALL.iter().find_map(|any| self.table.lookup(*any, name))),
        }
    }

    fn still_leads_to(&self, route: &Route) -> bool {
        let now = self.table.lookup(route.protocol, route.name.as_str());
        now.is_some_and(|now| now.container == route.container && now.state != RouteState::Held)
    }

    /// Connects, and delivers the first bytes: only a backend that takes them is connected. `deadline` is that of
    /// all tries together.
    async fn dial(
        &self,
        upstream: &Upstream,
        opening: &mut Opening,
        surplus: &[u8],
        deadline: Instant,
    ) -> Result<Backend, DialError> {
        let try_deadline = deadline.min(Instant::now() + self.limits.dial_try_timeout.get());
        let mut backend = Backend::new(Leg::connect(upstream, &self.tcp)?);
        match opening {
            Opening::Replay(bytes) => {
                backend.send(bytes, try_deadline).await?;
                backend.send(surplus, try_deadline).await?;
            }
            Opening::Handshake(handshake) => {
                backend.leg.connected(try_deadline).await?;
                backend.shake_hands(handshake.as_mut(), deadline).await?;
                backend.send(surplus, deadline).await?;
            }
        }
        Ok(backend)
    }
}

impl Backend {
    fn new(leg: Leg) -> Self {
        Backend { leg, early: BytesMut::new(), sent: 0 }
    }

    async fn send(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        self.leg.write_all(bytes, deadline).await?;
        self.sent += bytes.len() as u64;
        Ok(())
    }

    /// A server that is slow to greet is waited for until the deadline of the dial, not of the try: it is there,
    /// and MariaDB blocks a host that goes away without a log-in too often (PROTOCOLS §4.6).
    async fn shake_hands(
        &mut self,
        handshake: &mut dyn Handshake,
        deadline: Instant,
    ) -> Result<(), DialError> {
        let hello = handshake.begin();
        self.send(&hello, deadline).await?;
        let mut total = 0;
        loop {
            match handshake.step(&mut self.early) {
                HandshakeStep::NeedMore => {}
                HandshakeStep::Send(bytes) => {
                    self.send(&bytes, deadline).await?;
                    continue;
                }
                HandshakeStep::Done => return Ok(()),
                HandshakeStep::Retry(reason) => return Err(io::Error::other(reason).into()),
                HandshakeStep::Refuse(reason, detail) => return Err(DialError::Refuse(reason, detail)),
            }
            if total >= handshake.bytes_max() {
                let detail = format!("its server does not end its greeting within {total} bytes");
                return Err(DialError::Refuse(Reason::Unreachable, detail));
            }
            match self.leg.read(&mut self.early, deadline).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                count => total += count,
            }
        }
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        DialError::Io(error)
    }
}

/// What went wrong, without the container's address: that is nobody's business outside.
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no way to its host".to_owned(),
        io::ErrorKind::UnexpectedEof => "its server closed the connection".to_owned(),
        // The system has no errors of this kind: it is what a handshake said.
        io::ErrorKind::Other => error.to_string(),
        kind => kind.to_string(),
    }
}
