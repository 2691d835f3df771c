//! The running edge as the control thread sees it: its counters, read where the cores keep them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::edge_status::{CoreStatus, EdgeStatus, Histogram, ListenerStatus, ProtocolStatus, Sample};
use crate::config::{Config, ListenerConfig};
use crate::dialect::Protocol;
use crate::edge::{CoreCounters, EdgeView, TIMES_BOUNDS_S, Times};

/// The edge of this process.
pub struct LiveEdge {
    view: EdgeView,
    config: Arc<Config>,
    draining: AtomicBool,
}

impl LiveEdge {
    /// The edge that was started with this configuration.
    pub fn new(view: EdgeView, config: Arc<Config>) -> Self {
        LiveEdge { view, config, draining: AtomicBool::new(false) }
    }

    /// From now on the edge is shutting down.
    pub fn set_draining(&self) {
        self.draining.store(true, Relaxed);
    }
}

impl EdgeStatus for LiveEdge {
    fn cores(&self) -> Vec<CoreStatus> {
        self.view.cores().map(|(cpu, counters)| core(cpu, counters)).collect()
    }

    fn listeners(&self) -> Vec<ListenerStatus> {
        let endpoints = self.config.listeners.iter().flat_map(ListenerConfig::endpoints);
        endpoints.map(|(protocol, address)| ListenerStatus { protocol, address }).collect()
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

fn core(cpu: usize, of: &CoreCounters) -> CoreStatus {
    let protocols = Protocol::ALL.iter().map(|protocol| self::protocol(*protocol, of)).collect();
    let sample = |name, help, value| Sample { name, help, value };
    let samples = vec![
        sample("pierhead_core_accepted_total", "Connections accepted.", of.accepted.get()),
        sample("pierhead_handed_over_total", "Connections given to another core.", of.handed_over.get()),
        sample("pierhead_accept_errors_total", "Failed accepts.", of.accept_errors.get()),
        sample("pierhead_turned_away_total", "Closed unheard: too many unnamed.", of.turned_away.get()),
        sample("pierhead_lobby_opened_total", "Connections that came to be named.", of.lobby.opened()),
        sample("pierhead_lobby_closed_total", "Connections named or refused.", of.lobby.closed()),
        sample("pierhead_relays_opened_total", "Relays begun.", of.relays.opened()),
        sample("pierhead_relays_closed_total", "Relays ended.", of.relays.closed()),
        sample("pierhead_dial_failures_total", "Tries to connect that failed.", of.dial_failures.get()),
        sample(
            "pierhead_held_opened_total",
            "Connections that had to wait for a held addon.",
            of.held.opened(),
        ),
        sample("pierhead_held_closed_total", "Of these, those that wait no longer.", of.held.closed()),
        sample(
            "pierhead_held_too_long_total",
            "Of these, those that waited in vain.",
            of.held_too_long.get(),
        ),
        sample("pierhead_held_short_total", "Refused: too many were waiting.", of.held_short.get()),
        sample("pierhead_cancels_total", "Cancel requests passed on.", of.cancels.get()),
        sample("pierhead_turns_total", "Turns of the core's loop.", of.turns.get()),
        sample("pierhead_completions_total", "Completions handled.", of.completions.get()),
        sample("pierhead_spin_microseconds_total", "Time spent polling.", of.spin_us.get()),
        sample("pierhead_spins_total", "Times polled instead of sleeping.", of.spins.get()),
        sample("pierhead_spins_won_total", "Of these, those that found something.", of.spins_won.get()),
        sample("pierhead_sleeps_total", "Times gone to sleep.", of.sleeps.get()),
        sample("pierhead_buffers_in_use", "Receive buffers handed out.", of.buffers_in_use.get()),
        sample("pierhead_buffers_short_total", "Receives that found no buffer.", of.buffers_short.get()),
        sample("pierhead_pipes_in_use", "Pipes held by flows.", of.pipes_in_use.get()),
        sample("pierhead_pipes_short_total", "Flows that found no pipe.", of.pipes_short.get()),
        sample("pierhead_flows_blocked", "Flows whose sink takes no bytes.", of.blocked.get()),
    ];
    CoreStatus { cpu, protocols, samples }
}

fn protocol(protocol: Protocol, of: &CoreCounters) -> ProtocolStatus {
    let of = of.of(protocol);
    ProtocolStatus {
        protocol,
        accepted: of.accepted.get(),
        routed: std::array::from_fn(|method| of.routed[method].get()),
        refused: std::array::from_fn(|reason| of.refused[reason].get()),
        identify: histogram(&of.identify),
        dial: histogram(&of.dial),
    }
}

fn histogram(times: &Times) -> Histogram {
    Histogram { bounds_s: &TIMES_BOUNDS_S, counts: times.counts().collect(), sum_s: times.sum_s() }
}
