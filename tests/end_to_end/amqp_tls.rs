//! AMQP in TLS, passed through.

use super::amqp::AMQP;
use super::brokers::Broker;

const AMQPS: Broker = Broker {
    args: |name| {
        let script = format!(
            "printf 'listeners.ssl.default = 5671\\nssl_options.certfile = /tls/server.crt\\nssl_options.keyfile = /tls/server.key\\n' \
             >/etc/rabbitmq/conf.d/20-tls.conf\n{}",
            (AMQP.args)(name)[2]
        );
        ["sh", "-c", &script].map(str::to_owned).to_vec()
    },
    ..AMQP
};

#[test]
fn amqps_leads_by_host_name_on_the_port_of_amqp() {
    let drivers = [
        ("pika", "amqp_cases.py"),
        ("aio-pika", "amqp_cases.py"),
        ("py-amqp", "amqp_cases.py"),
        ("amqplib", "amqp_cases.js"),
        ("rhea", "amqp_cases.js"),
    ];
    // One for each of login, bulk, stream, kept and wrong, and fifty.
    AMQPS.leads_by_host_name(5671, &drivers, 55);
}
