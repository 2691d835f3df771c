"""What the C library of NATS (libnats 3.4 of Debian) sees in each case, as one JSON object on stdout.

    nats_c_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

The cases and what they give are those of nats_cases.py, without `stored`.
"""

import ctypes
import hashlib
import json
import sys
from ctypes import byref, c_char_p, c_int, c_int64, c_void_p

PAYLOAD = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
MESSAGES = 3_000

LIBRARY = ctypes.CDLL("libnats.so.3.4")
LIBRARY.nats_GetLastError.restype = c_char_p
LIBRARY.natsMsg_GetData.restype = c_void_p
LIBRARY.natsMsg_GetData.argtypes = [c_void_p]
LIBRARY.natsMsg_GetDataLength.argtypes = [c_void_p]


def call(function, *args):
    status = getattr(LIBRARY, function)(*args)
    if status != 0:
        raise RuntimeError((LIBRARY.nats_GetLastError(None) or b"").decode() or f"status {status}")


class Client:
    def __init__(self, host, port, user, password, token=None):
        options = c_void_p()
        call("natsOptions_Create", byref(options))
        call("natsOptions_SetURL", options, f"nats://{host}:{port}".encode())
        call("natsOptions_SetAllowReconnect", options, False)
        call("natsOptions_SetTimeout", options, c_int64(15_000))
        if token:
            call("natsOptions_SetToken", options, token.encode())
        else:
            call("natsOptions_SetUserInfo", options, user.encode(), password.encode())
        self.connection = c_void_p()
        call("natsConnection_Connect", byref(self.connection), options)

    def inbox(self):
        subject, subscription = c_char_p(), c_void_p()
        call("natsInbox_Create", byref(subject))
        call("natsConnection_SubscribeSync", byref(subscription), self.connection, subject)
        return subject, subscription

    def publish(self, subject, payload):
        call("natsConnection_Publish", self.connection, subject, payload, c_int(len(payload)))

    def close(self):
        LIBRARY.natsConnection_Close(self.connection)


def received(subscription):
    message = c_void_p()
    call("natsSubscription_NextMsg", byref(message), subscription, c_int64(10_000))
    payload = ctypes.string_at(LIBRARY.natsMsg_GetData(message), LIBRARY.natsMsg_GetDataLength(message))
    LIBRARY.natsMsg_Destroy(message)
    return payload


def there_and_back(client, payload):
    subject, subscription = client.inbox()
    client.publish(subject, payload)
    return received(subscription)


def login(client, connect):
    return there_and_back(client, b"hello").decode()


def bulk(client, connect):
    back = there_and_back(client, PAYLOAD)
    return f"{len(back)} {hashlib.sha256(back).hexdigest()}"


def stream(client, connect):
    subject, subscription = client.inbox()
    for n in range(MESSAGES):
        client.publish(subject, f"{n:060}".encode())
    return sum(int(received(subscription)) for _ in range(MESSAGES))


def many(client, connect):
    clients = [connect() for _ in range(CONNECTIONS)]
    back = [there_and_back(client, b"here") for client in clients]
    for client in clients:
        client.close()
    return sum(answer == b"here" for answer in back)


def main():
    _, host, port, name, password, *others = sys.argv[1:]

    def attempt(work, user, secret, token=None):
        connect = lambda: Client(host, port, user, secret, token)
        try:
            client = connect()
            try:
                return {"ok": work(client, connect)}
            finally:
                client.close()
        except RuntimeError as error:
            return {"text": str(error)}

    cases = {"login": login, "bulk": bulk, "stream": stream, "many": many}
    seen = {case: attempt(work, name, password) for case, work in cases.items()}
    seen["wrong"] = attempt(login, name, "not the password")
    seen["token"] = attempt(login, name, None, token=f"{name}:not a token of this server")
    for case, other in (pair.split("=") for pair in others):
        seen[case] = attempt(login, other, password)
    print(json.dumps(seen))


main()
