//! RabbitMQ through the edge: AMQP 0-9-1 and 1.0.

use super::brokers::{Broker, Scene, ask};
use super::engine::PASSWORD;

pub const AMQP: Broker = Broker {
    protocol: "amqp",
    port: 5672,
    image: "pierhead/rabbitmq:3.10",
    args: |name| {
        let script = format!(
            "export RABBITMQ_DEFAULT_USER={name} RABBITMQ_DEFAULT_VHOST={name} RABBITMQ_DEFAULT_PASS='{PASSWORD}'
            exec docker-entrypoint.sh rabbitmq-server"
        );
        ["sh", "-c", &script].map(str::to_owned).to_vec()
    },
    // Answered by Connection.Open-Ok: the server does not wait for long for one that is not open.
    login: |name| {
        ([login_091(name, PASSWORD), tune_and_open(name)].concat(), b"\x01\0\0\0\0\0\x05\0\x0a\0\x29\0\xce")
    },
};

const HEADER_091: &[u8] = b"AMQP\0\0\x09\x01";
const HEADER_10: &[u8] = b"AMQP\x03\x01\0\0";
/// A client's property `capabilities`, that it wants to be told why a login has failed.
const TELL_ME: &[u8] = b"\x0ccapabilitiesF\0\0\0\x1f\x1cauthentication_failure_closet\x01";

fn login_091(user: &str, password: &str) -> Vec<u8> {
    [HEADER_091, &start_ok(TELL_ME, "PLAIN", &format!("\0{user}\0{password}"))].concat()
}

fn start_ok(properties: &[u8], mechanism: &str, response: &str) -> Vec<u8> {
    let long = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let short = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    let arguments = [long(properties), short(mechanism), long(response.as_bytes()), short("en_US")].concat();
    [b"\x01\0\0", &long(&[b"\0\x0a\0\x0b", &arguments[..]].concat())[..], b"\xce"].concat()
}

/// What comes behind a login, before it is asked for: 2047 channels, frames of 128 KiB, no heartbeats; the virtual host.
fn tune_and_open(vhost: &str) -> Vec<u8> {
    let tune_ok = b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0\xce";
    let len = vhost.len() as u8;
    let open = [b"\x01\0\0\0\0\0", &[len + 7][..], b"\0\x0a\0\x28", &[len], vhost.as_bytes(), b"\0\0\xce"];
    [&tune_ok[..], &open.concat()].concat()
}

/// A header and a sasl-init.
fn login_10(mechanism: &str, response: &str) -> Vec<u8> {
    let variable = |kind: u8, text: &str| [&[kind, text.len() as u8][..], text.as_bytes()].concat();
    let fields = [variable(0xa3, mechanism), variable(0xa0, response)].concat();
    let list = [&[0xc0, fields.len() as u8 + 1, 2][..], &fields].concat();
    let body = [b"\x02\x01\0\0\0\x53\x41", &list[..]].concat();
    [HEADER_10, &(body.len() as u32 + 4).to_be_bytes(), &body].concat()
}

#[test]
fn amqp_clients_see_what_they_see_directly_or_read_why_not() {
    let scene = AMQP.scene();
    before_a_login_the_edge_speaks_as_rabbitmq_does(&scene);
    let before = scene.refused("unknown_name");
    let words = [
        // pika puts a backslash before the apostrophe that follows.
        "no addon named \"NAME\"; log in as the addon",
        "addon \"NAME\" is stopped; \"pierhead start NAME\" starts it",
        "addon \"NAME\" is not reachable (connection refused); retry in a few seconds",
        "has too many connections",
    ];
    let drivers = [
        ("pika", "amqp_cases.py", words),
        ("aio-pika", "amqp_cases.py", words),
        ("py-amqp", "amqp_cases.py", words),
        ("py-amqp-amqplain", "amqp_cases.py", words),
        ("amqplib", "amqp_cases.js", words),
        ("rhea", "amqp_cases.js", words),
        ("proton", "amqp10_cases.py", words),
    ];
    scene.same_as_directly(&drivers, &[("wrong", None), ("vhost", None)]);
    assert_eq!(scene.refused("unknown_name"), before + 7);
    scene.settle();
}

