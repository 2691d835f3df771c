//! Engines that are in no container: where they are now. In come host names; out go the address that is used, or why there is none.
//!
//! A name is resolved at each look, and looked at again soon after a client could not be connected. Of several addresses the one in
//! use is kept while it answers, else the first that does. An address is used only if the provider admits it and if it is none of the
//! edge's own.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::addons::Addon;
use crate::addons::kinds::{self, Kind};
use crate::addons::lifecycle::{Failure, State};
use crate::addons::order::Backend;
use crate::addons::providers::Provider;
use crate::addons::secrets::{Password, Secrets};
use crate::config::BackendConfig;
use crate::dialect::{Name, Protocol};
use crate::routes::{Route, Table};

/// Where engines are that are in no container.
pub struct Backends {
    config: BackendConfig,
    secrets: Secrets,
    table: Arc<Table>,
    /// What this process listens on.
    own: Box<dyn Fn() -> Vec<SocketAddr> + Send + Sync>,
    located: Mutex<HashMap<Name, Located>>,
    /// Resolving a name takes a thread: so many at once.
    permits: Semaphore,
}

/// Where an engine is.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The address that is used.
    pub address: SocketAddr,
    /// Every address that its host had when it was last resolved, the one in use among them.
    pub all: Vec<SocketAddr>,
    /// What is not as it should be, though it can be reached.
    pub note: Option<String>,
    /// How many dials to it had failed before.
    dials_failed: u64,
}

impl Backends {
    /// One that knows of no engine yet. `own` says what this process listens on.
    pub fn new(
        config: BackendConfig,
        secrets: Secrets,
        table: Arc<Table>,
        own: impl Fn() -> Vec<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        let (located, permits) = (Mutex::default(), Semaphore::new(PARALLEL_MAX));
        Backends { config, secrets, table, own: Box::new(own), located, permits }
    }

    /// How often an engine is to be looked at.
    pub fn check_every(&self) -> Duration {
        self.config.check_every.get()
    }

    /// Where an addon's engine was when it was last looked at.
    pub fn located(&self, name: &Name) -> Option<Located> {
        self.lock().get(name).cloned()
    }

    /// There is no such engine any more.
    pub fn forget(&self, name: &Name) {
        self.lock().remove(name);
    }

    /// Looks where an addon's engine is, and whether it answers there.
    pub async fn look(
        &self,
        addon: &Addon,
        backend: &Backend,
        provider: &dyn Provider,
    ) -> Result<Located, Failure> {
        // Closed never, so there always is one.
        let _permit = self.permits.acquire().await.ok();
        let before = self.located(&addon.name).map(|located| located.address);
        let before = before.or_else(|| addon.life.checked.as_ref()?.parse().ok());
        let (all, note) = match (self.resolve(backend).await, before) {
            (Ok(all), _) => (all, None),
            // Where it was is where it is, until somebody says otherwise.
            (Err(error), Some(before)) => (vec![before], Some(error)),
            (Err(error), None) => return Err(Failure::Retry(error)),
        };
        // Counted before it is looked at: a dial that fails meanwhile is one more reason to look again.
        let dials_failed = self.dials_failed(&addon.name);
        let (mut faults, mut any_usable) = (vec![], false);
        for address in in_order(&all, before) {
            let answer = match self.is_usable(addon, provider, address) {
                Ok(()) => {
                    any_usable = true;
                    self.answers(addon, address).await
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(()) => {
                    let located = Located { address, all, note, dials_failed };
                    if before != Some(address) {
                        tracing::info!(addon = %addon.name, %backend, %address, ?before, "backend");
                    }
                    self.lock().insert(addon.name.clone(), located.clone());
                    return Ok(located);
                }
                Err(error) => faults.push(error),
            }
        }
        faults.extend(note);
        let reason = format!("{backend}: {}", faults.join("; "));
        // What is not allowed will not be by waiting.
        Err(if any_usable { Failure::Retry(reason) } else { Failure::Lasting(reason) })
    }

    /// The password that clients are given, if Pierhead has been told it.
    pub fn password(&self, addon: &Addon) -> Option<Password> {
        self.secrets.read(&addon.name).ok()
    }

    /// Reports each addon that a client could not be connected to since the last report, for ever.
    pub async fn watch_dials(&self, report: impl Fn(&Name)) {
        let mut counted: HashMap<Name, u64> = HashMap::new();
        loop {
            tokio::time::sleep(DIALS_PERIOD).await;
            let names: HashSet<Name> = self.lock().keys().cloned().collect();
            counted.retain(|name, _| names.contains(name));
            for name in names {
                let failed = self.dials_failed(&name);
                if counted.insert(name.clone(), failed).is_some_and(|before| before < failed) {
                    report(&name);
                }
            }
        }
    }

    async fn resolve(&self, backend: &Backend) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = (backend.host.as_str(), backend.port);
        let timeout = self.config.check_timeout.get();
        let found = tokio::time::timeout(timeout, tokio::net::lookup_host((host, port))).await;
        let found = found.map_err(|_| format!("{host} cannot be resolved: no answer within {timeout:?}"))?;
        let mut all: Vec<SocketAddr> = vec![];
        for address in found.map_err(|error| format!("{host} cannot be resolved: {error}"))? {
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            if !all.contains(&address) && all.len() < self.config.addresses_max as usize {
                all.push(address);
            }
        }
        if all.is_empty() { Err(format!("{host} has no address")) } else { Ok(all) }
    }

