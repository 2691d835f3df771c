//! `pierhead serve`: the edge and the control thread, from start to the last drained connection.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pierhead::config::{Config, LogFormat};
use pierhead::control::{ControlThread, LiveEdge};
use pierhead::edge::Edge;
use pierhead::routes::Table;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit code for a configuration that cannot be used (sysexits.h).
const EX_CONFIG: u8 = 78;

/// Serves until told to stop: SIGTERM or SIGINT drains, a second one ends at once.
pub fn serve(config: Config) -> ExitCode {
    if let Err(error) = start_log(&config) {
        eprintln!("pierhead: log.level {:?}: {error}", config.log.level);
        return ExitCode::from(EX_CONFIG);
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let lane = pierhead::sys::probe()?;
    let descriptors = pierhead::sys::raise_descriptor_limit()?;
    let config = Arc::new(config);
    let table = Arc::new(Table::new());
    // The edge binds its ports before the control thread says that they are there.
    let edge = Edge::start(&config, &table)?;
    let live = Arc::new(LiveEdge::new(edge.view(), Arc::clone(&config)));
    let control = ControlThread::start(Arc::clone(&config), table, live.clone())?;
    for address in edge.view().addresses() {
        tracing::info!(%address, "listening");
    }
    tracing::info!(descriptors, socket = %config.control.socket.display(), "serving with {lane}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        watch_over(&config, &edge, &control, &mut signals).await?;
        live.set_draining();
        drain(&config, &edge, &mut signals).await;
        std::io::Result::Ok(())
    })?;
    control.shutdown();
    Ok(())
}

/// What this process is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the process is told to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal to end, and feeds systemd's watchdog while the edge and the control thread live.
async fn watch_over(
    config: &Config,
    edge: &Edge,
    control: &ControlThread,
    signals: &mut Signals,
) -> std::io::Result<()> {
    let watchdog = sd_notify::watchdog_enabled();
    let mut tick = tokio::time::interval(watchdog.map_or(Duration::from_secs(1), |limit| limit / 3));
    notify(NotifyState::Ready);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hangup.recv() => check_file(config),
            _ = tick.tick() => {
                if edge.is_over() || !control.is_alive() {
                    return Err(std::io::Error::other("a thread has ended unexpectedly; its last words are above"));
                }
                notify(NotifyState::Watchdog);
            }
        }
    }
}

async fn drain(config: &Config, edge: &Edge, signals: &mut Signals) {
    let timeout = config.limits.drain_timeout.get();
    tracing::info!("draining: connections may go on for {timeout:?}; a second signal ends at once");
    notify(NotifyState::Stopping);
    edge.drain(timeout, config.limits.drain_spread.get());
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !edge.is_over() {
        tokio::select! {
            () = signals.end() => return tracing::warn!("ending at once"),
            _ = tick.tick() => notify(NotifyState::Watchdog),
        }
    }
    tracing::info!("drained");
}

/// SIGHUP: the configuration is read at start. A change is checked here, so that the restart will not fail.
fn check_file(config: &Config) {
    match Config::load(config.file.as_deref()) {
        Ok(_) => tracing::info!("the configuration is valid; restart to apply it"),
        Err(error) => tracing::error!("the configuration has an error, the running one stays: {error}"),
    }
}

fn notify(state: NotifyState) {
    // Without systemd there is no NOTIFY_SOCKET, and nobody to tell.
    let _ = sd_notify::notify(&[state]);
}

fn start_log(config: &Config) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::try_new(&config.log.level)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Human => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
