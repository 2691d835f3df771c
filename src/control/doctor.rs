//! `pierhead doctor`: whether this host has what Pierhead needs, and what to do where it has not.
//!
//! Asked of a running Pierhead, it answers for that process; the CLI asks itself where none is running.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::api::Api;
use super::api::types::{Check, OrphanView};
use super::orphans::OrphanError;
use crate::addons::provision::Engine;
use crate::config::{Config, ListenerConfig, Reach};
use crate::docker::Endpoint;
use crate::sys::NetNamespace;

/// What can be said while no Pierhead is running.
pub async fn local(config: &Config) -> Vec<Check> {
    let mut checks = vec![io_uring(), namespaces(config.docker.reach)];
    match Endpoint::find(config.docker.host.as_deref()) {
        Ok(endpoint) => {
            let engine = Engine::new(endpoint);
            checks.push(docker(&engine).await);
            checks.extend(images(config, &engine).await);
        }
        Err(error) => checks.push(Check::fail("docker", error.to_string(), "")),
    }
    let endpoints = config.listeners.iter().flat_map(ListenerConfig::endpoints);
    checks.extend(endpoints.map(|(protocol, address)| port(protocol.as_str(), address)));
    checks.extend([descriptors(), pipes(), data_dir(&config.data_dir)]);
    checks
}

/// What a running Pierhead says of itself.
pub async fn serving(api: &Api) -> Vec<Check> {
    let mut checks = vec![io_uring(), namespaces(api.config.docker.reach), docker(&api.engine).await];
    checks.extend(images(&api.config, &api.engine).await);
    checks.extend(api.edge.listeners().iter().map(|listener| {
        Check::ok("port", format!("{} is served at {}", listener.protocol, listener.address))
    }));
    checks.extend([descriptors(), pipes(), data_dir(&api.config.data_dir), addons(api), backups(api)]);
    checks.extend(api.watch.report().into_iter().map(|rejected| {
        let detail = format!("the container {} is not routed: {}", rejected.container, rejected.reason);
        Check::warn("label", detail, "")
    }));
    checks
}

fn io_uring() -> Check {
    match crate::sys::probe() {
        Ok(found) => Check::ok("io_uring", found),
        Err(error) => Check::fail("io_uring", error.cause, error.remedy),
    }
}

fn namespaces(reach: Reach) -> Check {
    const NAME: &str = "namespaces";
    match (reach, NetNamespace::may_enter()) {
        (Reach::Bridge, _) => Check::ok(NAME, "containers are reached over their bridges (docker.reach)"),
        (_, Ok(())) if is_closed(Path::new(NAMESPACES_DIR)) => Check::warn(
            NAME,
            format!("containers are reached over their bridges: {NAMESPACES_DIR} may not be looked into"),
            "it works as it is; CAP_SYS_ADMIN alone is not enough, CAP_DAC_READ_SEARCH opens Docker's directory",
        ),
        (_, Ok(())) => Check::ok(NAME, "containers are reached inside their network namespaces"),
        (_, Err(error)) => Check::warn(
            NAME,
            format!("containers are reached over their bridges: namespaces cannot be entered ({error})"),
            "it works as it is; with CAP_SYS_ADMIN small requests cost a tenth less (docs/tuning.md)",
        ),
    }
}

/// Where Docker keeps the namespaces of its containers, unless it was started with another --exec-root.
const NAMESPACES_DIR: &str = "/var/run/docker/netns";

