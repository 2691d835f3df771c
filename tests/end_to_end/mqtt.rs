//! MQTT through the edge: 3.1.1 and 5.

use super::brokers::{Broker, Scene, ask};
use super::engine::PASSWORD;

pub const MQTT: Broker = Broker {
    protocol: "mqtt",
    port: 1883,
    image: "pierhead/mosquitto:2.0",
    args: |name| {
        let script = format!(
            "cd /tmp && printf 'listener 1883\\nallow_anonymous false\\npassword_file /tmp/users\\nmax_inflight_messages 0\\n' >conf \
             && mosquitto_passwd -c -b users {name} '{PASSWORD}' && chown mosquitto users && exec mosquitto -c conf"
        );
        ["sh", "-c", &script].map(str::to_owned).to_vec()
    },
    login: |name| (connect(4, name, PASSWORD), b"\x20\x02\0\0"),
};

fn connect(version: u8, user: &str, password: &str) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let properties: &[u8] = if version == 5 { b"\0" } else { b"" };
    let head = [&b"\0\x04MQTT"[..], &[version, 0xc2, 0, 60], properties].concat();
    let body = [head, string(""), string(user), string(password)].concat();
    [vec![0x10, body.len() as u8], body].concat()
}

#[test]
fn mqtt_clients_see_what_they_see_directly_or_read_why_not() {
    let scene = MQTT.scene();
    before_a_login_the_edge_speaks_as_mosquitto_does(&scene);
    let before = scene.refused("unknown_name");
    // 3.1.1 has a number for it and no text; of 5 the programs of mosquitto show the number's words alone.
    let drivers = [
        (
            "paho-3.1.1",
            "mqtt_cases.py",
            ["Not authorized", "Server unavailable", "Server unavailable", "Server unavailable"],
        ),
        (
            "paho-5",
            "mqtt_cases.py",
            [
                "Not authorized: no addon named \"NAME\": log in as the addon, mqtt://",
                "Server unavailable: addon \"NAME\" is stopped, \"pierhead start NAME\" starts it",
                "Server unavailable: addon \"NAME\" is not reachable (connection refused), retry in a few seconds",
                "Quota exceeded: too many connections, close some that are not needed and retry",
            ],
        ),
        (
            "mqtt.js-3.1.1",
            "mqtt_cases.js",
            [
                "Connection refused: Not authorized",
                "Connection refused: Server unavailable",
                "Connection refused: Server unavailable",
                "Connection refused: Server unavailable",
            ],
        ),
        (
            "mqtt.js-5",
            "mqtt_cases.js",
            [
                "Connection refused: Not authorized: no addon named \"NAME\": log in as the addon, mqtt://",
                "Server unavailable: addon \"NAME\" is stopped, \"pierhead start NAME\" starts it",
                "Server unavailable: addon \"NAME\" is not reachable (connection refused), retry in a few seconds",
                "Quota exceeded: too many connections, close some that are not needed and retry",
            ],
        ),
        (
            "mosquitto_pub-3.1.1",
            "mosquitto_cases.py",
            [
                "Connection Refused: not authorised.",
                "Connection Refused: broker unavailable.",
                "Connection Refused: broker unavailable.",
                "Connection Refused: broker unavailable.",
            ],
        ),
        (
            "mosquitto_pub-5",
            "mosquitto_cases.py",
            ["Not authorized", "Server unavailable", "Server unavailable", "Quota exceeded"],
        ),
    ];
    scene.same_as_directly(&drivers, &[("wrong", None)]);
    assert_eq!(scene.refused("unknown_name"), before + 6);
    scene.settle();
}

/// But for what is listed: the same answers, and a close where mosquitto closes.
fn before_a_login_the_edge_speaks_as_mosquitto_does(scene: &Scene) {
    let name = &scene.server.name;
    let (server, edge) = (scene.server.address().unwrap(), scene.edge());
    let whole = connect(4, name, PASSWORD);
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let alike = [
        whole.clone(),
        // A subscription and a ping before the answer.
        [&whole[..], b"\x82\x06\0\x01\0\x01a\0\xc0\0"].concat(),
        connect(4, name, "wrong"),
        connect(5, name, "wrong"),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\xc0\0".to_vec(),
        b"\x30\x05\0\x01axx".to_vec(),
        b"\x10\xff\xff\xff\xff\x01".to_vec(),
        changed(4, b'X'),
        // Versions that nobody speaks.
        changed(8, 0),
        changed(8, 6),
        // A reserved flag; a user that is not there; bytes behind the end.
        changed(9, 0xc3),
        changed(1, whole[1] - 1),
        b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02id".to_vec(),
    ];
    std::thread::scope(|scope| {
        for said in &alike {
            scope.spawn(move || assert_eq!(ask(edge, said), ask(server, said), "{said:?}"));
        }
    });
    // mosquitto gives MQTT 5 the code alone.
    let (answer, ended) = ask(edge, b"\x10\x0f\0\x04MQTT\x05\x02\0\x3c\0\0\x02id");
    assert!(
        ended
            && answer[3] == 0x87
            && answer.ends_with(b"no user name: log in as the addon, mqtt://NAME:PASSWORD@HOST")
    );
}
