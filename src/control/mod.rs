//! The control thread: one tokio runtime with the Docker watch, the reconciler, the HTTP API and metrics.
//!
//! In come the configuration, the route table and a view of the edge; out go published routes, Docker calls and
//! answers on the control socket. The edge does not notice when any of it is slow.

mod access;
pub mod api;
mod backends;
mod backups;
mod credentials;
mod docker_events;
pub mod doctor;
pub mod edge_status;
mod explain;
mod live_edge;
mod login_counts;
mod metrics;
mod orphans;
mod placeholders;
mod reconciler;
mod remote;
pub mod socket;
mod upgrader;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use self::api::caller::Peer;
use self::api::idempotency::InProgress;
use crate::addons::archives::Archives;
use crate::addons::kinds;
use crate::addons::providers::{Board, Docker, House, Providers, TYPES, Type};
use crate::addons::provision::{Engine, LoginAddress, Provisioner};
use crate::addons::store::{Store, StoreError};
use crate::config::{Config, ConfigError, Reach};
use crate::docker::{DockerError, Endpoint, RouteBook, Watch};
use crate::routes::Table;
use crate::sys::NetNamespace;
use api::Api;
use backends::Backends;
use backups::Backups;
use credentials::Credentials;
pub use edge_status::{CoreStatus, EdgeStatus, Histogram, ListenerStatus, ProtocolStatus, Sample};
pub use live_edge::LiveEdge;
use placeholders::Placeholders;
use reconciler::{Reconciler, Workers};
use remote::{Remote, RemoteError};
use socket::{ControlSocket, SocketError, SocketFile};
use upgrader::Upgrader;

/// The running control thread. Dropping it lets the thread run on; see [`ControlThread::shutdown`].
#[derive(Debug)]
pub struct ControlThread {
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Why the control thread cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A configured kind is not known.
    #[error("[kind.{0}]: there is no such kind, expected one of: {1}")]
    Kind(String, String),
    /// A configured provider cannot be.
    #[error(transparent)]
    Provider(#[from] ConfigError),
    /// The Docker endpoint is no endpoint.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The control socket cannot be served.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The API cannot be served over TCP.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The address for metrics cannot be served.
    #[error("cannot serve metrics at {0}: {1}")]
    Metrics(SocketAddr, io::Error),
    /// The system gave no thread or no runtime.
    #[error("cannot start the control thread: {0}")]
    Thread(#[from] io::Error),
}

impl ControlThread {
    /// Starts the thread. When this returns, the control socket accepts connections, and the addons of the store
    /// are being looked after. `edge` must answer for listeners that are bound already.
    pub fn start(
        config: Arc<Config>,
        table: Arc<Table>,
        edge: Arc<dyn EdgeStatus>,
    ) -> Result<Self, StartError> {
        ControlThread::start_with(config, table, edge, TYPES)
    }

    /// The same with further types of providers.
    pub fn start_with(
        config: Arc<Config>,
        table: Arc<Table>,
        edge: Arc<dyn EdgeStatus>,
        types: &[Type],
    ) -> Result<Self, StartError> {
        check_kinds(&config)?;
        let house = House::new(&config.data_dir);
        let providers = Providers::build(&config, types, &house)?;
        let endpoint = Endpoint::find(config.docker.host.as_deref())?;
        let parts = Parts {
            store: Arc::new(Store::open(&config.data_dir)?),
            socket: ControlSocket::bind(&config.control)?,
            metrics: config.control.metrics.map(bind_metrics).transpose()?,
            remote: config.control.tcp.as_ref().map(Remote::bind).transpose()?,
            config,
            table,
            edge,
            endpoint,
            providers,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            runtime.block_on(run(parts, stopped));
            // Workers are stopped where they wait; the store knows how to go on.
            runtime.shutdown_background();
        })?;
        Ok(ControlThread { thread, stop })
    }

    /// Whether the thread still runs. It ends by itself only if something in it is broken.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends the thread and removes the socket. What is under way is left as it is: the next start goes on with it.
    pub fn shutdown(self) {
        // If the thread is gone already, there is nobody to tell.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the control thread had panicked");
        }
    }
}

