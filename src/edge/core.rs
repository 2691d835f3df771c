//! Life of a core: one thread with its listeners, its lobby (a tokio-uring runtime) and its relay (a bare ring).
//!
//! The relay's ring is the front door: connections are accepted there, and mail arrives there. While nobody is
//! in the lobby the thread sleeps in io_uring_enter on that ring and tokio is not involved at all. While
//! somebody is, it sleeps in tokio, which watches the ring's eventfd.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;
use tokio::io::unix::AsyncFd;

use super::admission::Admission;
use super::cancel::CancelTable;
use super::listener::Listener;
use super::lobby::{Accepted, Lobby};
use super::mail::{CoreShared, Mail};
use super::relay::{Engine, EngineSettings, Op, Token};
use super::spin::Spinner;
use crate::config::{CoreConfig, Limits, TcpConfig};
use crate::routes::Table;
use crate::sys::{Completion, Ring, RingSettings, pin_to, yield_to_wakers};

/// Everything that a core is started with.
pub struct CoreSetup {
    /// Its settings.
    pub config: CoreConfig,
    /// The edge's limits.
    pub limits: Limits,
    /// TCP settings.
    pub tcp: TcpConfig,
    /// Its own listening sockets.
    pub listeners: Vec<Listener>,
    /// Which of `shared` it is.
    pub index: usize,
    /// All cores, itself too.
    pub shared: Arc<[CoreShared]>,
    /// The routes.
    pub table: Arc<Table>,
    /// Cancel keys of all cores.
    pub cancels: Arc<CancelTable>,
    /// Who may be in the lobbies of all cores.
    pub admission: Arc<Admission>,
}

struct Core {
    ring: Ring,
    engine: Engine,
    lobby: Rc<Lobby>,
    listeners: Vec<Listener>,
    index: usize,
    shared: Arc<[CoreShared]>,
    admission: Arc<Admission>,
    spinner: Spinner,
    completions: Vec<Completion>,
    /// When accepting goes on after an error, and at which listeners.
    accept_again: Option<Instant>,
    paused: Vec<usize>,
    /// When the addons' counters are brought up to date next; none when nothing has happened since.
    report_at: Option<Instant>,
    drain: Option<Drain>,
}

/// Shutting down: who is left at the first `next_close` is closed, spread over `spread`.
struct Drain {
    spread: Duration,
    next_close: Instant,
    closing: Option<usize>,
}

/// How often the addons' counters are brought up to date.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// How long accepting pauses after an error such as EMFILE.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often connections are closed while draining.
const CLOSE_EVERY: Duration = Duration::from_millis(20);
/// A core hands a connection to another one that has this many fewer.
const IMBALANCE: usize = 2;

/// Runs a core on the calling thread until it is drained.
pub fn run(setup: CoreSetup) -> io::Result<()> {
    if setup.config.pin {
        pin_to(setup.shared[setup.index].cpu)?;
    }
    if setup.config.batch {
        yield_to_wakers()?;
    }
    let mut uring = tokio_uring::uring_builder();
    uring.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(256).uring_builder(&uring))?;
    runtime.block_on(async { Core::new(setup)?.run().await })
}

impl Core {
    fn new(setup: CoreSetup) -> io::Result<Self> {
        let CoreSetup { config, limits, tcp, listeners, index, shared, table, cancels, admission } = setup;
        let counters = Arc::clone(&shared[index].counters);
        let ring = Ring::new(RingSettings {
            entries: config.ring_entries,
            buffers: config.buffers,
            buffer_size: config.buffer_size.bytes() as u32,
        })?;
        let relay = EngineSettings {
            mode: config.relay,
            pipes_max: config.pipes_max,
            pipe_size: config.pipe_size.bytes() as usize,
            budget: config.turn_budget.bytes() as usize,
        };
        let engine = Engine::new(relay, Arc::clone(&cancels), Arc::clone(&counters));
        let connections_max = config.connections_max as usize;
        let lobby = Lobby::new(limits, tcp, table, cancels, counters, connections_max);
        Ok(Core {
            ring,
            engine,
            lobby: Rc::new(lobby),
            listeners,
            index,
            shared,
            admission,
            spinner: Spinner::new(Duration::from_micros(config.spin_us.into())),
            completions: Vec::with_capacity(config.ring_entries as usize),
            accept_again: None,
            paused: Vec::new(),
            report_at: None,
            drain: None,
        })
    }

