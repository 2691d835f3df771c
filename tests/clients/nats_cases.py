"""What nats-py sees in each case, as one JSON object on stdout.

    nats_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

Cases: login (a message to oneself), bulk (a large one), stream (of many), stored (JetStream), many (connections at once),
wrong (password), token (which this server has none of), and for each CASE the login of OTHER_NAME. What a case gives is {"ok": VALUE},
or {"text": WHAT A PERSON SEES}.
"""

import asyncio
import hashlib
import json
import os
import sys

import nats

PAYLOAD = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
MESSAGES = 3_000


async def main():
    _, host, port, name, password, *others = sys.argv[1:]

    async def attempt(work, **who):
        async def ignore(error):
            pass  # raised as well

        try:
            url = f"nats://{host}:{port}"
            connect = lambda: nats.connect(url, allow_reconnect=False, error_cb=ignore, **who)
            return {"ok": await asyncio.wait_for(work(connect), 30)}
        except Exception as error:  # the driver's own class, whatever it is
            return {"text": f"{type(error).__name__}: {error}"}

    seen = {case: await attempt(work, user=name, password=password) for case, work in CASES.items()}
    seen["wrong"] = await attempt(login, user=name, password="not the password")
    seen["token"] = await attempt(login, token=f"{name}:not a token of this server")
    for case, other in (pair.split("=") for pair in others):
        seen[case] = await attempt(login, user=other, password=password)
    print(json.dumps(seen))


async def there_and_back(client, payload):
    inbox = await client.subscribe(client.new_inbox())
    await client.publish(inbox.subject, payload)
    return (await inbox.next_msg(timeout=10)).data


async def login(connect):
    client = await connect()
    back = await there_and_back(client, b"hello")
    await client.close()
    return back.decode()


async def bulk(connect):
    client = await connect()
    back = await there_and_back(client, PAYLOAD)
    await client.close()
    return f"{len(back)} {hashlib.sha256(back).hexdigest()}"


async def stream(connect):
    client = await connect()
    inbox = await client.subscribe(client.new_inbox())
    for n in range(MESSAGES):
        await client.publish(inbox.subject, f"{n:060}".encode())
    total = 0
    for _ in range(MESSAGES):
        total += int((await inbox.next_msg(timeout=10)).data)
    await client.close()
    return total


async def stored(connect):
    client = await connect()
    jetstream = client.jetstream()
    # A name of its own: several do this on one server.
    name = "py" + os.urandom(4).hex()
    await jetstream.add_stream(name=name, subjects=[f"{name}.>"])
    await jetstream.publish(f"{name}.one", PAYLOAD)
    message = await jetstream.get_msg(name, 1)
    await jetstream.delete_stream(name)
    await client.close()
    return hashlib.sha256(message.data).hexdigest()


async def many(connect):
    clients = await asyncio.gather(*(connect() for _ in range(CONNECTIONS)))
    back = await asyncio.gather(*(there_and_back(client, b"here") for client in clients))
    await asyncio.gather(*(client.close() for client in clients))
    return sum(answer == b"here" for answer in back)


CASES = {"login": login, "bulk": bulk, "stream": stream, "stored": stored, "many": many}

asyncio.run(main())
