"""What python-binary-memcached sees in each case, as one JSON object on stdout.

    memcached_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

Cases: login (a small value), bulk (a large one), stream (many small ones), many (connections at once), wrong (password), and
for each CASE the login of OTHER_NAME. What a case gives is {"ok": VALUE}, or {"text": WHAT A PERSON SEES}.
"""

import hashlib
import json
import os
import sys

from bmemcached.protocol import Protocol

VALUE = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
VALUES = 1_000


def main():
    _, host, port, name, password, *others = sys.argv[1:]

    def attempt(work, user, secret):
        connect = lambda: Protocol(f"{host}:{port}", user, secret, socket_timeout=15)
        try:
            client = connect()
            try:
                return {"ok": work(client, connect)}
            finally:
                client.disconnect()
        except Exception as error:  # the driver's own class, whatever it is
            return {"text": f"{type(error).__name__}: {error}"}

    seen = {case: attempt(work, name, password) for case, work in CASES.items()}
    seen["wrong"] = attempt(login, name, "not the password")
    for case, other in (pair.split("=") for pair in others):
        seen[case] = attempt(login, other, password)
    print(json.dumps(seen))


def there_and_back(client, value):
    key = "py" + os.urandom(6).hex()
    assert client.set(key, value, time=60, compress_level=0)
    return client.get(key)[0]


def login(client, connect):
    return there_and_back(client, "hello")


def bulk(client, connect):
    back = there_and_back(client, VALUE)
    return f"{len(back)} {hashlib.sha256(back).hexdigest()}"


def stream(client, connect):
    mark = "py" + os.urandom(6).hex()
    client.set_multi({f"{mark}{n}": f"{n:060}" for n in range(VALUES)}, time=60)
    back = client.get_multi([f"{mark}{n}" for n in range(VALUES)])
    return sum(int(value[0]) for value in back.values())


def many(client, connect):
    clients = [connect() for _ in range(CONNECTIONS)]
    back = [there_and_back(client, "here") for client in clients]
    for client in clients:
        client.disconnect()
    return sum(answer == "here" for answer in back)


CASES = {"login": login, "bulk": bulk, "stream": stream, "many": many}

main()
