"""What one Python driver sees in each case, as one JSON object on stdout.

    redis_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

Drivers: redis-py (RESP 3), redis-py-2 (RESP 2). Cases: login, value (large, there and back), pipeline (of many commands),
published (a message to a second connection), many (connections at once), alone (the password alone, with the name in
front), wrong (password), and for each CASE the login of OTHER_NAME. With PIERHEAD_TEST_ZONE and PIERHEAD_TEST_CA set, all
is done in TLS: the host is USER.ZONE at the address HOST, and its certificate is verified. What a case gives is
{"ok": VALUE}, or {"text": WHAT A PERSON SEES}.
"""

import hashlib
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import redis

VALUE = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
ZONE, CA = os.environ.get("PIERHEAD_TEST_ZONE"), os.environ.get("PIERHEAD_TEST_CA")


def main():
    driver, host, port, name, password, *others = sys.argv[1:]

    def attempt(user, secret, work):
        options = place(host, user) | ({"protocol": 2} if driver == "redis-py-2" else {})
        client = redis.Redis(port=int(port), username=user, password=secret, retry=None, **options)
        try:
            return {"ok": work(client)}
        except Exception as error:  # a driver's own class, whatever it is
            return {"text": f"{type(error).__name__}: {error}"}
        finally:
            client.close()

    seen = {case: attempt(name, password, work) for case, work in CASES.items()}
    seen["alone"] = attempt(None, f"{name}:{password}", login)
    seen["wrong"] = attempt(name, "not the password", login)
    for case, other in (pair.split("=") for pair in others):
        seen[case] = attempt(other, password, login)
    print(json.dumps(seen))


def place(host, user):
    """In TLS each name of the zone is at the address, for this process: the driver resolves names itself."""
    if not ZONE:
        return {"host": host}
    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda name, *rest, **how: resolve(host if str(name).endswith(ZONE) else name, *rest, **how)
    return {"host": f"{user}.{ZONE}", "ssl": True, "ssl_ca_certs": CA}


def login(client):
    user = client.acl_whoami()
    return user if isinstance(user, str) else user.decode()


def value(client):
    client.set("value", VALUE)
    back = client.get("value")
    return f"{len(back)} {hashlib.sha256(back).hexdigest()} {back == VALUE}"


def pipeline(client):
    with client.pipeline(transaction=False) as commands:
        for n in range(5_000):
            commands.echo(f"{n:060}")
        return sum(int(answer) for answer in commands.execute())


def published(client):
    with client.pubsub(ignore_subscribe_messages=True) as messages:
        messages.subscribe("channel")
        messages.get_message(timeout=5)
        client.publish("channel", VALUE)
        return len(messages.get_message(timeout=5)["data"])


def many(client):
    """Each with a connection of its own, all open at the same time."""
    connections = [client.connection_pool.make_connection() for _ in range(CONNECTIONS)]

    def one(connection):
        connection.connect()
        connection.send_command("ECHO", "here")
        return connection.read_response()

    try:
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return sum(answer == b"here" for answer in threads.map(one, connections))
    finally:
        for connection in connections:
            connection.disconnect()


CASES = {"login": login, "value": value, "pipeline": pipeline, "published": published, "many": many}

main()
