//! What a container of an addon looks like. In comes an addon with its kind and plan; out goes Docker's own form.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerConfig, ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, RestartPolicy,
    RestartPolicyNameEnum,
};

use crate::addons::Addon;
use crate::addons::kinds::{ImageSettings, Kind, Superuser};
use crate::config::Plan;
use crate::dialect::Name;

/// Which installation of Pierhead made it.
pub const LABEL_INSTANCE: &str = "pierhead.instance";
/// Which addon it belongs to, and under which name it is routed.
pub const LABEL_NAME: &str = "pierhead.name";
/// Made by Pierhead, not just routed by it.
pub const LABEL_MANAGED: &str = "pierhead.managed";

const LABEL_CONNECTIONS: &str = "pierhead.max-connections";

/// How long an engine may take to stop before it is killed, in seconds.
pub(super) const STOP_TIMEOUT_S: i32 = 30;

/// Which of the addon's containers it is; none is the first.
pub const LABEL_GENERATION: &str = crate::docker::labels::GENERATION;

/// The volume of an addon, as the generation of this number has made it.
pub fn volume_name(name: &Name, volume: u32) -> String {
    numbered(format!("pierhead-{name}"), volume)
}

/// What the container of an addon is called.
pub fn container_name(addon: &Addon) -> String {
    numbered(addon.name.to_string(), addon.generation)
}

/// Whether a volume is one of those that an addon may have had: [`volume_name`] of whichever generation.
pub fn is_volume_name(called: &str, name: &Name) -> bool {
    let rest = called.strip_prefix("pierhead-").and_then(|rest| rest.strip_prefix(name.as_str()));
    let number = rest.and_then(|rest| rest.strip_prefix(".g")).and_then(|number| number.parse().ok());
    called == volume_name(name, number.unwrap_or(1))
}

/// With a dot, which is in no addon's name: so that it cannot be that of another addon.
fn numbered(name: String, number: u32) -> String {
    if number == 1 { name } else { format!("{name}.g{number}") }
}

/// The labels that say whose something is.
pub(super) fn ownership(instance: &str, name: &Name) -> HashMap<String, String> {
    let labels = [(LABEL_INSTANCE, instance), (LABEL_NAME, name.as_str()), (LABEL_MANAGED, "true")];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// What a container is made from.
pub(super) struct Parts<'a> {
    pub addon: &'a Addon,
    pub kind: &'a dyn Kind,
    /// Pierhead's own user of the engine, where it has one, and the file with its password on this host.
    pub superuser: Option<(&'a Superuser, &'a Path)>,
    /// What the engine is told beyond its kind's own settings.
    pub further_args: &'a [String],
    pub plan: &'a Plan,
    pub instance: &'a str,
    /// The file with the secret on this host.
    pub secret: &'a Path,
    /// Id of the network.
    pub network: &'a str,
    /// The paths that the image declares as volumes.
    pub declared_volumes: &'a [String],
}

/// The container, as Docker wants to be asked for it.
pub(super) fn body(parts: &Parts<'_>) -> ContainerCreateBody {
    let superuser = parts.superuser.map(|(superuser, _)| superuser);
    let settings = settings(parts.kind, &parts.addon.name, parts.plan, superuser);
    let env = settings.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let declared = |path: &&&str| parts.declared_volumes.iter().any(|volume| volume == **path);
    let data = settings.volume_paths.iter().find(declared).or(settings.volume_paths.first());
    let mounts = data
        .map(|path| data_mount(parts, path))
        .into_iter()
        .chain([mount(MountType::BIND, &parts.secret.to_string_lossy(), settings.secret_path, true)])
        .chain(superuser_mount(parts))
        .collect();
    let args = [&settings.args[..], parts.further_args].concat();
    ContainerCreateBody {
        hostname: Some(parts.addon.name.to_string()),
        image: Some(parts.addon.image.clone()),
        env: Some(env),
        cmd: (!args.is_empty()).then_some(args),
        labels: Some(labels(parts)),
        stop_timeout: Some(i64::from(STOP_TIMEOUT_S)),
        host_config: Some(host_config(parts, mounts)),
        ..Default::default()
    }
}

fn labels(parts: &Parts<'_>) -> HashMap<String, String> {
    let mut labels = ownership(parts.instance, &parts.addon.name);
    let routing = [
        ("pierhead.protocol", parts.kind.protocol().to_string()),
        ("pierhead.port", parts.kind.port().to_string()),
        ("pierhead.plan", parts.addon.plan.to_string()),
        (LABEL_CONNECTIONS, parts.plan.connections_max.to_string()),
    ];
    labels.extend(routing.map(|(key, value)| (key.to_owned(), value)));
    if parts.addon.generation != 1 {
        labels.insert(LABEL_GENERATION.to_owned(), parts.addon.generation.to_string());
    }
    labels
}

/// The limits of a plan, which a running container can be given.
pub(super) fn limits(plan: &Plan) -> HostConfig {
    let memory = i64::try_from(plan.memory.bytes()).unwrap_or(i64::MAX);
    HostConfig {
        memory: Some(memory),
        // The same number means: no swap on top.
        memory_swap: Some(memory),
        nano_cpus: Some((plan.cpus * 1e9) as i64),
        pids_limit: Some(i64::from(plan.pids)),
        ..Default::default()
    }
}

/// Whether a container has these limits.
pub(super) fn has_limits(found: &HostConfig, plan: &Plan) -> bool {
    let wanted = limits(plan);
    found.memory == wanted.memory
        && found.nano_cpus == wanted.nano_cpus
        && found.pids_limit == wanted.pids_limit
}

