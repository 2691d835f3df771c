"""What qpid-proton, AMQP 1.0, sees in each case, as one JSON object on stdout.

    amqp10_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

The cases and what they give are those of amqp_cases.py, but for `vhost`. TLS is not tried: it takes no name but that of the
host that it connects to.
"""

import hashlib
import json
import os
import sys

from proton import Message
from proton.utils import BlockingConnection

PAYLOAD = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
MESSAGES = 1_000
PATIENCE_S = 20


class Client:
    def __init__(self, user, password):
        self.connection = BlockingConnection(
            f"amqp://{HOST}:{PORT}", timeout=PATIENCE_S, user=user, password=password, allowed_mechs="PLAIN"
        )

    def publish(self, payloads):
        """To a queue that is made by this."""
        queue = "/queue/" + os.urandom(6).hex()
        sender = self.connection.create_sender(queue)
        for payload in payloads:
            sender.send(Message(payload, durable=True))
        return queue

    def received(self, queue, count):
        receiver = self.connection.create_receiver(queue, credit=100)
        found = []
        for _ in range(count):
            # The body is a view of what the message holds.
            message = receiver.receive(timeout=PATIENCE_S)
            found.append(bytes(message.body))
            receiver.accept()
        return found

    def there_and_back(self, payload):
        return self.received(self.publish([payload]), 1)[0]

    def close(self):
        self.connection.close()


def on_client(work):
    def run(user, password):
        client = Client(user, password)
        try:
            return work(client)
        finally:
            client.close()

    return run


def stream(client):
    queue = client.publish(f"{n:060}".encode() for n in range(MESSAGES))
    return sum(int(body) for body in client.received(queue, MESSAGES))


def many(*who):
    clients = [Client(*who) for _ in range(CONNECTIONS)]
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
    "many": many,
}


def attempt(work, *who):
    try:
        return {"ok": work(*who)}
    except Exception as error:  # whatever a person would see
        return {"text": f"{type(error).__name__}: {error}"}


_, HOST, PORT, name, password, *others = sys.argv[1:]
seen = {case: attempt(work, name, password) for case, work in CASES.items()}
seen["wrong"] = attempt(CASES["login"], name, "not the password")
for case, other in (pair.split("=") for pair in others):
    seen[case] = attempt(CASES["login"], other, password)
print(json.dumps(seen))
