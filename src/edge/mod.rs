//! The data plane: one core per CPU. Cores share the route table, the cancel keys and the admission limits,
//! nothing else. What comes in: routes published by the control thread, connections, a drain signal. What goes
//! out: bytes, counters and log lines. Never imports `docker`, `addons` or `control`.

mod admission;
mod cancel;
mod core;
mod counters;
mod listener;
mod lobby;
mod mail;
pub mod relay;
mod spin;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::admission::Admission;
use self::cancel::CancelTable;
use self::core::CoreSetup;
pub use self::counters::{CoreCounters, ProtocolCounters, TIMES_BOUNDS_S, Times};
pub use self::listener::ListenError;
use self::listener::{Listener, check_free};
use self::mail::{CoreShared, Mail};
use crate::config::Config;
use crate::routes::Table;

/// The running edge.
pub struct Edge {
    shared: Arc<[CoreShared]>,
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    admission: Arc<Admission>,
    cancels: Arc<CancelTable>,
}

/// What others may see of the edge while it runs. Cheap to clone.
#[derive(Clone)]
pub struct EdgeView {
    shared: Arc<[CoreShared]>,
    admission: Arc<Admission>,
    cancels: Arc<CancelTable>,
    addresses: Arc<[SocketAddr]>,
}

/// Why the edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The configured cores do not fit this machine.
    #[error("{0}")]
    Cores(String),
    /// The system refused something else.
    #[error("cannot start the edge: {0}")]
    System(#[from] io::Error),
}

impl Edge {
    /// Binds all listeners, then starts a thread for each core.
    pub fn start(config: &Config, table: &Arc<Table>) -> Result<Self, StartError> {
        let cores = config.cores.resolve(&crate::sys::available_cpus()?).map_err(StartError::Cores)?;
        let addresses: Vec<_> =
            config.listeners.iter().flat_map(|listener| listener.listen.clone()).collect();
        addresses.iter().try_for_each(|address| check_free(*address))?;
        let shared = cores.iter().map(|(cpu, _)| CoreShared::new(*cpu)).collect::<io::Result<Arc<[_]>>>()?;
        let limits = &config.limits;
        let admission = Arc::new(Admission::new(
            limits.unidentified_max,
            limits.unidentified_per_source_max,
            limits.held_max,
        ));
        let cancels = Arc::new(CancelTable::default());
        let mut setups = Vec::new();
        for (index, (_, core)) in cores.into_iter().enumerate() {
            let mut listeners = Vec::new();
            for listener in &config.listeners {
                let speaks = Arc::new(listener.speaks.clone());
                for address in &listener.listen {
                    let speaks = Arc::clone(&speaks);
                    listeners.push(Listener::bind(*address, speaks, core.backlog, &config.tcp)?);
                }
            }
            setups.push(CoreSetup {
                config: core,
                limits: limits.clone(),
                tcp: config.tcp.clone(),
                listeners,
                index,
                shared: Arc::clone(&shared),
                table: Arc::clone(table),
                cancels: Arc::clone(&cancels),
                admission: Arc::clone(&admission),
            });
        }
        let threads = setups.into_iter().map(start_core).collect::<io::Result<_>>()?;
        Ok(Edge { shared, threads, addresses, admission, cancels })
    }

    /// What others may see.
    pub fn view(&self) -> EdgeView {
        EdgeView {
            shared: Arc::clone(&self.shared),
            admission: Arc::clone(&self.admission),
            cancels: Arc::clone(&self.cancels),
            addresses: self.addresses.clone().into(),
        }
    }

    /// Stops accepting, lets connections go on for `timeout`, then closes them spread over `spread`.
    pub fn drain(&self, timeout: Duration, spread: Duration) {
        let deadline = Instant::now() + timeout;
        self.shared.iter().for_each(|core| core.post(Mail::Drain { deadline, spread }));
    }

    /// Whether all cores have ended.
    pub fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

impl EdgeView {
    /// The counters of each core, with its CPU.
    pub fn cores(&self) -> impl Iterator<Item = (usize, &CoreCounters)> {
        self.shared.iter().map(|core| (core.cpu, &*core.counters))
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connections that have not said their name yet.
    pub fn unidentified(&self) -> u32 {
        self.admission.inside()
    }

    /// Connections that wait for a route to be let go.
    pub fn held(&self) -> u32 {
        self.admission.held()
    }

    /// PostgreSQL cancel keys that are remembered.
    pub fn cancel_keys(&self) -> usize {
        self.cancels.len()
    }
}

/// A core that panics takes its connections with it, but no other core: its listeners are closed by then, and
/// the kernel gives new connections to the others.
fn start_core(setup: CoreSetup) -> io::Result<JoinHandle<()>> {
    let cpu = setup.shared[setup.index].cpu;
    std::thread::Builder::new().name(format!("core-{cpu}")).spawn(move || match core::run(setup) {
        Ok(()) => tracing::debug!(cpu, "core drained"),
        Err(error) => tracing::error!(cpu, %error, "core ended"),
    })
}
