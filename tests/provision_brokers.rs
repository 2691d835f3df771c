//! The promise of `tests/provision.rs` for NATS, Mosquitto, memcached and RabbitMQ: an addon that was asked for becomes a server that
//! one can log in to through the edge, its data and its password are where they belong, and nothing is left of one that was
//! destroyed.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use control::{Pierhead, docker, free_ports, inspect, mode_and_uid, wait_for};

/// A Pierhead with a port for one protocol and an image for one kind, and an addon.
struct Addon {
    pierhead: Pierhead,
    name: String,
    url: String,
    password: String,
    port: u16,
}

impl Addon {
    fn create(kind: &str, protocol: &str, image: &str) -> Addon {
        let port = free_ports(RandomState::new().hash_one(kind) as u16, 1);
        let pierhead = Pierhead::start_with(&format!(
            "[[listener]]\ndialect = \"{protocol}\"\nlisten = [\"127.0.0.1:{port}\"]\n[kind.{kind}]\nimage = \"{image}\"\n"
        ));
        let name = pierhead.name(kind);
        let url = pierhead.ok(&["create", kind, &name]).trim().to_owned();
        let scheme = format!("{protocol}://{name}:");
        let password = url.strip_prefix(&scheme).and_then(|rest| rest.split_once('@')).unwrap().0.to_owned();
        let place = if protocol == "amqp" { format!("/{name}") } else { String::new() };
        assert_eq!(url, format!("{scheme}{password}@127.0.0.1:{port}{place}"));
        Addon { pierhead, name, url, password, port }
    }

    /// The secret is in its file, for this user, and nowhere else. `process` runs as that user.
    fn keeps_its_secret(&self, uid: u32, process: &str) {
        let container = inspect(&self.name);
        assert!(!container.to_string().contains(&self.password), "the password is in docker inspect");
        let processes = docker(&["top", &self.name, "-eo", "uid,pid,args"]);
        let line =
            processes.lines().find(|line| line.contains(process)).unwrap_or_else(|| panic!("{processes}"));
        assert!(line.trim().starts_with(&uid.to_string()), "{processes}");
        assert!(!processes.contains(&self.password), "the password is in the arguments");
        let dir = self.pierhead.dir.path().join("data/secrets").join(&self.name);
        assert_eq!(mode_and_uid(&dir.join("engine")), (0o600, uid));
        assert_eq!(mode_and_uid(&dir.join("password")).0, 0o600);
    }

    /// Runs a line of nats-py, with `js` for the streams, and gives what it prints.
    fn stream(&self, line: &str) -> String {
        let script = format!(
            "import asyncio, nats\nasync def main():\n  client = await nats.connect({:?})\n  js = client.jetstream()\n  {line}\n  \
             await client.close()\nasyncio.run(main())",
            self.url
        );
        String::from_utf8(run(Command::new(python()).args(["-c", &script])).stdout).unwrap()
    }

    /// Runs a line of pika, on a channel that confirms, and gives what it prints.
    fn channel(&self, line: &str) -> String {
        let script = format!(
            "import pika\nconnection = pika.BlockingConnection(pika.URLParameters({:?}))\nchannel = connection.channel()\n\
             channel.confirm_delivery()\n{line}\nconnection.close()",
            self.url
        );
        String::from_utf8(run(Command::new(python()).args(["-c", &script])).stdout).unwrap()
    }

    /// What a driver's script of tests/clients sees in its case `login`, through the edge.
    fn login_with(&self, script: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
        let driver = match script {
            "mqtt_cases.py" => "paho-5",
            "amqp_cases.py" => "pika",
            _ => "any",
        };
        let port = self.port.to_string();
        let output = run(Command::new(python()).arg(path).args([
            driver,
            "127.0.0.1",
            &port,
            &self.name,
            &self.password,
        ]));
        let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        seen["login"]["ok"].as_str().unwrap_or_else(|| panic!("{seen}")).to_owned()
    }

    fn kill_and_wait_until_it_is_back(&self) {
        let before = self.times_ready();
        docker(&["kill", &self.name]);
        // Docker starts it again before Pierhead has heard that it was gone: what it was before must not count.
        wait_for("the addon to be back", Duration::from_secs(60), || self.times_ready() > before);
    }

    fn times_ready(&self) -> usize {
        let events = self.pierhead.json(&["events", &self.name])["events"].as_array().unwrap().clone();
        events.iter().filter(|event| event["to"] == "ready" && event["from"] != "ready").count()
    }

    fn mounted_at(&self, path: &str) {
        let container = inspect(&self.name);
        let mount = container["Mounts"].as_array().unwrap().iter().find(|mount| mount["Destination"] == path);
        assert_eq!(mount.unwrap()["Name"], format!("pierhead-{}", self.name));
    }

    fn destroy(self) {
        self.pierhead.ok(&["stop", &self.name]);
        self.pierhead.ok(&["start", &self.name]);
        self.pierhead.ok(&["destroy", &self.name, "--force"]);
        assert_eq!(self.pierhead.left_on_docker(), [""; 0]);
        assert!(!self.pierhead.dir.path().join("data/secrets").join(&self.name).exists());
        assert!(!self.pierhead.log_text().contains(&self.password), "the password is in the log");
    }
}