/// Fails if the configuration names a kind that does not exist.
pub fn check_kinds(config: &Config) -> Result<(), StartError> {
    let known = kinds::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    match config.kinds.keys().find(|kind| kinds::find(kind.as_str()).is_none()) {
        Some(kind) => Err(StartError::Kind(kind.to_string(), known)),
        None => Ok(()),
    }
}

/// Fails if the configuration names a type of provider that does not exist, or gives one what it does not take.
pub fn check_providers(config: &Config) -> Result<(), StartError> {
    Ok(Providers::build(config, TYPES, &House::new(&config.data_dir)).map(drop)?)
}

/// What the thread takes with it.
struct Parts {
    config: Arc<Config>,
    table: Arc<Table>,
    edge: Arc<dyn EdgeStatus>,
    store: Arc<Store>,
    socket: ControlSocket,
    metrics: Option<TcpListener>,
    remote: Option<Remote>,
    endpoint: Endpoint,
    providers: Providers,
}

async fn run(mut parts: Parts, stopped: oneshot::Receiver<()>) {
    let remote = parts.remote.take();
    let (api, listener, _file) = match build(parts) {
        Ok((api, listener, metrics, file)) => {
            if let Some(metrics) = metrics {
                tokio::spawn(serve_metrics(metrics, Arc::clone(&api)));
            }
            (api, listener, file)
        }
        Err(error) => return tracing::error!(%error, "the control thread ends"),
    };
    let (watch, reconciler) = (Arc::clone(&api.watch), Arc::clone(&api.reconciler));
    tokio::spawn(docker_events::follow_containers(Arc::clone(&watch), Arc::clone(&reconciler)));
    tokio::spawn(docker_events::follow_engine(Arc::clone(&watch), Arc::clone(&reconciler)));
    {
        let (backends, reconciler) = (Arc::clone(&api.backends), Arc::clone(&reconciler));
        tokio::spawn(async move { backends.watch_dials(|name| reconciler.kick(name)).await });
    }
    tokio::spawn(reconciler.kick_periodically());
    tokio::spawn(try_quotas(Arc::clone(&api.provisioner)));
    tokio::spawn(Arc::clone(&api.credentials).run());
    tokio::spawn(Arc::clone(&api.backups).run());
    tokio::spawn(async move { watch.run().await });
    let router = api::router(api);
    if let Some(remote) = remote {
        tokio::spawn(serve_remote(remote, router.clone()));
    }
    let served = router.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, served).into_future();
    tokio::select! {
        _ = stopped => {}
        result = served => tracing::error!(?result, "the control socket is not served any more"),
    }
}

type Built = (Arc<Api>, tokio::net::UnixListener, Option<tokio::net::TcpListener>, SocketFile);

