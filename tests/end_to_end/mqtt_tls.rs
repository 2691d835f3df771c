//! MQTT in TLS, passed through: clients verify the certificate of the container that they have named, on a port that serves
//! those without TLS too.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;

use serde_json::Value;

use super::brokers::{Broker, UNKNOWN};
use super::certificate::{Certificate, ZONE};
use super::clients::script;
use super::engine::PASSWORD;
use super::mqtt::MQTT;
use super::stage::{HOST, Stage};
use crate::control::free_ports;

const MQTTS: Broker = Broker {
    args: |name| {
        // The broker gives up root before it reads its key.
        let script = format!(
            "cd /tmp && cp /tls/server.* . && printf 'allow_anonymous false\\npassword_file /tmp/users\\nmax_inflight_messages 0\\n\
             listener 1883\\nlistener 8883\\ncertfile /tmp/server.crt\\nkeyfile /tmp/server.key\\n' >conf \
             && mosquitto_passwd -c -b users {name} '{PASSWORD}' && chown mosquitto users server.key && exec mosquitto -c conf"
        );
        ["sh", "-c", &script].map(str::to_owned).to_vec()
    },
    ..MQTT
};

#[test]
fn mqtts_leads_by_host_name_on_the_port_of_mqtt() {
    let port = free_ports(RandomState::new().hash_one("mqtts") as u16, 1);
    let stage = Stage::new(&format!(
        "[[listener]]\ndialect = [\"mqtt\", \"tls\"]\nzone = \"{ZONE}\"\nlisten = [\"{HOST}:{port}\"]\n"
    ));
    let certificate = Certificate::new(&MQTTS.name("tls"));
    let server = MQTTS.start("tls", &["-v", &certificate.volume(), "-l", "pierhead.tls-port=8883"]);
    server.wait_until_up();
    let (edge, direct) =
        (SocketAddr::new(HOST.parse().unwrap(), port), SocketAddr::new(server.address().unwrap().ip(), 8883));
    MQTTS.wait_until_routed(edge, &server.name);
    let cases = |driver: &str, source: &str, at: SocketAddr| {
        let (host, port) = (at.ip().to_string(), at.port().to_string());
        let client = script(source).env("PIERHEAD_TEST_ZONE", ZONE);
        let client = client.env("PIERHEAD_TEST_CA", &certificate.authority());
        let unknown = format!("unknown={UNKNOWN}");
        client.args([driver, &host, &port, &server.name, PASSWORD, &unknown]).json()
    };
    for (driver, source) in [
        ("paho-3.1.1", "mqtt_cases.py"),
        ("paho-5", "mqtt_cases.py"),
        ("mqtt.js-3.1.1", "mqtt_cases.js"),
        ("mqtt.js-5", "mqtt_cases.js"),
    ] {
        let (through, directly) = (cases(driver, source, edge), cases(driver, source, direct));
        for case in ["login", "bulk", "stream", "will", "many", "wrong"] {
            assert_eq!(through[case], directly[case], "{driver}, {case}");
            assert_eq!(through[case]["ok"].is_null(), case == "wrong", "{driver}, {case}: {through}");
        }
        assert!(alert(&through["unknown"]).contains("unrecognized name"), "{driver}: {through}");
    }
    let routed = |protocol: &str, method: &str| {
        let labels = [format!("protocol=\"{protocol}\""), format!("method=\"{method}\"")];
        stage.metric("pierhead_routed_total", &[&labels[0], &labels[1]])
    };
    // One connection for each of login, bulk, stream, will twice, and wrong, and fifty.
    assert!(routed("tls", "sni") >= 4 * 55, "{}", routed("tls", "sni"));
    assert!(routed("mqtt", "login") >= 1);
    stage.settle_addon(&server.name);
}

/// The alert in the words of a driver.
fn alert(seen: &Value) -> String {
    seen["text"].as_str().unwrap_or_default().to_lowercase().replace('_', " ")
}