    fn is_usable(&self, addon: &Addon, provider: &dyn Provider, address: SocketAddr) -> Result<(), String> {
        let ip = address.ip();
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(format!("{ip} is no address of a host"));
        }
        if (self.own)().iter().any(|own| is_same(*own, address)) {
            return Err(format!("{address} is Pierhead itself: connections would go in circles"));
        }
        provider.admits(addon, ip)
    }

    async fn answers(&self, addon: &Addon, address: SocketAddr) -> Result<(), String> {
        let kind = kinds::find(addon.kind.as_str());
        if addon.protocol == Protocol::Mysql {
            return self.answers_mysql(addon, kind, address).await;
        }
        self.connects(address).await
    }

    /// These servers block a host that connects and goes without a login too often (`max_connect_errors`), and it is this host that
    /// all clients come from. So it is a login, or no connection at all: of one that was good it is enough that no dial has failed
    /// since, where clients are connected or the password is not known.
    async fn answers_mysql(
        &self,
        addon: &Addon,
        kind: Option<&dyn Kind>,
        address: SocketAddr,
    ) -> Result<(), String> {
        let password = self.password(addon);
        let before = self.located(&addon.name).filter(|before| before.address == address);
        let undisturbed = before.is_some_and(|before| before.dials_failed == self.dials_failed(&addon.name));
        let in_use = self.route(addon).is_some_and(|route| route.usage.active() > 0);
        if undisturbed && addon.life.state == State::Ready && (in_use || password.is_none()) {
            return Ok(());
        }
        let (Some(kind), Some(password)) = (kind, password) else { return self.connects(address).await };
        let login = kind.check_login(address, &addon.name, addon.name.as_str(), &password).await;
        login.map_err(|error| format!("{address}: {error}"))
    }

    async fn connects(&self, address: SocketAddr) -> Result<(), String> {
        let timeout = self.config.check_timeout.get();
        match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Err(_) => Err(format!("{address}: no answer within {timeout:?}")),
        }
    }

    /// Whether one more connection is within the addon's limit.
    pub fn has_room(&self, addon: &Addon) -> bool {
        let full = |route: Arc<Route>| {
            route.connections_max != 0 && route.usage.active() >= u64::from(route.connections_max)
        };
        !self.route(addon).is_some_and(full)
    }

    fn route(&self, addon: &Addon) -> Option<Arc<Route>> {
        self.table.lookup(addon.protocol, addon.name.as_str())
    }

    fn dials_failed(&self, name: &Name) -> u64 {
        let routes = Protocol::ALL.iter().filter_map(|protocol| self.table.lookup(*protocol, name.as_str()));
        routes.map(|route| route.usage.dials_failed_total()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Located>> {
        // A map is whole after every step.
        self.located.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one in use first, the others as they came.
fn in_order(all: &[SocketAddr], before: Option<SocketAddr>) -> Vec<SocketAddr> {
    let mut order = all.to_vec();
    // Stable: the rest stays in the resolver's order.
    order.sort_by_key(|address| Some(*address) != before);
    order
}

/// Whether connecting to `address` leads to what listens on `own`.
fn is_same(own: SocketAddr, address: SocketAddr) -> bool {
    let meant = own.ip().to_canonical() == address.ip() || own.ip().is_unspecified();
    own.port() == address.port() && meant && is_local(address.ip())
}

/// Whether this host has the address: then it is where the kernel would send from. (That a socket could be bound to it says nothing
/// where `ip_nonlocal_bind` is set.) Nothing is sent.
fn is_local(ip: IpAddr) -> bool {
    let from = || {
        let any: IpAddr =
            if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    ip.is_loopback() || from().is_ok_and(|from| from.ip() == ip)
}

const PARALLEL_MAX: usize = 16;
const DIALS_PERIOD: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_address_in_use_is_tried_first() {
        let all = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(address);
        assert_eq!(in_order(&all, None), all);
        assert_eq!(in_order(&all, Some(all[2])), [all[2], all[0], all[1]]);
        assert_eq!(in_order(&all, Some(address("10.0.0.9:1"))), all);
    }

    #[test]
    fn what_this_process_listens_on_is_found_under_each_of_its_addresses() {
        for (own, other, same) in [
            ("0.0.0.0:5432", "127.0.0.1:5432", true),
            ("0.0.0.0:5432", "127.9.9.9:5432", true),
            ("[::]:5432", "127.0.0.1:5432", true),
            ("127.0.0.1:5432", "127.0.0.1:5432", true),
            ("127.0.0.1:5432", "127.0.0.2:5432", false),
            ("0.0.0.0:5432", "127.0.0.1:5433", false),
            ("0.0.0.0:5432", "192.0.2.1:5432", false),
        ] {
            assert_eq!(is_same(address(own), address(other)), same, "{own} {other}");
        }
    }
}