/// Whether what is in a directory is hidden from this process. One that is not there hides nothing.
fn is_closed(dir: &Path) -> bool {
    // With a name in it, as the directory itself may be seen by whoever may not search it.
    std::fs::metadata(dir.join("default"))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

async fn docker(engine: &Engine) -> Check {
    let version = match engine.connected().await {
        Ok(docker) => docker.version().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match version {
        Ok(version) => {
            let (engine, api) =
                (version.version.unwrap_or_default(), version.api_version.unwrap_or_default());
            Check::ok("docker", format!("Docker {engine} answers (API {api})"))
        }
        Err(error) => Check::fail(
            "docker",
            format!("Docker does not answer: {error}"),
            "start dockerd (scripts/docker-engine), or set [docker] host or DOCKER_HOST; routes serve on meanwhile",
        ),
    }
}

async fn images(config: &Config, engine: &Engine) -> Vec<Check> {
    let Ok(docker) = engine.connected().await else { return vec![] };
    let mut checks = vec![];
    for (kind, of) in &config.kinds {
        checks.push(match docker.inspect_image(&of.image).await {
            Ok(_) => Check::ok("image", format!("{kind}: {} is here", of.image)),
            Err(_) => Check::warn(
                "image",
                format!("{kind}: {} is not here yet and will be pulled", of.image),
                format!("docker pull {0}; where no registry answers: scripts/images {kind}", of.image),
            ),
        });
    }
    checks
}

fn port(protocol: &str, address: std::net::SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok("port", format!("{protocol} could be served at {address}")),
        Err(error) => {
            let hint = match error.kind() {
                ErrorKind::AddrInUse => format!(
                    "stop what listens there (ss -ltnp 'sport = {0}'), or set another port \
                     (PIERHEAD_PORT_{1})",
                    address.port(),
                    protocol.to_uppercase()
                ),
                ErrorKind::PermissionDenied => {
                    "run as root or with CAP_NET_BIND_SERVICE, or take a port from 1024 on".to_owned()
                }
                _ => "set an address of this host in [[listener]]".to_owned(),
            };
            Check::fail("port", format!("{protocol} cannot be served at {address}: {error}"), hint)
        }
    }
}

/// A relayed connection takes two descriptors, and two more while it is spliced.
fn descriptors() -> Check {
    const NAME: &str = "descriptors";
    let hint = "raise it: `ulimit -n 1048576`, LimitNOFILE= in systemd, or `docker run --ulimit nofile=...`";
    match soft_descriptor_limit() {
        None => Check::warn(NAME, "the limit (RLIMIT_NOFILE) cannot be read", hint),
        Some(limit) if limit < 1024 => {
            Check::fail(NAME, format!("{limit} may be open: {} connections", limit / 2), hint)
        }
        Some(limit) if limit < 65_536 => {
            Check::warn(NAME, format!("{limit} may be open: some {} connections", limit / 2), hint)
        }
        Some(limit) => Check::ok(NAME, format!("{limit} may be open: some {} connections", limit / 2)),
    }
}

fn soft_descriptor_limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Beyond this limit an unprivileged user gets pipes of one page, in which splicing does not pay.
fn pipes() -> Check {
    const NAME: &str = "pipes";
    let pages = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").ok();
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    match pages.and_then(|text| text.trim().parse::<u64>().ok()) {
        None => Check::warn(NAME, "fs.pipe-user-pages-soft cannot be read", ""),
        Some(_) if root => Check::ok(NAME, "no limit: this is root"),
        Some(0) => Check::ok(NAME, "no limit (fs.pipe-user-pages-soft=0)"),
        Some(pages) if pages <= 16_384 => Check::warn(
            NAME,
            format!("{} pipes of 64 KiB for this user (fs.pipe-user-pages-soft={pages})", pages / 16),
            "for many bulk transfers at once: `sysctl fs.pipe-user-pages-soft=262144`",
        ),
        Some(pages) => Check::ok(NAME, format!("{} pipes of 64 KiB for this user", pages / 16)),
    }
}

fn data_dir(dir: &Path) -> Check {
    const NAME: &str = "data_dir";
    let hint = "make it writable for the user that runs pierhead, or set data_dir (PIERHEAD_DATA_DIR)";
    // The nearest directory that exists decides: the rest is made when it is needed.
    let nearest = dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let probe = nearest.join(format!(".pierhead-doctor.{}", std::process::id()));
    match fs::File::create(&probe).and_then(|_| fs::remove_file(&probe)) {
        Ok(()) => Check::ok(NAME, format!("{} can be written to", dir.display())),
        Err(error) => Check::fail(NAME, format!("{} cannot be written to: {error}", nearest.display()), hint),
    }
}

fn addons(api: &Api) -> Check {
    const NAME: &str = "addons";
    let addons = match api.store.addons() {
        Ok(addons) => addons,
        Err(error) => {
            return Check::fail(NAME, error.to_string(), "see whether the disk of data_dir is full");
        }
    };
    let broken: Vec<String> = addons
        .iter()
        .filter_map(|addon| addon.life.reason.as_ref().map(|reason| format!("{}: {reason}", addon.name)))
        .collect();
    if broken.is_empty() {
        return Check::ok(NAME, format!("{} provisioned, none in trouble", addons.len()));
    }
    Check::warn(NAME, broken.join("; "), "`pierhead info NAME` and `pierhead logs NAME` say more")
}

fn backups(api: &Api) -> Check {
    const NAME: &str = "backups";
    let hint = "`pierhead backups NAME` shows them, `pierhead backup NAME` takes one";
    match api.backups.troubles() {
        Err(error) => Check::fail(NAME, error.to_string(), "see whether the disk of data_dir is full"),
        Ok(troubles) if !troubles.is_empty() => Check::fail(NAME, troubles.join("; "), hint),
        Ok(_) if !api.backups.is_scheduled() => Check::warn(
            NAME,
            "addons are backed up only when somebody asks for it",
            "set every = \"24h\" in [backup] of the configuration, and a target on another machine",
        ),
        Ok(_) => Check::ok(NAME, "what is to be backed up is"),
    }
}

/// What is left of addons that there are not.
pub fn orphans(found: &Result<Vec<OrphanView>, OrphanError>) -> Check {
    const NAME: &str = "orphans";
    let orphans = match found {
        Ok(orphans) => orphans,
        Err(error) => return Check::warn(NAME, format!("cannot be looked for: {error}"), ""),
    };
    if orphans.is_empty() {
        return Check::ok(NAME, "everything of Pierhead's belongs to an addon");
    }
    let each = orphans.iter().map(|orphan| format!("{} {}", orphan.what, orphan.called));
    let detail = format!("belonging to no addon: {}", each.collect::<Vec<_>>().join(", "));
    Check::warn(
        NAME,
        detail,
        "`pierhead doctor --fix` removes them; what it leaves, `docker volume rm` and the like",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::types::CheckStatus;

    #[test]
    fn a_taken_port_is_a_failure_that_says_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let check = port("postgres", taken.local_addr().unwrap());
        assert_eq!(check.status, CheckStatus::Fail);
        assert!(check.hint.contains("PIERHEAD_PORT_POSTGRES"), "{}", check.hint);
        let address = taken.local_addr().unwrap();
        drop(taken);
        assert_eq!(port("postgres", address).status, CheckStatus::Ok);
    }

    #[test]
    fn the_descriptor_limit_can_be_read() {
        assert!(soft_descriptor_limit().is_some_and(|limit| limit > 0));
    }

    #[test]
    fn a_directory_that_does_not_exist_yet_is_judged_by_its_parent() {
        let dir = tempfile::TempDir::new().unwrap();
        assert_eq!(data_dir(&dir.path().join("a/b")).status, CheckStatus::Ok);
        assert_eq!(data_dir(Path::new("/proc/nowhere")).status, CheckStatus::Fail);
    }
}