fn python() -> String {
    let python = std::env::var("PIERHEAD_TEST_PYTHON");
    python.unwrap_or_else(|_| "/var/cache/pierhead/test-clients/venv/bin/python".into())
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

#[test]
fn nats_keeps_its_streams() {
    let addon = Addon::create("nats", "nats", "pierhead/nats:2.9");
    addon.keeps_its_secret(999, "nats-server");
    addon.mounted_at("/data");
    assert_eq!(addon.login_with("nats_cases.py"), "hello");
    addon.stream("await js.add_stream(name='kept', subjects=['kept']); await js.publish('kept', b'42')");
    let limit = addon.pierhead.ok(&["logs", &addon.name, "--tail", "50"]);
    assert!(limit.contains("Max Memory:      64.00 MB"), "a quarter of the plan's 256 MiB: {limit}");
    addon.kill_and_wait_until_it_is_back();
    assert_eq!(addon.stream("print((await js.get_msg('kept', 1)).data.decode())"), "42\n");
    assert_eq!(addon.login_with("nats_c_cases.py"), "hello");
    let connect = addon.pierhead.run(&["connect", &addon.name]);
    assert_eq!(connect.code, Some(1));
    assert!(
        connect.stderr.contains("there is no nats on this host")
            && connect.stderr.contains("nats-io/natscli"),
        "{connect:?}"
    );
    addon.destroy();
}

#[test]
fn mosquitto_keeps_what_it_was_told_to_retain() {
    let addon = Addon::create("mosquitto", "mqtt", "pierhead/mosquitto:2.0");
    addon.keeps_its_secret(1883, "mosquitto -c");
    addon.mounted_at("/mosquitto/data");
    assert_eq!(addon.login_with("mqtt_cases.py"), "hello");
    run(Command::new("mosquitto_pub").args([
        "-L",
        &format!("{}/kept", addon.url),
        "-r",
        "-q",
        "1",
        "-m",
        "42",
    ]));
    // `pierhead connect` is mosquitto_sub, with its arguments.
    let hears = |args: &[&str]| {
        let ended = addon.pierhead.run(&[&["connect", &addon.name, "--"], args].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    };
    assert_eq!(hears(&["-t", "kept", "-C", "1", "-W", "10"]), "42\n");
    assert_eq!(
        hears(&["-C", "1", "-W", "10"]),
        "kept 42\n",
        "without a topic: all of them, with their names"
    );
    // SIGTERM makes the broker write; and it writes by itself now and then.
    addon.pierhead.ok(&["restart", &addon.name]);
    assert_eq!(hears(&["-t", "kept", "-C", "1", "-W", "10"]), "42\n");
    addon.kill_and_wait_until_it_is_back();
    wait_for("a login", Duration::from_secs(30), || {
        let args = ["connect", &addon.name, "--", "-t", "kept", "-C", "1", "-W", "10"];
        addon.pierhead.run(&args).stdout == "42\n"
    });
    addon.destroy();
}

#[test]
fn memcached_lets_its_user_in_and_nobody_else() {
    let addon = Addon::create("memcached", "memcached", "pierhead/memcached:1.6");
    addon.keeps_its_secret(11211, "memcached -S");
    assert_eq!(addon.login_with("memcached_cases.py"), "hello");
    let args = docker(&["top", &addon.name, "-eo", "pid,args"]);
    assert!(args.contains("memcached -S -m 192"), "three quarters of the plan's 256 MiB: {args}");
    // The library has a mechanism that lets everybody in.
    let mechanisms = docker(&["exec", &addon.name, "cat", "/tmp/sasl/memcached.conf"]);
    assert_eq!(mechanisms, "mech_list: plain");
    addon.kill_and_wait_until_it_is_back();
    assert_eq!(addon.login_with("memcached_cases.py"), "hello");
    let connect = addon.pierhead.run(&["connect", &addon.name]);
    assert_eq!(connect.code, Some(1));
    assert!(
        connect.stderr.contains("no client program") && connect.stderr.contains("python-binary-memcached"),
        "{connect:?}"
    );
    addon.destroy();
}

#[test]
fn rabbitmq_keeps_its_durable_queues() {
    let addon = Addon::create("rabbitmq", "amqp", "pierhead/rabbitmq:3.10");
    addon.keeps_its_secret(999, "beam.smp");
    addon.mounted_at("/var/lib/rabbitmq");
    assert_eq!(addon.login_with("amqp_cases.py"), "hello");
    // AMQP 1.0 names no virtual host.
    assert_eq!(addon.login_with("amqp10_cases.py"), "hello");
    let rabbitmqctl = |args: &[&str]| docker(&[&["exec", &addon.name, "rabbitmqctl", "-q"], args].concat());
    let users = rabbitmqctl(&["list_users", "--no-table-headers"]);
    assert_eq!(users, format!("{}\t[policymaker]", addon.name), "and no guest");
    let limit = rabbitmqctl(&["eval", "vm_memory_monitor:get_vm_memory_high_watermark()."]);
    assert_eq!(limit, "{absolute,161061273}", "three fifths of the plan's 256 MiB");
    // On its loopback the server has its tools' ports, and Docker a resolver.
    let ports = docker(&["exec", &addon.name, "cat", "/proc/net/tcp", "/proc/net/tcp6"]);
    let ports = ports.lines().filter(|line| line.contains(" 0A ") && !line.contains("00007F:"));
    assert_eq!(ports.collect::<Vec<_>>().len(), 1, "the port of AMQP");
    addon.channel(
        "channel.queue_declare('kept', durable=True)\n\
         channel.basic_publish('', 'kept', b'42', pika.BasicProperties(delivery_mode=2))",
    );
    addon.pierhead.ok(&["restart", &addon.name]);
    addon.channel("assert channel.basic_get('kept')[2] == b'42'");
    addon.kill_and_wait_until_it_is_back();
    assert_eq!(addon.channel("print(channel.basic_get('kept', auto_ack=True)[2].decode())"), "42\n");
    let connect = addon.pierhead.run(&["connect", &addon.name]);
    assert_eq!(connect.code, Some(1));
    assert!(
        connect.stderr.contains("no client program") && connect.stderr.contains("rabbitmqctl list_queues"),
        "{connect:?}"
    );
    addon.destroy();
}
