//! MQTT in TLS, passed through.

use super::brokers::Broker;
use super::engine::PASSWORD;
use super::mqtt::MQTT;

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
    let drivers = [
        ("paho-3.1.1", "mqtt_cases.py"),
        ("paho-5", "mqtt_cases.py"),
        ("mqtt.js-3.1.1", "mqtt_cases.js"),
        ("mqtt.js-5", "mqtt_cases.js"),
        ("mosquitto_pub-3.1.1", "mosquitto_cases.py"),
        ("mosquitto_pub-5", "mosquitto_cases.py"),
    ];
    // One for each of login, bulk, stream, will twice, and wrong, and fifty; mosquitto's programs take two for some.
    MQTTS.leads_by_host_name(8883, &drivers, 55);
}
