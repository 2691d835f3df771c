//! `/metrics`: what the edge, the routes and the addons count, as Prometheus reads it (text format 0.0.4).
//!
//! No label ever holds anything that a client chose; names in labels are those of routes.

mod backups;

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

pub use self::backups::BackupsSeen;
use super::edge_status::{CoreStatus, EdgeStatus, Histogram, ProtocolStatus};
use crate::addons::Addon;
use crate::addons::lifecycle::State;
use crate::addons::providers::Board;
use crate::dialect::{By, Reason};
use crate::docker::Counters;
use crate::routes::{Direction, Lane, Table, Usage};

/// The whole page.
pub fn page(
    edge: &dyn EdgeStatus,
    table: &Table,
    watch: &Counters,
    addons: &[Addon],
    board: &Board,
    backups: &BackupsSeen<'_>,
) -> String {
    let mut page = Page::default();
    let cores = edge.cores();
    by_protocol(&mut page, &cores);
    by_core(&mut page, &cores);
    by_addon(&mut page, table);
    by_login(&mut page, table);
    of_docker(&mut page, watch);
    of_host(&mut page, edge, table, addons);
    page.head(
        "pierhead_addon_errors_total",
        "counter",
        "Addons that went to error, by the state that was too long or could not go on.",
    );
    let passed = board.deadlines_passed();
    for state in STATES.iter().filter(|state| **state != State::Error.as_str()) {
        page.sample(&[("state", state)], passed.get(state).copied().unwrap_or(0));
    }
    backups::write(&mut page, addons, backups);
    page.0
}

fn by_protocol(page: &mut Page, cores: &[CoreStatus]) {
    let all: Vec<(String, &ProtocolStatus)> = cores
        .iter()
        .flat_map(|core| core.protocols.iter().map(|protocol| (core.cpu.to_string(), protocol)))
        .collect();
    page.head("pierhead_connections_accepted_total", "counter", "Connections accepted.");
    for (cpu, of) in &all {
        page.sample(&[("protocol", of.protocol.as_str()), ("cpu", cpu)], of.accepted);
    }
    page.head("pierhead_routed_total", "counter", "Connections whose addon was found, by how it was named.");
    for (cpu, of) in &all {
        for (method, count) in By::METHODS.iter().zip(of.routed) {
            page.sample(&[("protocol", of.protocol.as_str()), ("method", method), ("cpu", cpu)], count);
        }
    }
    page.head("pierhead_refused_total", "counter", "Connections refused, by reason.");
    for (cpu, of) in &all {
        for (reason, count) in Reason::ALL.iter().zip(of.refused) {
            let labels = [("protocol", of.protocol.as_str()), ("reason", reason.as_str()), ("cpu", cpu)];
            page.sample(&labels, count);
        }
    }
    page.head("pierhead_identify_seconds", "histogram", "From accept to the name.");
    for (cpu, of) in &all {
        page.histogram(&[("protocol", of.protocol.as_str()), ("cpu", cpu)], &of.identify);
    }
    page.head("pierhead_dial_seconds", "histogram", "From the route to a connected backend.");
    for (cpu, of) in &all {
        page.histogram(&[("protocol", of.protocol.as_str()), ("cpu", cpu)], &of.dial);
    }
}

fn by_core(page: &mut Page, cores: &[CoreStatus]) {
    let families = cores.first().map_or(0, |core| core.samples.len());
    for index in 0..families {
        for (nth, core) in cores.iter().enumerate() {
            let Some(sample) = core.samples.get(index) else { continue };
            if nth == 0 {
                let kind = if sample.name.ends_with("_total") { "counter" } else { "gauge" };
                page.head(sample.name, kind, sample.help);
            }
            page.sample(&[("cpu", &core.cpu.to_string())], sample.value);
        }
    }
}

