"""What a Python driver of AMQP 0-9-1 sees in each case, as one JSON object on stdout.

    amqp_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

DRIVER: pika, aio-pika, py-amqp (PLAIN), py-amqp-amqplain. Cases: login (a message to oneself), bulk (a large one), stream (of
many), kept (persistent, confirmed, in a durable queue), many (connections at once), wrong (password), vhost (that is not
there), and for each CASE the login of OTHER_NAME. What a case gives is {"ok": VALUE}, or {"text": WHAT A PERSON SEES}. With
PIERHEAD_TEST_ZONE, in TLS: NAME is the host NAME.ZONE at HOST, whose certificate is verified by the one in the file
PIERHEAD_TEST_CA.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import socket
import ssl
import sys

import aio_pika
import amqp
import pika

PAYLOAD = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
MESSAGES = 2_000
PATIENCE_S = 20
ZONE = os.environ.get("PIERHEAD_TEST_ZONE")


def place(user):
    """The host that is asked for, and how TLS is spoken to it."""
    if not ZONE:
        return HOST, None
    return f"{user}.{ZONE}", ssl.create_default_context(cafile=os.environ["PIERHEAD_TEST_CA"])


class Pika:
    def __init__(self, user, password, vhost):
        host, tls = place(user)
        self.connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                host,
                PORT,
                vhost,
                pika.PlainCredentials(user, password),
                ssl_options=tls and pika.SSLOptions(tls, host),
                socket_timeout=PATIENCE_S,
            )
        )
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def declare(self, durable=False):
        return self.channel.queue_declare("", exclusive=not durable, durable=durable).method.queue

    def publish(self, queue, payload, kept=False):
        properties = pika.BasicProperties(delivery_mode=2 if kept else 1)
        self.channel.basic_publish("", queue, payload, properties)

    def received(self, queue, count):
        found = []
        for method, _, body in self.channel.consume(queue, inactivity_timeout=PATIENCE_S):
            if method is None:
                raise TimeoutError("no message")
            self.channel.basic_ack(method.delivery_tag)
            found.append(body)
            if len(found) == count:
                self.channel.cancel()
                return found

    def delete(self, queue):
        self.channel.queue_delete(queue)

    def close(self):
        self.connection.close()


class PyAmqp:
    def __init__(self, user, password, vhost):
        host, tls = place(user)
        self.connection = amqp.Connection(
            f"{host}:{PORT}",
            user,
            password,
            "AMQPLAIN" if driver == "py-amqp-amqplain" else "PLAIN",
            virtual_host=vhost,
            ssl=tls and {"context": {"cafile": os.environ["PIERHEAD_TEST_CA"]}, "server_hostname": host},
            connect_timeout=PATIENCE_S,
            confirm_publish=True,
        )
        self.connection.connect()
        self.channel = self.connection.channel()

    def declare(self, durable=False):
        return self.channel.queue_declare("", exclusive=not durable, durable=durable, auto_delete=False).queue

    def publish(self, queue, payload, kept=False):
        message = amqp.Message(payload, delivery_mode=2 if kept else 1)
        self.channel.basic_publish_confirm(message, routing_key=queue)

    def received(self, queue, count):
        found = []
        tag = self.channel.basic_consume(queue, no_ack=True, callback=lambda message: found.append(message.body))
        while len(found) < count:
            self.connection.drain_events(timeout=PATIENCE_S)
        self.channel.basic_cancel(tag)
        return [body if isinstance(body, bytes) else body.encode() for body in found]

    def delete(self, queue):
        self.channel.queue_delete(queue)

    def close(self):
        self.connection.close()


class AioPika:
    """Its calls, as if they were not asynchronous."""

    def __init__(self, user, password, vhost):
        self.loop, self.queues = asyncio.new_event_loop(), {}
        self.connection, self.channel = self.run(self.open(user, password, vhost))

    @staticmethod
    async def open(user, password, vhost):
        host, tls = place(user)
        connection = await aio_pika.connect(
            host=host,
            port=PORT,
            login=user,
            password=password,
            virtualhost=vhost,
            ssl=bool(tls),
            ssl_context=tls,
            timeout=PATIENCE_S,
        )
        return connection, await connection.channel()

    def run(self, work):
        return self.loop.run_until_complete(work)

    def declare(self, durable=False):
        queue = self.run(self.channel.declare_queue(exclusive=not durable, durable=durable))
        self.queues[queue.name] = queue
        return queue.name

    def publish(self, queue, payload, kept=False):
        message = aio_pika.Message(payload, delivery_mode=2 if kept else 1)
        self.run(self.channel.default_exchange.publish(message, routing_key=queue))

    def received(self, queue, count):
        async def messages():
            found = []
            async with self.queues[queue].iterator(timeout=PATIENCE_S) as iterator:
                async for message in iterator:
                    await message.ack()
                    found.append(message.body)
                    if len(found) == count:
                        return found

        return self.run(messages())

    def delete(self, queue):
        self.run(self.queues[queue].delete(if_unused=False, if_empty=False))

    def close(self):
        self.run(self.connection.close())
        self.loop.close()


def there_and_back(client, payload):
    queue = client.declare()
    client.publish(queue, payload)
    return client.received(queue, 1)[0]


def stream(client):
    queue = client.declare()
    for n in range(MESSAGES):
        client.publish(queue, f"{n:060}".encode())
    return sum(int(body) for body in client.received(queue, MESSAGES))


def kept(client):
    queue = client.declare(durable=True)
    client.publish(queue, PAYLOAD, kept=True)
    back = client.received(queue, 1)[0]
    client.delete(queue)
    return digest(back)


def on_client(work):
    def run(user, password, vhost):
        client = Client(user, password, vhost)
        try:
            return work(client)
        finally:
            client.close()

    return run


def many(*who):
    clients = [Client(*who) for _ in range(CONNECTIONS)]
    back = [there_and_back(client, b"here") for client in clients]
    for client in clients:
        client.close()
    return sum(answer == b"here" for answer in back)


def digest(payload):
    return f"{len(payload)} {hashlib.sha256(payload).hexdigest()}"


CASES = {
    "login": on_client(lambda client: there_and_back(client, b"hello").decode()),
    "bulk": on_client(lambda client: digest(there_and_back(client, PAYLOAD))),
    "stream": on_client(stream),
    "kept": on_client(kept),
    "many": many,
}


def attempt(work, *who):
    try:
        return {"ok": work(*who)}
    except Exception as error:  # whatever a person would see
        # aiormq names an object by its address.
        return {"text": re.sub(" at 0x[0-9a-f]+", "", f"{type(error).__name__}: {error}")}


logging.disable()
sys.unraisablehook = lambda _: None  # aiormq's own loose ends, of connections that failed
driver, HOST, port, name, password, *others = sys.argv[1:]
PORT = int(port)
Client = {"pika": Pika, "aio-pika": AioPika}.get(driver, PyAmqp)
# Nobody resolves the names of the zone.
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: resolve(HOST, *rest, **more)
seen = {case: attempt(work, name, password, name) for case, work in CASES.items()}
seen["wrong"] = attempt(CASES["login"], name, "not the password", name)
seen["vhost"] = attempt(CASES["login"], name, password, "nowhere")
for case, other in (pair.split("=") for pair in others):
    seen[case] = attempt(CASES["login"], other, password, other)
print(json.dumps(seen))
