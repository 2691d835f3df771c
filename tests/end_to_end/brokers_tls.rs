//! A broker's protocol in TLS, passed through: clients verify the certificate of the container that they have named, on a
//! port that serves those without TLS too.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;

use serde_json::Value;

use super::brokers::{Broker, UNKNOWN};
use super::certificate::{Certificate, ZONE};
use super::clients::script;
use super::engine::PASSWORD;
use super::stage::{HOST, Stage};
use crate::control::free_ports;

impl Broker {
    /// Lets each driver, a name and a script, do everything in TLS through the edge and directly, at this port of the
    /// container. `connections` is how many the edge has to lead by host name for each of them.
    pub fn leads_by_host_name(&self, tls_port: u16, drivers: &[(&str, &str)], connections: u64) {
        let port = free_ports(RandomState::new().hash_one(self.protocol) as u16, 1);
        let stage = Stage::new(&format!(
            "[[listener]]\ndialect = [\"{}\", \"tls\"]\nzone = \"{ZONE}\"\nlisten = [\"{HOST}:{port}\"]\n",
            self.protocol
        ));
        let certificate = Certificate::new(&self.name("tls"));
        let label = format!("pierhead.tls-port={tls_port}");
        let server = self.start("tls", &["-v", &certificate.volume(), "-l", &label]);
        server.wait_until_up();
        let edge = SocketAddr::new(HOST.parse().unwrap(), port);
        let direct = SocketAddr::new(server.address().unwrap().ip(), tls_port);
        self.wait_until_routed(edge, &server.name);
        let cases = |driver: &str, source: &str, at: SocketAddr| {
            let (host, port) = (at.ip().to_string(), at.port().to_string());
            let client = script(source).env("PIERHEAD_TEST_ZONE", ZONE);
            let client = client.env("PIERHEAD_TEST_CA", &certificate.authority());
            let unknown = format!("unknown={UNKNOWN}");
            client.args([driver, &host, &port, &server.name, PASSWORD, &unknown]).json()
        };
        for (driver, source) in drivers {
            let (through, directly) = (cases(driver, source, edge), cases(driver, source, direct));
            for (case, seen) in directly.as_object().unwrap().iter().filter(|(case, _)| *case != "unknown") {
                assert_eq!(&through[case], seen, "{driver}, {case}");
                let fails = ["wrong", "vhost"].contains(&case.as_str());
                assert_eq!(seen["ok"].is_null(), fails, "{driver}, {case}: {seen}");
            }
            assert!(alert(&through["unknown"]).contains("unrecognized name"), "{driver}: {through}");
        }
        let routed = |protocol: &str, method: &str| {
            let labels = [format!("protocol=\"{protocol}\""), format!("method=\"{method}\"")];
            stage.metric("pierhead_routed_total", &[&labels[0], &labels[1]])
        };
        assert!(routed("tls", "sni") >= drivers.len() as u64 * connections, "{}", routed("tls", "sni"));
        assert!(routed(self.protocol, "login") >= 1);
        stage.settle_addon(&server.name);
    }
}

/// The alert in the words of a driver.
fn alert(seen: &Value) -> String {
    seen["text"].as_str().unwrap_or_default().to_lowercase().replace('_', " ")
}