fn by_addon(page: &mut Page, table: &Table) {
    let mut routes = table.snapshot();
    routes.truncate(ADDONS_MAX);
    page.head("pierhead_connections_active", "gauge", "Connections open now.");
    for route in &routes {
        let labels = [("protocol", route.protocol.as_str()), ("addon", route.name.as_str())];
        page.sample(&labels, route.usage.active());
    }
    page.head("pierhead_connections_opened_total", "counter", "Connections handed to the addon.");
    for route in &routes {
        let labels = [("protocol", route.protocol.as_str()), ("addon", route.name.as_str())];
        page.sample(&labels, route.usage.opened_total());
    }
    page.head("pierhead_connections_closed_total", "counter", "Connections ended.");
    for route in &routes {
        let labels = [("protocol", route.protocol.as_str()), ("addon", route.name.as_str())];
        page.sample(&labels, route.usage.closed_total());
    }
    page.head("pierhead_bytes_total", "counter", "Bytes delivered, by the lane that carried them.");
    for route in &routes {
        for direction in Direction::ALL {
            for lane in Lane::ALL {
                let way = [("direction", direction.as_str()), ("lane", lane.as_str())];
                let labels = [("addon", route.name.as_str()), way[0], way[1]];
                page.sample(&labels, route.usage.bytes(direction, lane));
            }
        }
    }
}

/// Of logins that were bound or rotated; the empty role is the application's own.
fn by_login(page: &mut Page, table: &Table) {
    let mut routes = table.snapshot();
    routes.truncate(ADDONS_MAX);
    type Count = fn(&Usage) -> u64;
    let families: [(&str, &str, &str, Count); 2] = [
        ("pierhead_login_connections_active", "gauge", "Connections of a login open now.", Usage::active),
        (
            "pierhead_login_connections_opened_total",
            "counter",
            "Connections of a login handed to the addon.",
            Usage::opened_total,
        ),
    ];
    for (name, kind, help, count) in families {
        page.head(name, kind, help);
        for route in &routes {
            for (role, usage) in route.usage.roles() {
                page.sample(&[("addon", route.name.as_str()), ("role", &role)], count(&usage));
            }
        }
    }
}

fn of_docker(page: &mut Page, watch: &Counters) {
    for (name, help, counter) in [
        ("pierhead_docker_events_total", "Events of the Docker engine.", &watch.events),
        ("pierhead_docker_inspections_total", "Containers looked at because of one.", &watch.inspections),
        ("pierhead_docker_lists_total", "Lists of all containers.", &watch.lists),
        ("pierhead_docker_losses_total", "Connections to the engine lost or not made.", &watch.losses),
    ] {
        page.head(name, "counter", help);
        page.sample(&[], counter.load(Relaxed));
    }
}

fn of_host(page: &mut Page, edge: &dyn EdgeStatus, table: &Table, addons: &[Addon]) {
    page.head("pierhead_routes", "gauge", "Routes in the table.");
    page.sample(&[], table.len() as u64);
    page.head("pierhead_routes_age_seconds", "gauge", "How long Docker has not answered; 0 if it does.");
    let age = table.stale_since().and_then(|since| since.elapsed().ok()).unwrap_or_default();
    page.sample(&[], age.as_secs());
    page.head("pierhead_draining", "gauge", "Whether the edge is shutting down.");
    page.sample(&[], edge.is_draining().into());
    page.head("pierhead_addons", "gauge", "Provisioned addons, by state.");
    for state in STATES {
        let count = addons.iter().filter(|addon| addon.life.state.as_str() == state).count();
        page.sample(&[("state", state)], count as u64);
    }
}

