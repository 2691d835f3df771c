"""A stand-in for mongod: there is no MongoDB server in the distribution, on PyPI or on npm. It speaks the protocol as real
drivers need it - hello with authentication inside, SCRAM, streamed monitoring, a handful of commands on documents in
memory - and lets nobody work who has not logged in. It needs `bson`, which comes with pymongo.

    server.py [--port PORT] [--bind ADDRESS] [--auth] [--user USER:PASSWORD@DATABASE]... [--data DIR] [--init DIR]

Without --auth everybody may do everything, as with mongod. Users are kept in --data; if there are none, the scripts in
--init make them, as in the official image, if all that they do is `db.getSiblingDB(NAME).createUser(JSON);`. Says its
port on stdout.
"""

import argparse
import base64
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import re
import select
import signal
import socketserver
import ssl
import struct
import time

import bson

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
MORE_TO_COME, EXHAUST_ALLOWED = 1 << 1, 1 << 16
ITERATIONS = {"SCRAM-SHA-1": 10000, "SCRAM-SHA-256": 15000}
OPEN_COMMANDS = {"hello", "ismaster", "saslstart", "saslcontinue", "buildinfo", "ping", "endsessions"}
BATCH_BYTES = 1 << 20
CREATE_USER = re.compile(r"db\.getSiblingDB\((\"[^\"]*\")\)\.createUser\((\{.*?\})\);\s*", re.DOTALL)


class Failed(Exception):
    """A command's error: code, name and text as mongod has them."""

    def __init__(self, code, name, text):
        super().__init__(text)
        self.document = {"ok": 0.0, "errmsg": text, "code": code, "codeName": name}


class Store:
    """Users and documents of one server."""

    def __init__(self, auth):
        self.auth = auth
        self.users = {}
        self.collections = {}
        self.cursors = {}
        self.cursor_ids = itertools.count(1)

    def add_user(self, database, user, password):
        credentials = {}
        for mechanism, iterations in ITERATIONS.items():
            digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
            secret = password
            if digest == "sha1":
                secret = hashlib.md5(f"{user}:mongo:{password}".encode()).hexdigest()
            salt = os.urandom(hashlib.new(digest).digest_size - 4)
            salted = hashlib.pbkdf2_hmac(digest, secret.encode(), salt, iterations)
            credentials[mechanism] = (digest, salt, salted, iterations)
        self.users[database, user] = credentials


class Scram:
    """The server's part in one login (RFC 5802)."""

    def __init__(self, store, database, mechanism, payload):
        bare = bytes(payload).decode().split(",", 2)[2]
        attributes = dict(part.split("=", 1) for part in bare.split(","))
        self.user = attributes["n"].replace("=2C", ",").replace("=3D", "=")
        self.database = database
        credentials = store.users.get((database, self.user), {})
        if mechanism not in credentials:
            raise failed_login()
        self.digest, salt, self.salted, iterations = credentials[mechanism]
        self.nonce = attributes["r"] + base64.b64encode(os.urandom(18)).decode()
        first = f"r={self.nonce},s={base64.b64encode(salt).decode()},i={iterations}"
        self.transcript = f"{bare},{first}"
        self.payload = first.encode()
        self.done = False

    def proceed(self, payload):
        if not payload and self.done:
            self.payload = b""
            return
        without_proof, proof = bytes(payload).decode().rsplit(",p=", 1)
        if dict(part.split("=", 1) for part in without_proof.split(","))["r"] != self.nonce:
            raise failed_login()
        transcript = f"{self.transcript},{without_proof}".encode()
        client_key = self.hmac(self.salted, b"Client Key")
        signature = self.hmac(hashlib.new(self.digest, client_key).digest(), transcript)
        expected = bytes(a ^ b for a, b in zip(client_key, signature))
        if not hmac.compare_digest(base64.b64decode(proof), expected):
            raise failed_login()
        server_signature = self.hmac(self.hmac(self.salted, b"Server Key"), transcript)
        self.payload = b"v=" + base64.b64encode(server_signature)
        self.done = True

    def hmac(self, key, text):
        return hmac.new(key, text, self.digest).digest()


def failed_login():
    return Failed(18, "AuthenticationFailed", "Authentication failed.")