/// How the image is told what to become.
fn settings(kind: &dyn Kind, name: &Name, plan: &Plan, superuser: Option<&Superuser>) -> ImageSettings {
    let mut settings = kind.image_settings(name, plan);
    for (variable, value) in superuser.iter().flat_map(|superuser| superuser.env) {
        settings.env.retain(|(other, _)| other != variable);
        settings.env.push((*variable, (*value).to_owned()));
    }
    settings
}

fn superuser_mount(parts: &Parts<'_>) -> Option<Mount> {
    let (superuser, secret) = parts.superuser?;
    Some(mount(MountType::BIND, &secret.to_string_lossy(), superuser.secret_path?, true))
}

/// Whether a container was made with what an addon of this plan is made with: arguments, variables, and the connections
/// that its route allows. What the image adds is not ours.
pub(super) fn is_made_so(
    found: &ContainerConfig,
    addon: &Addon,
    kind: &dyn Kind,
    further_args: &[String],
    plan: &Plan,
    superuser: Option<&Superuser>,
) -> bool {
    let settings = settings(kind, &addon.name, plan, superuser);
    let args = [&settings.args[..], further_args].concat();
    let has = |name: &str, value: &str| {
        found.env.iter().flatten().any(|pair| pair.split_once('=') == Some((name, value)))
    };
    let label = found.labels.as_ref().and_then(|labels| labels.get(LABEL_CONNECTIONS));
    (args.is_empty() || found.cmd.as_ref() == Some(&args))
        && settings.env.iter().all(|(name, value)| has(name, value))
        && label == Some(&plan.connections_max.to_string())
}

fn host_config(parts: &Parts<'_>, mounts: Vec<Mount>) -> HostConfig {
    let limits = limits(parts.plan);
    let memory = limits.memory.unwrap_or_default();
    HostConfig {
        // Engines share memory between processes through /dev/shm; Docker's 64 MiB are too little for some
        // queries. It counts against the memory limit like everything else.
        shm_size: Some((memory / 4).max(64 << 20)),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        network_mode: Some(parts.network.to_owned()),
        mounts: Some(mounts),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".into()]),
        ..limits
    }
}

/// If the volume is gone by then, Docker makes one: it gets labels by which that can be seen, see
/// [`Presence::Replaced`](crate::addons::lifecycle::Presence).
fn data_mount(parts: &Parts<'_>, path: &str) -> Mount {
    let mut labels = ownership(parts.instance, &parts.addon.name);
    labels.remove(LABEL_MANAGED);
    let options = MountVolumeOptions { labels: Some(labels), ..Default::default() };
    let name = volume_name(&parts.addon.name, parts.addon.volume);
    Mount { volume_options: Some(options), ..mount(MountType::VOLUME, &name, path, false) }
}

fn mount(typ: MountType, source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(typ),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        ..Default::default()
    }
}

/// What the official images need to take over a fresh volume as root and then become their own user.
const CAPABILITIES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addons::kinds;
    use crate::addons::lifecycle::Life;
    use crate::config::Config;
    use crate::dialect::Protocol;

    #[test]
    fn which_volumes_are_an_addons() {
        let name = Name::parse("blog").unwrap();
        for number in [1, 2, 37] {
            assert!(is_volume_name(&volume_name(&name, number), &name), "{number}");
        }
        for called in [
            "blog",
            "pierhead-blo",
            "pierhead-blog2",
            "pierhead-blog.g1",
            "pierhead-blog.g02",
            "pierhead-blog.gx",
            "x-pierhead-blog",
            "pierhead-blog.old",
        ] {
            assert!(!is_volume_name(called, &name), "{called}");
        }
    }

    #[test]
    fn limits_labels_and_mounts() {
        let config = Config::default();
        let addon = Addon {
            name: Name::parse("blog").unwrap(),
            kind: Name::parse("postgres").unwrap(),
            protocol: Protocol::Postgres,
            plan: Name::parse("small").unwrap(),
            image: "postgres:17".into(),
            life: Life::new(0),
            container_id: None,
            created_at: 0,
            updated_at: 0,
            generation: 1,
            volume: 1,
        };
        let mut parts = Parts {
            addon: &addon,
            kind: kinds::find("postgres").unwrap(),
            superuser: None,
            further_args: &[],
            plan: &config.plans["small"],
            instance: "i",
            secret: Path::new("/data/secrets/blog/password"),
            network: "n",
            declared_volumes: &[],
        };
        let data = |parts: &Parts<'_>| body(parts).host_config.unwrap().mounts.unwrap()[0].target.clone();
        assert_eq!(data(&parts).as_deref(), Some("/var/lib/postgresql/data"));
        let newer = ["/var/lib/postgresql".to_owned()];
        parts.declared_volumes = &newer;
        assert_eq!(data(&parts).as_deref(), Some("/var/lib/postgresql"));

        let body = body(&parts);
        let (labels, host) = (body.labels.unwrap(), body.host_config.unwrap());
        assert_eq!(labels["pierhead.max-connections"], "90");
        assert_eq!((labels[LABEL_INSTANCE].as_str(), labels[LABEL_NAME].as_str()), ("i", "blog"));
        assert_eq!((host.memory, host.memory_swap), (Some(512 << 20), Some(512 << 20)));
        assert_eq!((host.nano_cpus, host.pids_limit), (Some(1_000_000_000), Some(256)));
        assert!(host.port_bindings.is_none() && body.cmd.is_none());
    }
}
