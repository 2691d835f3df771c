//! memcached through the edge: the binary protocol with SASL.

use super::brokers::{Broker, Scene, ask};
use super::engine::PASSWORD;

const MEMCACHED: Broker = Broker {
    protocol: "memcached",
    port: 11211,
    image: "pierhead/memcached:1.6",
    args: |name| {
        let script = format!(
            "mkdir /tmp/sasl && echo 'mech_list: plain' >/tmp/sasl/memcached.conf && echo '{name}:{PASSWORD}' >/tmp/users && \
             SASL_CONF_PATH=/tmp/sasl MEMCACHED_SASL_PWDB=/tmp/users exec docker-entrypoint.sh -S"
        );
        ["sh", "-c", &script].map(str::to_owned).to_vec()
    },
    login: |name| (auth(name, PASSWORD), b"Authenticated"),
};

fn request(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let (key_len, body_len) = ((key.len() as u16).to_be_bytes(), (key.len() + value.len()) as u32);
    [&[0x80, opcode][..], &key_len, &[0; 4], &body_len.to_be_bytes(), b"opaq\0\0\0\0\0\0\0\0", key, value]
        .concat()
}

fn auth(user: &str, password: &str) -> Vec<u8> {
    request(0x21, b"PLAIN", format!("\0{user}\0{password}").as_bytes())
}

#[test]
fn memcached_clients_see_what_they_see_directly_or_read_why_not() {
    let scene = MEMCACHED.scene();
    before_a_login_the_edge_speaks_as_the_server_does(&scene);
    let before = scene.refused("unknown_name");
    // memjs and libmemcached look at the status and not at the text; libmemcached knows few of them.
    let unavailable = "UNKNOWN READ FAILURE";
    let drivers = [
        (
            "bmemcached",
            "memcached_cases.py",
            [
                "Code: 32 Message: b'Auth failure. No addon named \"NAME\": log in with the addon\\'s name'",
                "Code: 134 Message: b'addon \"NAME\" is stopped, \"pierhead start NAME\" starts it'",
                "Code: 134 Message: b'addon \"NAME\" is not reachable (connection refused), retry in a few seconds",
                "Code: 133 Message: b'too many connections, close some that are not needed and retry'",
            ],
        ),
        (
            "memjs",
            "memcached_cases.js",
            [
                "authentication failed",
                "MemJS SET: Temporary failure",
                "MemJS SET: Temporary failure",
                "MemJS SET: Busy",
            ],
        ),
        ("memccp", "memccp_cases.py", ["AUTHENTICATION FAILURE", unavailable, unavailable, unavailable]),
    ];
    scene.same_as_directly(&drivers, &[("wrong", None)]);
    assert_eq!(scene.refused("unknown_name"), before + 3);
    scene.settle();
}

/// But for what is listed: the same answers, and a close where the server closes.
fn before_a_login_the_edge_speaks_as_the_server_does(scene: &Scene) {
    let name = &scene.server.name;
    let (server, edge) = (scene.server.address().unwrap(), scene.edge());
    let credentials = format!("\0{name}\0{PASSWORD}");
    let credentials = credentials.as_bytes();
    let alike = [
        [request(0x20, b"", b""), request(0x0b, b"", b"")].concat(),
        [request(0x20, b"", b""), auth(name, PASSWORD), request(0x0a, b"", b"")].concat(),
        request(0x21, b"plain", &[name.as_bytes(), credentials].concat()),
        auth(name, "wrong"),
        [auth(name, "wrong"), auth(name, PASSWORD)].concat(),
        [request(0x21, b"PLAIN", b""), request(0x22, b"PLAIN", credentials), request(0x0a, b"", b"")]
            .concat(),
        [request(0x21, b"PLAIN", b""), request(0x22, b"PLAIN", b"\0x\0y")].concat()[..29].to_vec(),
        request(0x20, b"x", b""),
        request(0x0b, b"", b"x"),
        request(0x21, b"", credentials),
        b"\0".repeat(24),
    ];
    std::thread::scope(|scope| {
        for said in &alike {
            scope.spawn(move || assert_eq!(ask(edge, said), ask(server, said), "{said:?}"));
        }
    });
    // The same status, and the edge says why. It closes what can be no login; the server waits for another try.
    for (said, closes, why) in [
        (request(0x0a, b"", b""), true, "Auth failure. Request 0x0a needs a login by SASL PLAIN"),
        (request(0x21, b"CRAM-MD5", b""), true, "Auth failure. Only SASL PLAIN is taken"),
        (
            request(0x21, b"PLAIN", b"blog"),
            true,
            "Auth failure. SASL PLAIN is a NUL, a user, a NUL and a password",
        ),
        (
            request(0x21, b"PLAIN", b"\0\0pw"),
            false,
            "Auth failure. The user is empty: log in with the addon's name",
        ),
    ] {
        let (answer, ended) = ask(edge, &said);
        assert_eq!((ended, &answer[24..]), (closes, why.as_bytes()), "{said:?}");
        assert_eq!(ask(server, &said).0[..8], answer[..8], "{said:?}");
    }
    // The server, which speaks one protocol only with SASL, closes; or waits for the rest of a request.
    let (answer, ended) = ask(edge, b"get x\r\n");
    assert!(ended && answer.starts_with(b"CLIENT_ERROR unauthenticated: "));
}
