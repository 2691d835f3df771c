//! Why a login goes where it goes: the edge's own checks, in the edge's own order, in words.

use super::api::types::{Check, CheckStatus, Explanation};
use super::api::{Api, upstream_text};
use crate::addons::{Addon, kinds};
use crate::dialect::{Login, Name, Protocol, Protocols};
use crate::docker::labels;
use crate::routes::{Route, RouteState};

/// Follows a login from the port to the container.
pub fn explain(api: &Api, login: &str, protocol: Protocol) -> Explanation {
    let mut steps = vec![port(api, protocol)];
    let name = match Login::parse(login.as_bytes()) {
        Ok(login) => {
            let role = login.role.map_or(String::new(), |role| format!(", role {role}"));
            steps.push(Check::ok("name", format!("the login names the addon {}{role}", login.name)));
            login.name
        }
        Err(error) => {
            let detail = format!("{login:?} names no addon: {error}");
            steps.push(Check::fail(
                "name",
                detail,
                "log in as NAME or NAME.ROLE, such as blog or blog.reader",
            ));
            return conclude(steps, String::new());
        }
    };
    let addon = api.store.addon(&name).ok().flatten();
    let route = match protocol {
        Protocol::Tls => api.table.lookup_among(Protocols::named(), name.as_str()),
        _ => Ok(api.table.lookup(protocol, name.as_str())),
    };
    steps.push(freshness(api));
    steps.push(provisioned(&name, addon.as_ref()));
    let route = match route {
        Ok(route) => route,
        Err(ambiguous) => {
            let hint = "connect with a client that says by ALPN what it speaks, or give them different names";
            steps.push(Check::fail("route", ambiguous.to_string(), hint));
            return conclude(steps, String::new());
        }
    };
    match &route {
        None => steps.push(no_route(api, &name, protocol)),
        Some(route) => {
            steps.push(state(route));
            steps.push(limit(route));
        }
    }
    let target = match route.as_deref() {
        Some(route @ Route { state: RouteState::Ready(upstream), container, .. }) => {
            let backend = addon.as_ref().and_then(|addon| addon.order.backend.as_ref());
            let place = match backend {
                Some(backend) => format!("{backend}, in no container"),
                None => format!("container {}", container.chars().take(12).collect::<String>()),
            };
            let in_tls = Some(route.for_tls(upstream)).filter(|_| protocol == Protocol::Tls);
            let upstream = upstream_text(in_tls.as_ref().unwrap_or(upstream));
            format!("{login} goes to {upstream}, {place}")
        }
        _ => String::new(),
    };
    conclude(steps, target)
}

/// What somebody speaks who logs in like this: the protocol of the addon, else that of the edge's first port.
pub fn likely_protocol(api: &Api, login: &str) -> Protocol {
    let name = Login::parse(login.as_bytes()).ok().map(|login| login.name);
    let routed = |name: &Name| {
        Protocol::ALL.iter().copied().find(|protocol| api.table.lookup(*protocol, name.as_str()).is_some())
    };
    let created = |name: &Name| {
        Some(api.store.addon(name).ok()??.protocol).filter(|protocol| *protocol != Protocol::None)
    };
    let known = name.as_ref().and_then(|name| routed(name).or_else(|| created(name)));
    let first = || api.edge.listeners().first().map(|listener| listener.protocol);
    known.or_else(first).unwrap_or(Protocol::ALL[0])
}