    async fn run(&mut self) -> io::Result<()> {
        let event = self.ring.event().watch()?;
        self.ring.poll(self.shared[self.index].event().as_fd(), libc::POLLIN, MAIL.encode());
        for listener in 0..self.listeners.len() {
            self.accept(listener);
        }
        while !self.is_over() {
            let worked = self.turn()?;
            let lobby = self.lobby.inside() > 0;
            match (worked, lobby) {
                (true, true) => tokio::task::yield_now().await,
                (true, false) => {}
                (false, true) => self.sleep_with_lobby(&event).await?,
                (false, false) => self.sleep()?,
            }
        }
        Ok(())
    }

    /// Submits, collects and handles what is there, without waiting. Returns whether there was anything.
    fn turn(&mut self) -> io::Result<bool> {
        for established in self.lobby.take_arrivals() {
            self.engine.add(&mut self.ring, established);
        }
        let mut worked = self.engine.has_unfinished();
        if worked {
            self.engine.end_turn(&mut self.ring);
        }
        // Before `enter`, which submits what it asks for: a core with somebody in its lobby sleeps without one.
        self.keep_house();
        if self.ring.has_work() {
            self.ring.enter(None)?;
            worked |= self.handle_completions();
        }
        Ok(worked)
    }

    fn handle_completions(&mut self) -> bool {
        self.ring.take_completions(&mut self.completions);
        if self.completions.is_empty() {
            return false;
        }
        let counters = &self.shared[self.index].counters;
        counters.turns.add(1);
        counters.completions.add(self.completions.len() as u64);
        self.engine.begin_turn(self.completions.len());
        let mut completions = std::mem::take(&mut self.completions);
        for completion in completions.drain(..) {
            let token = Token::decode(completion.token);
            match token.op {
                Op::Accept => self.accepted(token.index as usize, completion),
                Op::Mail => self.read_mail(),
                Op::Ignored => {}
                _ => self.engine.complete(&mut self.ring, token, completion),
            }
        }
        self.completions = completions;
        self.engine.end_turn(&mut self.ring);
        self.update_load();
        self.report_at.get_or_insert_with(|| Instant::now() + REPORT_EVERY);
        true
    }

    /// Nobody is in the lobby: spins a while if that has paid lately, else sleeps in the kernel.
    fn sleep(&mut self) -> io::Result<()> {
        let counters = Arc::clone(&self.shared[self.index].counters);
        // The turn has just found nothing. What is announced nevertheless has come since, and then the kernel does not
        // let us sleep; or the flag is stale (docs/decisions.md, D24), and spinning on it would never end.
        if !self.ring.has_completions() && self.spinner.spin(&counters, || self.ring.has_completions()) {
            return Ok(());
        }
        counters.sleeps.add(1);
        let limit =
            self.next_deadline().map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        self.ring.enter(Some(limit))?;
        self.handle_completions();
        self.keep_house();
        Ok(())
    }

    /// Somebody is in the lobby: sleeps in tokio, until the lobby or the ring has something.
    async fn sleep_with_lobby(&mut self, event: &AsyncFd<OwnedFd>) -> io::Result<()> {
        self.shared[self.index].counters.sleeps.add(1);
        let limit = self.next_deadline().unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
        tokio::select! {
            // The eventfd is never read: tokio waits for it edge-triggered, so each signal counts anew.
            ready = event.readable() => ready?.clear_ready(),
            () = self.lobby.arrived() => {}
            () = tokio::time::sleep_until(limit.into()) => {}
        }
        Ok(())
    }

    fn accept(&mut self, listener: usize) {
        let token = Token { op: Op::Accept, index: listener as u32 };
        self.ring.accept_multi(self.listeners[listener].socket.as_fd(), token.encode());
    }