class Connection(socketserver.BaseRequestHandler):
    """One client."""

    def handle(self):
        self.store = self.server.store
        self.login = None
        self.scram = None
        self.skip_empty_exchange = False
        try:
            while True:
                self.one_message()
        except (ConnectionError, EOFError):
            pass

    def one_message(self):
        length, request, _, opcode = struct.unpack("<iiii", self.read(16))
        body = self.read(length - 16)
        if opcode == OP_QUERY:
            end = body.index(b"\0", 4)
            command = bson.decode(body[end + 9 :][: struct.unpack_from("<i", body, end + 9)[0]])
            command["$db"] = body[4:end].decode().removesuffix(".$cmd")
            return self.send(request, opcode, 8, self.answer(command))
        assert opcode == OP_MSG, opcode
        flags = struct.unpack_from("<I", body)[0]
        command = read_sections(body[4:])
        answer = self.answer(command)
        if not flags & MORE_TO_COME:
            stream = flags & EXHAUST_ALLOWED and "topologyVersion" in command
            self.send(request, opcode, MORE_TO_COME if stream else 0, answer)
            while stream:
                self.wait_for_news(command)
                self.send(request, opcode, MORE_TO_COME, answer)

    def wait_for_news(self, command):
        """There never are any, but the client may leave meanwhile; it has nothing else to say."""
        if select.select([self.request], [], [], command["maxAwaitTimeMS"] / 1000)[0]:
            raise EOFError

    def read(self, count):
        parts = []
        while count:
            part = self.request.recv(min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def send(self, request, opcode, flags, document):
        document = bson.encode(document)
        if opcode == OP_QUERY:
            opcode, head = OP_REPLY, struct.pack("<iqii", flags, 0, 0, 1)
        else:
            head = struct.pack("<IB", flags, 0)
        header = struct.pack("<iiii", 16 + len(head) + len(document), 0, request, opcode)
        self.request.sendall(header + head + document)

    def answer(self, command):
        name = next(iter(command)).lower()
        work = getattr(self, "do_" + name, None)
        try:
            if work is None:
                raise Failed(59, "CommandNotFound", f"no such command: '{name}'")
            if self.store.auth and not self.login and name not in OPEN_COMMANDS:
                raise Failed(13, "Unauthorized", f"Command {name} requires authentication")
            return {**(work(command) or {}), "ok": 1.0}
        except Failed as failed:
            return failed.document

    # ---- before a login ----

    def do_hello(self, command):
        if "topologyVersion" in command and command.get("maxAwaitTimeMS"):
            self.wait_for_news(command)
        answer = {
            "isWritablePrimary" if "hello" in command else "ismaster": True,
            "helloOk": True,
            "topologyVersion": {"processId": self.server.process, "counter": bson.Int64(0)},
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48000000,
            "maxWriteBatchSize": 100000,
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "readOnly": False,
        }
        if wanted := command.get("saslSupportedMechs"):
            database, user = wanted.split(".", 1)
            answer["saslSupportedMechs"] = list(self.store.users.get((database, user), {}))
        if speculative := command.get("speculativeAuthenticate"):
            try:
                answer["speculativeAuthenticate"] = self.do_saslstart({"$db": speculative["db"], **speculative})
            except Failed:
                pass  # as mongod: the client has to try again in the open
        return answer

    do_ismaster = do_hello

    def do_saslstart(self, command):
        mechanism = command["mechanism"]
        if mechanism not in ITERATIONS:
            raise Failed(334, "MechanismUnavailable", f"Received authentication for mechanism {mechanism}")
        self.scram = Scram(self.store, command["$db"], mechanism, command["payload"])
        self.skip_empty_exchange = command.get("options", {}).get("skipEmptyExchange", False)
        return {"conversationId": 1, "done": False, "payload": self.scram.payload}

    def do_saslcontinue(self, command):
        if self.scram is None:
            raise Failed(17, "ProtocolError", "No SASL session state found")
        self.scram.proceed(command["payload"])
        done = self.scram.done and (self.skip_empty_exchange or not self.scram.payload)
        if self.scram.done:
            self.login = (self.scram.database, self.scram.user)
        return {"conversationId": 1, "done": done, "payload": self.scram.payload}

    def do_buildinfo(self, _):
        return {"version": "7.0.0", "versionArray": [7, 0, 0, 0], "gitVersion": "a stand-in", "modules": []}

    def do_ping(self, _):
        return None

    do_endsessions = do_ping

    def do_sleep(self, command):
        time.sleep(command["millis"] / 1000)

    # ---- work ----

    def do_connectionstatus(self, _):
        users = [{"user": self.login[1], "db": self.login[0]}] if self.login else []
        return {"authInfo": {"authenticatedUsers": users, "authenticatedUserRoles": []}}

    def do_createuser(self, command):
        if (command["$db"], command["createUser"]) in self.store.users:
            raise Failed(51003, "Location51003", f"User \"{command['createUser']}@{command['$db']}\" already exists")
        self.store.add_user(command["$db"], command["createUser"], command["pwd"])

    def documents(self, command, name):
        return self.store.collections.setdefault((command["$db"], command[name]), [])

    def do_insert(self, command):
        self.documents(command, "insert").extend(command["documents"])
        return {"n": len(command["documents"])}

    def do_find(self, command):
        wanted = command.get("filter", {})
        found = [d for d in self.documents(command, "find") if all(d.get(key) == wanted[key] for key in wanted)]
        found = found[: abs(command.get("limit", 0)) or None]
        return self.batch(f"{command['$db']}.{command['find']}", found, "firstBatch")

    def batch(self, namespace, rest, name):
        """As much as fits in a reply; what is left waits for getMore."""
        size, count = 0, 0
        for document in rest:
            size += len(bson.encode(document))
            if count and size > BATCH_BYTES:
                break
            count += 1
        number = next(self.store.cursor_ids) if count < len(rest) else 0
        if number:
            self.store.cursors[number] = (namespace, rest[count:])
        return {"cursor": {name: rest[:count], "id": bson.Int64(number), "ns": namespace}}

    def do_getmore(self, command):
        namespace, rest = self.store.cursors.pop(command["getMore"])
        return self.batch(namespace, rest, "nextBatch")

    def do_drop(self, command):
        self.store.collections.pop((command["$db"], command["drop"]), None)


def read_sections(body):
    """The command of an OP_MSG, with its document sequences as lists."""
    command, at = {}, 0
    while at < len(body):
        kind, size = body[at], struct.unpack_from("<i", body, at + 1)[0]
        section = body[at + 1 : at + 1 + size]
        if kind == 0:
            # The command's name comes first.
            command = {**bson.decode(section), **command}
        else:
            end = section.index(b"\0", 4)
            command[section[4:end].decode()] = bson.decode_all(section[end + 1 :])
        at += 1 + size
    return command


def keep_users(store, path, init):
    """Reads the users that there are, or makes them and writes them down."""
    if path.exists():
        users = json.loads(path.read_text())
    else:
        users = []
        for script in sorted(init.glob("*.js")):
            text = script.read_text()
            calls = CREATE_USER.findall(text)
            assert calls and not CREATE_USER.sub("", text), f"{script} is more than calls of createUser"
            users += [[json.loads(database), json.loads(user)] for database, user in calls]
        path.write_text(json.dumps(users))
    for database, user in users:
        store.add_user(database, user["user"], user["pwd"])


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512
    tls = None

    def finish_request(self, request, client_address):
        """In the connection's own thread, as a client may be slow to begin TLS, or never do."""
        if not self.tls:
            return super().finish_request(request, client_address)
        try:
            with self.tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            pass  # no TLS, or the end of it


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--port", type=int, default=27017)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--auth", action="store_true")
    parser.add_argument("--user", action="append", default=[])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--init", type=pathlib.Path, default=pathlib.Path("/nonexistent"))
    parser.add_argument("--tlsMode", choices=["disabled", "requireTLS"], default="disabled")
    parser.add_argument("--tlsCertificateKeyFile")
    options = parser.parse_args()
    store = Store(options.auth)
    for login in options.user:
        credentials, database = login.rsplit("@", 1)
        user, password = credentials.split(":", 1)
        store.add_user(database, user, password)
    if options.data:
        keep_users(store, options.data / "users.json", options.init)
    server = Server((options.bind, options.port), Connection)
    if options.tlsMode == "requireTLS":
        server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.tls.load_cert_chain(options.tlsCertificateKeyFile)
    server.store, server.process = store, bson.ObjectId()
    # The first process of a container is ended by no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