fn no_route(api: &Api, name: &Name, protocol: Protocol) -> Check {
    let labelled = |id: &str| {
        let container = api.watch.book().container(id)?;
        container.labels.get(labels::NAME).cloned()
    };
    let report = api.watch.report();
    let rejected = report.iter().find(|rejected| {
        rejected.container == name.as_str() || labelled(&rejected.id).as_deref() == Some(name.as_str())
    });
    if let Some(rejected) = rejected {
        let detail = format!("the container {} is not routed: {}", rejected.container, rejected.reason);
        return Check::fail("route", detail, "");
    }
    let addon = api.store.addon(name).ok().flatten();
    if let Some(addon) = addon.filter(|addon| addon.protocol == Protocol::None && !addon.order.is_docker()) {
        let detail = format!("{name} is no engine ({}): there is nothing to log in to", addon.kind);
        return Check::fail("route", detail, format!("`pierhead env --addon {name}` shows what it has"));
    }
    let detail = format!("no running or stopped container is called {name} for {protocol}");
    let label = format!("label a container pierhead.protocol={protocol}");
    let mut kinds = kinds::ALL.iter().filter(|kind| kind.protocol() == protocol).map(|kind| kind.name());
    let hint = match kinds.find(|kind| api.config.kinds.contains_key(*kind)) {
        Some(kind) => format!("`pierhead create {kind} {name}`, or {label}"),
        None => label,
    };
    Check::fail("route", detail, hint)
}

fn conclude(steps: Vec<Check>, target: String) -> Explanation {
    match steps.iter().find(|step| step.status == CheckStatus::Fail) {
        Some(failed) => {
            Explanation { ok: false, result: format!("refused: {}", failed.detail), steps: steps.clone() }
        }
        None => Explanation { ok: true, result: target, steps },
    }
}

fn port(api: &Api, protocol: Protocol) -> Check {
    let listeners = api.edge.listeners();
    let ports: Vec<String> = listeners
        .iter()
        .filter(|listener| listener.protocol == protocol)
        .map(|listener| listener.address.to_string())
        .collect();
    if ports.is_empty() {
        let hint = format!("add a [[listener]] with dialect = \"{protocol}\" to the configuration");
        return Check::fail("port", format!("the edge does not listen for {protocol}"), hint);
    }
    Check::ok("port", format!("{protocol} is spoken at {}", ports.join(", ")))
}

fn freshness(api: &Api) -> Check {
    match api.table.stale_since().and_then(|since| since.elapsed().ok()) {
        None => Check::ok("table", "Docker answers: the routes are up to date"),
        Some(age) => Check::warn(
            "table",
            format!("Docker has not answered for {} s: the routes are as they were then", age.as_secs()),
            "see whether dockerd runs",
        ),
    }
}

fn provisioned(name: &Name, addon: Option<&Addon>) -> Check {
    let Some(addon) = addon else {
        return Check::ok("addon", format!("{name} was not created with `pierhead create`"));
    };
    let detail = format!("{name} is {}, wanted {}", addon.life.state.as_str(), addon.life.desired.as_str());
    match &addon.life.reason {
        None => Check::ok("addon", detail),
        Some(reason) => {
            Check::warn("addon", format!("{detail}: {reason}"), format!("see `pierhead logs {name}`"))
        }
    }
}

fn state(route: &Route) -> Check {
    let name = &route.name;
    match &route.state {
        RouteState::Ready(upstream) => {
            Check::ok("route", format!("{name} is ready at {}", upstream_text(upstream)))
        }
        RouteState::Starting => Check::fail(
            "route",
            format!("{name} is starting"),
            format!("try again soon, or `pierhead wait {name}`"),
        ),
        RouteState::Held => Check::warn(
            "route",
            format!("{name} is held: logins wait until it is let go"),
            format!("`pierhead info {name}` shows what is going on"),
        ),
        RouteState::Unreachable => Check::fail(
            "route",
            format!("{name} did not answer when it was last looked at"),
            format!("see `pierhead info {name}`; its route comes back by itself when it answers"),
        ),
        RouteState::Stopped => Check::fail(
            "route",
            format!("{name} is stopped"),
            format!("`pierhead start {name}`, or `docker start`"),
        ),
    }
}

fn limit(route: &Route) -> Check {
    let (active, max) = (route.usage.active(), route.connections_max);
    if max != 0 && active >= u64::from(max) {
        let detail = format!("all {max} connections of {} are taken", route.name);
        return Check::fail("limit", detail, "close some, or give the addon a larger plan");
    }
    let of = if max == 0 { "no limit".to_owned() } else { format!("{max} allowed") };
    Check::ok("limit", format!("{active} connections open, {of}"))
}