fn build(parts: Parts) -> io::Result<Built> {
    let Parts { config, table, edge, store, socket, metrics, endpoint, providers, remote: _ } = parts;
    let engine = Arc::new(Engine::new(endpoint.clone()));
    let login_address: LoginAddress = {
        let (edge, config) = (Arc::clone(&edge), Arc::clone(&config));
        Arc::new(move |kind| edge_status::login_address(&*edge, &config, kind))
    };
    let provisioner = Arc::new(Provisioner::new(
        Arc::clone(&engine),
        Arc::clone(&config),
        Arc::clone(&store),
        Arc::clone(&login_address),
    ));
    let backends = Arc::new(backends(&config, &edge, &table));
    let board = Arc::<Board>::default();
    let deadlines = config.deadlines.of_states();
    let docker = Docker::new(Arc::clone(&store), Arc::clone(&provisioner), Arc::clone(&board), deadlines);
    let providers = Arc::new(providers.with_docker(docker));
    provisioner.refresh_secrets();
    let book = Arc::new(RouteBook::new(Arc::clone(&table)));
    let placeholders = Arc::new(Placeholders::new(
        Arc::clone(&book),
        Arc::clone(&store),
        Arc::clone(&backends),
        Arc::clone(&config),
    ));
    placeholders.set_all().map_err(io::Error::other)?;
    let enter_namespaces = enter_namespaces(config.docker.reach)?;
    let watch = Arc::new(Watch::new(endpoint, book).enter_namespaces(enter_namespaces));
    let reconciler = Arc::new(Reconciler {
        store: Arc::clone(&store),
        providers: Arc::clone(&providers),
        placeholders: Arc::clone(&placeholders),
        backends: Arc::clone(&backends),
        login_address,
        board,
        deadlines,
        call_timeout: config.deadlines.call.get(),
        workers: Workers::default(),
    });
    let archives = Arc::new(Archives::new(
        Arc::clone(&provisioner),
        Arc::clone(&store),
        config.control.import_max.bytes(),
    ));
    let credentials =
        Arc::new(Credentials::new(Arc::clone(&store), Arc::clone(&provisioner), Arc::clone(&table)));
    let upgrader = Arc::new(Upgrader::new(
        Arc::clone(&store),
        Arc::clone(&provisioner),
        Arc::clone(&reconciler),
        Arc::clone(&archives),
        placeholders,
        Arc::clone(&table),
    ));
    upgrader.resume_all().map_err(io::Error::other)?;
    archives.resume_all().map_err(io::Error::other)?;
    let backups = Arc::new(Backups::new(
        Arc::clone(&store),
        Arc::clone(&reconciler),
        Arc::clone(&archives),
        Arc::clone(&config),
    ));
    backups.resume_all().map_err(io::Error::other)?;
    let started_at = jiff::Timestamp::now();
    let api = Arc::new(Api {
        config,
        store,
        reconciler,
        providers,
        backends,
        provisioner,
        archives,
        backups,
        upgrader,
        credentials,
        engine,
        watch,
        table,
        edge,
        keys: InProgress::default(),
        started_at,
    });
    let (listener, file) = socket.into_parts();
    let listener = tokio::net::UnixListener::from_std(listener)?;
    Ok((api, listener, metrics.map(tokio::net::TcpListener::from_std).transpose()?, file))
}

/// Looks after engines elsewhere, and knows what this process listens on.
fn backends(config: &Arc<Config>, edge: &Arc<dyn EdgeStatus>, table: &Arc<Table>) -> Backends {
    let (edge, control) = (Arc::clone(edge), config.control.clone());
    let own = move || {
        let edge = edge.listeners().into_iter().map(|listener| listener.address);
        edge.chain(control.metrics).chain(control.tcp.as_ref().map(|tcp| tcp.listen)).collect()
    };
    let secrets = House::new(&config.data_dir).secrets;
    Backends::new(config.backends.clone(), secrets, Arc::clone(table), own)
}

/// Whether containers are to be reached from inside their network namespaces.
fn enter_namespaces(reach: Reach) -> io::Result<bool> {
    match (reach, NetNamespace::may_enter()) {
        (Reach::Bridge, _) | (Reach::Auto, Err(_)) => Ok(false),
        (Reach::Auto | Reach::Namespace, Ok(())) => Ok(true),
        (Reach::Namespace, Err(error)) => Err(io::Error::other(format!(
            "docker.reach = \"namespace\": network namespaces cannot be entered ({error}). Give this process \
             CAP_SYS_ADMIN, or set \"auto\""
        ))),
    }
}

/// Nobody waits for it: what an addon's volume brings to light counts as well.
async fn try_quotas(provisioner: Arc<Provisioner>) {
    if let Err(failure) = provisioner.try_quotas().await {
        tracing::warn!(?failure, "whether Docker's volumes can be limited is not known");
    }
}

async fn serve_remote(remote: Remote, router: axum::Router) {
    let result = remote.serve(router).await;
    tracing::error!(?result, "the API is not served over TCP any more");
}

async fn serve_metrics(listener: tokio::net::TcpListener, api: Arc<Api>) {
    let result = axum::serve(listener, api::metrics_router(api)).await;
    tracing::error!(?result, "metrics are not served any more");
}

fn bind_metrics(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| StartError::Metrics(address, error))
}
