"""What one Python driver for MongoDB sees in each case, as one JSON object on stdout.

    mongodb_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

Drivers: pymongo, pymongo-async, motor. Cases: login, work (a large document there and back), batches (several, of which
each answer has a part), pool (50 connections at once), wrong (password), other (login of somebody else than appName
says), and for each CASE the login of OTHER_NAME, with a patience of 2 s, or of 20 s where the name ends in "!". What a
case gives is {"ok": VALUE}, or {"code": CODE, "text": WHAT A PERSON SEES}. With PIERHEAD_TEST_ZONE and PIERHEAD_TEST_CA set,
TLS is demanded: the host is ADDON.ZONE, which is at HOST, and its certificate is verified.
"""

import asyncio
import concurrent.futures
import hashlib
import inspect
import json
import os
import socket
import sys
from urllib.parse import quote

DRIVER = sys.argv[1]
TEXT = "".join(chr(0x21 + n * 7919 % 94) for n in range(300_000))
PATIENCE_MS = 2000
ZONE, CA = os.environ.get("PIERHEAD_TEST_ZONE"), os.environ.get("PIERHEAD_TEST_CA")


def main():
    _, host, port, name, password, *others = sys.argv[1:]

    if ZONE:
        resolve = socket.getaddrinfo
        socket.getaddrinfo = lambda where, *rest, **how: resolve(host if str(where).endswith(ZONE) else where, *rest, **how)

    def case(work, user=name, secret=password, app=None, patience=30_000):
        place, tls = (f"{user}.{ZONE}", f"&tls=true&tlsCAFile={quote(CA, '')}") if ZONE else (host, "")
        url = (
            f"mongodb://{user}:{quote(secret)}@{place}:{port}/{user}?authSource={user}&directConnection=true"
            f"&appName={app or user}&serverSelectionTimeoutMS={patience}&maxPoolSize=50&maxConnecting=50"
            # Motor does not end before its watching connections have been answered once more.
            f"&heartbeatFrequencyMS=1000{tls}"
        )
        return attempt(url, user, work)

    cases = {
        "login": case(login),
        "work": case(work),
        "batches": case(batches),
        "pool": case(pool),
        "wrong": case(login, secret="not the password"),
        "other": case(login, user="nobody-here", app=name, patience=PATIENCE_MS),
    }
    for what, other in (pair.split("=") for pair in others):
        patience = 10 * PATIENCE_MS if other.endswith("!") else PATIENCE_MS
        cases[what] = case(login, user=other.rstrip("!"), patience=patience)

    async def all_at_once():
        workers = concurrent.futures.ThreadPoolExecutor(80)  # 50 that sleep, and the rest
        asyncio.get_running_loop().set_default_executor(workers)
        return await asyncio.gather(*cases.values())

    print(json.dumps(dict(zip(cases, asyncio.run(all_at_once())))))


async def attempt(url, user, work):
    client = None
    try:
        client = connect(url)
        return {"ok": await work(client[user])}
    except Exception as error:  # a driver's own class, whatever it is
        return {"code": getattr(error, "code", None), "text": str(error)}
    finally:
        if client is not None:
            await run(client.close)


def connect(url):
    if DRIVER == "motor":
        import motor.motor_asyncio

        return motor.motor_asyncio.AsyncIOMotorClient(url)
    import pymongo

    return pymongo.AsyncMongoClient(url) if DRIVER == "pymongo-async" else pymongo.MongoClient(url)


async def run(call):
    """What a call gives, whether it blocks or is awaited."""
    value = await asyncio.to_thread(call) if DRIVER == "pymongo" else call()
    return await value if inspect.isawaitable(value) else value


async def login(db):
    status = await run(lambda: db.command("connectionStatus"))
    return [[user["db"], user["user"]] for user in status["authInfo"]["authenticatedUsers"]]


async def work(db):
    collection = db[f"work-{DRIVER}"]
    await run(collection.drop)
    await run(lambda: collection.insert_one({"_id": 1, "text": TEXT}))
    found = await run(lambda: collection.find_one({"_id": 1}))
    return digest(found["text"])


async def batches(db):
    collection = db[f"batches-{DRIVER}"]
    await run(collection.drop)
    await run(lambda: collection.insert_many([{"_id": n, "text": TEXT[: 50_000 + n]} for n in range(40)]))
    found = await run(lambda: collection.find().to_list(None))
    return [sum(document["_id"] for document in found), digest("".join(document["text"] for document in found))]


async def pool(db):
    slept = [run(lambda: db.command({"sleep": 1, "millis": 1000})) for _ in range(50)]
    return sum(answer["ok"] for answer in await asyncio.gather(*slept))


def digest(text):
    return f"{len(text)} {hashlib.sha256(text.encode()).hexdigest()}"


main()