/// A page being written: one family after the other.
#[derive(Default)]
struct Page(String, &'static str);

impl Page {
    fn head(&mut self, name: &'static str, kind: &str, help: &str) {
        self.1 = name;
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.line("", labels, &value.to_string());
    }

    fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut total = 0;
        for (index, count) in histogram.counts.iter().enumerate() {
            total += count;
            let bound = histogram.bounds_s.get(index).map_or("+Inf".to_owned(), f64::to_string);
            let labels = [labels, &[("le", &bound)]].concat();
            self.line("_bucket", &labels, &total.to_string());
        }
        if !histogram.counts.is_empty() {
            self.line("_sum", labels, &histogram.sum_s.to_string());
            self.line("_count", labels, &total.to_string());
        }
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: &str) {
        // Writing to a string cannot fail. No label needs escaping: all of them are names of our own grammar.
        let _ = write!(self.0, "{}{suffix}", self.1);
        for (index, (name, label)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{name}=\"{label}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// Series by addon are given for so many routes, by protocol and name.
const ADDONS_MAX: usize = 1000;

/// Every word of [`State::as_str`].
const STATES: [&str; 8] = [
    State::Waiting.as_str(),
    "provisioning",
    State::Provisioned.as_str(),
    State::Ready.as_str(),
    State::Stopping.as_str(),
    State::Stopped.as_str(),
    State::Deprovisioning.as_str(),
    State::Error.as_str(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::edge_status::{ListenerStatus, Sample};
    use crate::dialect::{Name, Protocol};
    use crate::routes::{Change, Route, RouteState};

    struct Edge;

    impl EdgeStatus for Edge {
        fn cores(&self) -> Vec<CoreStatus> {
            let identify = Histogram { bounds_s: &[0.001, 0.01], counts: vec![5, 2, 1], sum_s: 0.5 };
            let mut refused = [0; Reason::ALL.len()];
            refused[1] = 4;
            let protocol = Protocol::Postgres;
            let dial = Histogram::default();
            let protocols =
                vec![ProtocolStatus { protocol, accepted: 9, routed: [8, 1, 0], refused, identify, dial }];
            let samples = vec![Sample { name: "pierhead_turns_total", help: "Turns.", value: 7 }];
            vec![CoreStatus { cpu: 3, protocols, samples }]
        }

        fn listeners(&self) -> Vec<ListenerStatus> {
            vec![]
        }

        fn is_draining(&self) -> bool {
            false
        }
    }

    #[test]
    fn the_page_is_prometheus_text() {
        let table = Table::new();
        let name = Name::parse("blog").unwrap();
        table.publish([Change::Set(Route::new(
            Protocol::Postgres,
            name,
            RouteState::Starting,
            "".into(),
            0,
        ))]);
        let page = page(&Edge, &table, &Counters::default(), &[], &Board::default(), &BackupsSeen::default());
        for line in [
            "pierhead_connections_accepted_total{protocol=\"postgres\",cpu=\"3\"} 9",
            "pierhead_routed_total{protocol=\"postgres\",method=\"sni\",cpu=\"3\"} 1",
            "pierhead_refused_total{protocol=\"postgres\",reason=\"starting\",cpu=\"3\"} 4",
            "pierhead_identify_seconds_bucket{protocol=\"postgres\",cpu=\"3\",le=\"0.01\"} 7",
            "pierhead_identify_seconds_bucket{protocol=\"postgres\",cpu=\"3\",le=\"+Inf\"} 8",
            "pierhead_identify_seconds_count{protocol=\"postgres\",cpu=\"3\"} 8",
            "pierhead_connections_active{protocol=\"postgres\",addon=\"blog\"} 0",
            "pierhead_bytes_total{addon=\"blog\",direction=\"client_to_backend\",lane=\"copy\"} 0",
            "pierhead_turns_total{cpu=\"3\"} 7",
            "pierhead_docker_events_total 0",
            "pierhead_routes 1",
            "pierhead_addons{state=\"ready\"} 0",
            "pierhead_addon_errors_total{state=\"provisioned\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        // Every sample belongs to the family announced last: Prometheus insists on it.
        let mut family = "";
        for line in page.lines() {
            if let Some(name) = line.strip_prefix("# TYPE ") {
                family = name.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(family), "{line} in family {family}");
            }
        }
    }
}
