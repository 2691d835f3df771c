//! NATS through the edge.

use super::brokers::{Broker, Scene, ask};
use super::engine::PASSWORD;

const NATS: Broker = Broker {
    protocol: "nats",
    port: 4222,
    image: "pierhead/nats:2.9",
    args: |name| ["--user", name, "--pass", PASSWORD, "-js", "-sd", "/data"].map(str::to_owned).to_vec(),
    login: |name| (connect(name, PASSWORD), b"PONG\r\n"),
};

fn connect(name: &str, password: &str) -> Vec<u8> {
    format!("CONNECT {{\"user\":\"{name}\",\"pass\":\"{password}\",\"verbose\":false}}\r\nPING\r\n")
        .into_bytes()
}

#[test]
fn nats_clients_see_what_they_see_directly_or_read_why_not() {
    let scene = NATS.scene();
    before_a_login_the_edge_speaks_as_the_server_does(&scene);
    let before = scene.refused("unknown_name");
    let words = [
        "Authorization Violation: no addon named \"NAME\"; log in as the addon: nats://",
        "addon \"NAME\" is stopped; \"pierhead start NAME\" starts it",
        "addon \"NAME\" is not reachable (connection refused); retry in a few seconds",
        "maximum connections exceeded",
    ];
    let drivers = [
        ("nats-py", "nats_cases.py", words),
        ("nats.js", "nats_cases.js", words),
        ("libnats", "nats_c_cases.py", words),
    ];
    let refused = [
        ("wrong", None),
        ("token", None),
        ("signed", Some("a login by nkey, JWT or credentials file signs a number")),
    ];
    scene.same_as_directly(&drivers, &refused);
    assert_eq!(scene.refused("unknown_name"), before + 4, "three names, and a login by nkey");
    scene.settle();
}

/// But for what is listed: the same answers, and a close where the server closes.
fn before_a_login_the_edge_speaks_as_the_server_does(scene: &Scene) {
    let name = &scene.server.name;
    let (server, edge) = (scene.server.address().unwrap(), scene.edge());
    let user = |rest: &str| format!("{{\"user\":\"{name}\",\"pass\":\"{PASSWORD}\"{rest}}}");
    let alike = [
        "PING\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}".to_owned(),
        "\r\n".to_owned(),
        "CX".to_owned(),
        "CONNEXT {}\r\n".to_owned(),
        format!("CONNECT{}\r\nPING\r\n", user("")),
        format!("connect \t {}\nPING\r\n", user("")),
        format!("CONNECT {}\r\nPING\r\n", user(",\"verbose\":true")),
        format!("CONNECT {}\r\nPING\r\n", user(",\"verbose\":1")),
        format!("CONNECT {}\r\nPING\r\n", user(",\"USER\":null,\"a\":[[{}]]")),
        format!("CONNECT {}\r\nPING\r\n", user(&format!(",\"u\u{17f}er\":\"x\",\"uSer\":\"{name}\""))),
        format!("CONNECT {}\r\nPING\r\n", user(&format!(",\"name\":\"{}\"", "x".repeat(5000)))),
        format!("CONNECT {{\"user\":\"{name}\",\"pass\":\"wrong\"}}\r\nPING\r\n"),
        format!("CONNECT {{\"user\":\"{name}\"}}\r\nSUB a 1\r\n"),
    ];
    std::thread::scope(|scope| {
        for said in &alike {
            scope.spawn(move || {
                let without_info = |at| {
                    let (answer, ended) = ask(at, said.as_bytes());
                    let answer = String::from_utf8(answer).unwrap();
                    assert!(answer.starts_with("INFO {"), "{said:?}: {answer}");
                    (answer.split_once("\r\n").unwrap().1.to_owned(), ended)
                };
                assert_eq!(without_info(edge), without_info(server), "{said:?}");
            });
        }
    });
    // The server closes without a word.
    let (answer, ended) = ask(edge, b"CONNECT {\"user\":\r\n");
    assert!(
        ended
            && String::from_utf8_lossy(&answer)
                .contains("\r\n-ERR 'Parser Error: no JSON object behind CONNECT")
    );
    // The server says no more than `Authorization Violation`.
    for (json, why) in [
        ("{}", "neither a user nor a token"),
        ("{\"nkey\":\"UA\",\"sig\":\"\"}", "signs a number that the server makes up"),
        (
            "{\"auth_token\":\"secret\"}",
            "the token does not begin with the name of an addon and a colon: NAME:SECRET",
        ),
        ("{\"user\":\"Blog'\"}", "no addon named \"Blog`\" (a name has only lower-case letters"),
    ] {
        let (answer, ended) = ask(edge, format!("CONNECT {json}\r\nPING\r\n").as_bytes());
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            ended && answer.contains("\r\n-ERR 'Authorization Violation: ") && answer.contains(why),
            "{answer}"
        );
    }
}