    fn accepted(&mut self, listener: usize, completion: Completion) {
        if let Some(socket) = completion.accepted {
            self.shared[self.index].counters.accepted.add(1);
            match self.less_loaded() {
                Some(other) => {
                    self.shared[self.index].counters.handed_over.add(1);
                    self.shared[other].post(Mail::Accepted(socket, listener));
                }
                None => self.enter_lobby(socket, listener),
            }
        } else if completion.result != -libc::ECANCELED {
            self.shared[self.index].counters.accept_errors.add(1);
            let error = io::Error::from_raw_os_error(-completion.result);
            tracing::warn!(%error, "accept failed; going on in {ACCEPT_PAUSE:?}");
        }
        if completion.more || self.drain.is_some() {
            return;
        }
        if completion.result < 0 {
            self.paused.push(listener);
            self.accept_again.get_or_insert_with(|| Instant::now() + ACCEPT_PAUSE);
        } else {
            self.accept(listener);
        }
    }

    /// The least loaded core, if it has so much less to do than this one that a hand-over is worth it.
    fn less_loaded(&self) -> Option<usize> {
        let load = self.load();
        let (other, shared) = self.shared.iter().enumerate().min_by_key(|(_, shared)| shared.load())?;
        (other != self.index && shared.load() + IMBALANCE <= load).then_some(other)
    }

    fn enter_lobby(&mut self, socket: OwnedFd, listener: usize) {
        let socket = Socket::from(socket);
        let Some(source) = socket.peer_addr().ok().and_then(|address| address.as_socket()) else {
            return; // The client has gone already.
        };
        let Some(ticket) = Admission::admit(&self.admission, source.ip()) else {
            self.shared[self.index].counters.turned_away.add(1);
            return;
        };
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let dialect = self.listeners[listener].speaks.dialect();
        self.lobby.enter(Accepted { socket, source, dialect, at: Instant::now(), ticket });
        self.update_load();
    }

    fn read_mail(&mut self) {
        for mail in self.shared[self.index].take_mail() {
            match mail {
                Mail::Accepted(socket, listener) => self.enter_lobby(socket, listener),
                Mail::Drain { deadline, spread } => self.start_draining(deadline, spread),
            }
        }
        self.ring.poll(self.shared[self.index].event().as_fd(), libc::POLLIN, MAIL.encode());
    }

    /// Stops accepting: who is in the backlog already is still let in, then the listeners are closed.
    fn start_draining(&mut self, deadline: Instant, spread: Duration) {
        if self.drain.is_some() {
            return;
        }
        self.lobby.drain();
        for listener in 0..self.listeners.len() {
            let token = Token { op: Op::Accept, index: listener as u32 };
            self.ring.cancel_accept(token.encode(), Token { op: Op::Ignored, index: 0 }.encode());
            while let Ok((socket, _)) = self.listeners[listener].socket.accept() {
                if socket.set_nonblocking(true).is_ok() {
                    self.enter_lobby(socket.into(), listener);
                }
            }
            // An armed accept holds the socket open: shutdown(2) takes it out of the port's group at once.
            let _ = self.listeners[listener].socket.shutdown(std::net::Shutdown::Both);
        }
        self.drain = Some(Drain { spread, next_close: deadline, closing: None });
    }

    /// What is to be done at certain times.
    fn keep_house(&mut self) {
        self.lobby.set_relays(self.engine.len());
        if self.accept_again.is_none() && self.report_at.is_none() && self.drain.is_none() {
            return;
        }
        let now = Instant::now();
        if self.report_at.is_some_and(|at| at <= now) {
            self.report_at = None;
            self.engine.report(&mut self.ring);
        }
        if self.accept_again.is_some_and(|at| at <= now) {
            self.accept_again = None;
            std::mem::take(&mut self.paused).into_iter().for_each(|listener| self.accept(listener));
        }
        if let Some(drain) = &mut self.drain
            && drain.next_close <= now
        {
            drain.next_close = now + CLOSE_EVERY;
            let total = *drain.closing.get_or_insert(self.engine.len());
            let steps = (drain.spread.as_millis() / CLOSE_EVERY.as_millis()).max(1) as usize;
            self.engine.close_some(&mut self.ring, total.div_ceil(steps).max(1));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let drain = self.drain.as_ref().map(|drain| drain.next_close);
        [self.accept_again, self.report_at, drain].into_iter().flatten().min()
    }

    fn is_over(&self) -> bool {
        self.drain.is_some() && self.load() == 0
    }

    fn load(&self) -> usize {
        self.engine.len() + self.lobby.inside()
    }

    fn update_load(&self) {
        self.lobby.set_relays(self.engine.len());
        self.shared[self.index].set_load(self.load());
    }
}

const MAIL: Token = Token { op: Op::Mail, index: 0 };
