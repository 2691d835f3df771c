"""What paho-mqtt sees in each case, as one JSON object on stdout.

    mqtt_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

DRIVER: paho-3.1.1, paho-5. Cases: login (a message to oneself), bulk (a large one), stream (of many), will (of a client
that is cut off), many (connections at once), wrong (password), and for each CASE the login of OTHER_NAME. What a case
gives is {"ok": VALUE}, or {"text": WHAT A PERSON SEES}. With PIERHEAD_TEST_ZONE, in TLS: NAME is the host NAME.ZONE at HOST, whose
certificate is verified by the one in the file PIERHEAD_TEST_CA.
"""

import hashlib
import json
import os
import queue
import socket
import sys

import paho.mqtt.client as mqtt

PAYLOAD = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
MESSAGES = 2_000
PATIENCE_S = 20
ZONE = os.environ.get("PIERHEAD_TEST_ZONE")


class Refused(Exception):
    pass


class Client:
    def __init__(self, user, password, will=None):
        self.inbox, self.answer = queue.Queue(), queue.Queue()
        version = mqtt.MQTTv5 if VERSION == "5" else mqtt.MQTTv311
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version)
        self.client.max_inflight_messages_set(MESSAGES)
        self.client.username_pw_set(user, password)
        if will:
            self.client.will_set(will, "gone", qos=1)
        self.client.on_connect = lambda client, data, flags, code, properties: self.answer.put((code, properties))
        # A server that closes without a word.
        self.client.on_disconnect = lambda client, data, flags, code, properties: self.answer.put((code, None))
        self.client.on_subscribe = lambda *_: self.answer.put(None)
        self.client.on_message = lambda client, data, message: self.inbox.put(bytes(message.payload))
        if ZONE:
            self.client.tls_set(os.environ["PIERHEAD_TEST_CA"])
        self.client.connect(f"{user}.{ZONE}" if ZONE else HOST, PORT)
        self.client.loop_start()
        code, properties = self.answer.get(timeout=PATIENCE_S)
        if code.is_failure:
            self.close()
            reason = getattr(properties, "ReasonString", None)
            raise Refused(f"{code}: {reason}" if reason else str(code))

    def subscribe(self, topic):
        self.client.subscribe(topic, qos=1)
        self.answer.get(timeout=PATIENCE_S)

    def publish(self, topic, payload):
        self.client.publish(topic, payload, qos=1)

    def received(self):
        return self.inbox.get(timeout=PATIENCE_S)

    def there_and_back(self, payload):
        topic = "py/" + os.urandom(6).hex()
        self.subscribe(topic)
        self.publish(topic, payload)
        return self.received()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def on_client(work):
    def run(*who):
        client = Client(*who)
        try:
            return work(client)
        finally:
            client.close()

    return run


def stream(client):
    topic = "py/" + os.urandom(6).hex()
    client.subscribe(topic)
    for n in range(MESSAGES):
        client.publish(topic, f"{n:060}")
    return sum(int(client.received()) for _ in range(MESSAGES))


def will(user, password):
    topic = "py/" + os.urandom(6).hex()
    heir, mortal = Client(user, password), Client(user, password, topic)
    heir.subscribe(topic)
    # No good-bye.
    mortal.client.loop_stop()
    mortal.client.socket().close()
    try:
        return heir.received().decode()
    finally:
        heir.close()


def many(user, password):
    clients = [Client(user, password) for _ in range(CONNECTIONS)]
    back = [client.there_and_back(b"here") for client in clients]
    for client in clients:
        client.close()
    return sum(answer == b"here" for answer in back)


def digest(payload):
    return f"{len(payload)} {hashlib.sha256(payload).hexdigest()}"


CASES = {
    "login": on_client(lambda client: client.there_and_back(b"hello").decode()),
    "bulk": on_client(lambda client: digest(client.there_and_back(PAYLOAD))),
    "stream": on_client(stream),
    "will": will,
    "many": many,
}


def attempt(work, *who):
    try:
        return {"ok": work(*who)}
    except Exception as error:  # whatever a person would see
        return {"text": f"{type(error).__name__}: {error}"}


driver, HOST, port, name, password, *others = sys.argv[1:]
PORT, VERSION = int(port), driver.rsplit("-", 1)[1]
# Nobody resolves the names of the zone.
connect_to = socket.create_connection
socket.create_connection = lambda at, *rest, **more: connect_to((HOST, PORT), *rest, **more)
seen = {case: attempt(work, name, password) for case, work in CASES.items()}
seen["wrong"] = attempt(CASES["login"], name, "not the password")
for case, other in (pair.split("=") for pair in others):
    seen[case] = attempt(CASES["login"], other, password)
print(json.dumps(seen))