/// But for what is listed: the same answers, and a close where the server closes.
fn before_a_login_the_edge_speaks_as_rabbitmq_does(scene: &Scene) {
    let name = &scene.server.name;
    let (server, edge) = (scene.server.address().unwrap(), scene.edge());
    let plain = format!("\0{name}\0{PASSWORD}");
    let alike = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"AMQP\0\0\x0a\0".to_vec(),
        b"AMQP\x03\x01\0\x01".to_vec(),
        // 1.0 without SASL, and in TLS.
        b"AMQP\0\x01\0\0".to_vec(),
        b"AMQP\x02\x01\0\0".to_vec(),
        HEADER_091[..5].to_vec(),
        HEADER_091.to_vec(),
        HEADER_10.to_vec(),
        login_091(name, PASSWORD),
        login_091(name, "wrong"),
        // A client that does not want to be told is not.
        [HEADER_091, &start_ok(b"", "PLAIN", &format!("\0{name}\0wrong"))].concat(),
        [b"AMQP\x01\x01\0\x09", &start_ok(TELL_ME, "PLAIN", &plain)[..]].concat(),
        // Everything before it was asked for.
        [login_091(name, PASSWORD), tune_and_open(name)].concat(),
        [login_091(name, PASSWORD), tune_and_open("nowhere")].concat(),
        login_10("PLAIN", &plain),
        login_10("PLAIN", &format!("\0{name}\0wrong")),
        // The layer above, before the outcome.
        [&login_10("PLAIN", &plain)[..], b"AMQP\0\x01\0\0"].concat(),
    ];
    std::thread::scope(|scope| {
        for said in &alike {
            scope.spawn(move || {
                let (through, directly) = (ask(edge, said), ask(server, said));
                assert_eq!(without_greeting(through), without_greeting(directly), "{said:?}");
            });
        }
    });
    // The server closes after a while, without a word.
    for (said, text) in [
        (start_ok(b"", "EXTERNAL", ""), "COMMAND_INVALID - unknown authentication mechanism \"EXTERNAL\""),
        (start_ok(b"", "PLAIN", "blog"), "SYNTAX_ERROR - invalid PLAIN response"),
        (start_ok(b"", "PLAIN", "\0Blog\0"), "ACCESS_REFUSED - no addon can be named \"Blog\""),
        (b"\x08\0\0\0\0\0\0\xce".to_vec(), "FRAME_ERROR - unexpected frame type 8"),
        (b"\x01\0\x01\0\0\0\0\xce".to_vec(), "FRAME_ERROR - unexpected frame on channel 1"),
    ] {
        let (answer, ended) = ask(edge, &[HEADER_091, &said].concat());
        let (answer, _) = without_greeting((answer, ended));
        assert!(ended && String::from_utf8_lossy(&answer).contains(text), "{answer:?}");
    }
    let (answer, ended) = without_greeting(ask(edge, &login_10("EXTERNAL", "")));
    assert_eq!((answer.last(), ended), (Some(&1), true), "an outcome, and its code");
}

/// What the greeting tells of a server is the edge's. It is Connection.Start, or a header and sasl-mechanisms.
fn without_greeting((mut answer, ended): (Vec<u8>, bool)) -> (Vec<u8>, bool) {
    let len = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().unwrap()) as usize;
    let greeting = match answer[..] {
        [1, ..] => len(3) + 8,
        [b'A', b'M', b'Q', b'P', 3, _, _, _, _, ..] => HEADER_10.len() + len(HEADER_10.len()),
        _ => 0,
    };
    answer.drain(..greeting);
    (answer, ended)
}
