//! The promise of `tests/archives.rs` for RabbitMQ: queues, exchanges, bindings and policies go out and come in again, under
//! another addon's name; users and messages do not; and what cannot be taken in changes nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::fs;

use control::{Pierhead, docker, further_port};

const KIND: &str = "[[listener]]\ndialect = \"amqp\"\nlisten = [\"127.0.0.1:PORT\"]\n[plan.broker]\nmemory = \"512MiB\"\ncpus = 1.0\n\
    [kind.rabbitmq]\nimage = \"pierhead/rabbitmq:3.10\"\nplan = \"broker\"\n";

/// Everything that an addon's virtual host has, but in whose name.
fn has(name: &str) -> String {
    let list = |what: &[&str]| {
        let command = ["exec", name, "rabbitmqctl", "-q", "--no-table-headers"];
        let mut lines: Vec<_> = docker(&[&command, &what[..1], &["-p", name], &what[1..]].concat())
            .lines()
            .map(|line| line.trim().to_owned())
            .collect();
        lines.sort();
        lines.join("\n").replace(name, "NAME")
    };
    [
        list(&["list_queues", "name", "durable", "arguments"]),
        list(&["list_exchanges", "name", "type"]),
        list(&["list_bindings", "source_name", "destination_name", "routing_key"]),
        list(&["list_policies"]),
    ]
    .join("\n--\n")
}

#[test]
fn definitions_go_out_and_come_in_again() {
    let pierhead = Pierhead::start_with(&KIND.replace("PORT", &further_port().to_string()));
    let (one, other) = (pierhead.name("one"), pierhead.name("other"));
    for name in [&one, &other] {
        pierhead.ok(&["create", "rabbitmq", name]);
    }
    let file = |name: &str| pierhead.dir.path().join(name);
    let definitions = serde_json::json!({
        "queues": [
            { "name": "orders", "vhost": one, "durable": true, "auto_delete": false, "arguments": { "x-max-length": 100 } },
            { "name": "é \u{1f600}", "vhost": one, "durable": true, "auto_delete": false, "arguments": {} },
        ],
        "exchanges": [{ "name": "shop", "vhost": one, "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {} }],
        "bindings": [{ "source": "shop", "vhost": one, "destination": "orders", "destination_type": "queue", "routing_key": "order.#", "arguments": {} }],
        "policies": [{ "name": "short", "vhost": one, "pattern": "^orders$", "apply-to": "queues", "priority": 1, "definition": { "message-ttl": 60000 } }],
    });
    fs::write(file("made.json"), definitions.to_string()).unwrap();
    docker(&["cp", file("made.json").to_str().unwrap(), &format!("{one}:/tmp/made.json")]);
    docker(&["exec", &one, "rabbitmqctl", "-q", "import_definitions", "/tmp/made.json"]);
    let before = has(&one);
    assert!(before.contains("orders") && before.contains("order.#") && before.contains("short"), "{before}");

    let archive = file("one.json");
    pierhead.ok(&["export", &one, "--output", archive.to_str().unwrap()]);
    let text = fs::read_to_string(&archive).unwrap();
    assert!(
        !text.contains("password") && !text.contains("\"users\"") && !text.contains("permissions"),
        "{text}"
    );
    pierhead.ok(&["import", &other, archive.to_str().unwrap()]);
    assert_eq!(has(&other), before);
    let backup = pierhead.json(&["backup", &one]);
    let (id, new) = (backup["id"].as_str().unwrap(), pierhead.name("new"));
    pierhead.ok(&["restore", &one, "--from", id, "--as", &new]);
    assert_eq!(has(&new), before);
    pierhead.ok(&["destroy", &new, "--force"]);

    // No JSON, cut off, of another engine; and one that the server refuses in the middle.
    let odd =
        text.replace("\"x-max-length\":100", "\"x-max-length\":\"many\"").replace("\"orders\"", "\"late\"");
    assert_ne!(odd, text);
    for (content, expected) in [
        ("", "this is no whole"),
        ("PGDMP", "this is no whole"),
        (&text[..text.len() / 2], "this is no whole"),
        ("{\"tables\": []}", "nothing was changed"),
        (odd.as_str(), "its data are as they were"),
    ] {
        fs::write(file("bad.json"), content).unwrap();
        let ended = pierhead.run(&["import", &other, file("bad.json").to_str().unwrap()]);
        assert!(ended.code == Some(2) && ended.stderr.contains(expected), "{expected}: {ended:?}");
        assert_eq!(has(&other), before, "{expected}");
    }
    let vhosts = docker(&["exec", &other, "rabbitmqctl", "-q", "list_vhosts", "--no-table-headers"]);
    assert!(!vhosts.contains("trial"), "{vhosts}");
    for name in [&one, &other] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
}
