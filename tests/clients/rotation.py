"""Logs in again and again while passwords are rotated, with the real driver of a kind, and counts who was refused.

Arguments: KIND SOCKET NAME CLIENTS. The even clients ask the control socket for the URL before every login; the odd ones
keep the one that they had at the start. A line `keepers` on stdin ends the latter, `stop` all of them; then the result is
printed: {"asking": logins, "keeping": logins, "failed": [...]}.
"""

import http.client
import json
import socket
import sys
import threading
import time
from urllib.parse import unquote, urlsplit

kind, path, name, clients = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
stop, keepers_stop = threading.Event(), threading.Event()
lock, logins, failed = threading.Lock(), {"asking": 0, "keeping": 0}, []


class Control(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("pierhead")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)


def url():
    control = Control()
    control.request("GET", f"/v1/addons/{name}/url")
    answer = json.load(control.getresponse())
    control.close()
    return answer["url"]


def log_in(to):
    parts = urlsplit(to)
    host, port, database = parts.hostname, parts.port, parts.path[1:]
    user, password = unquote(parts.username), unquote(parts.password)
    if kind == "postgres":
        import psycopg

        with psycopg.connect(to) as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
    elif kind in ("mariadb", "mysql"):
        import pymysql

        connection = pymysql.connect(host=host, port=port, user=user, password=password, database=database)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 42")
            assert cursor.fetchone() == (42,)
        connection.close()
    elif kind in ("redis", "valkey"):
        import redis

        connection = redis.Redis(host=host, port=port, username=user, password=password, single_connection_client=True)
        assert connection.ping()
        connection.close()
    elif kind == "rabbitmq":
        import pika

        connection = pika.BlockingConnection(pika.URLParameters(to))
        connection.channel()
        connection.close()
    else:
        raise SystemExit(f"no driver for {kind}")


def client(nth):
    asks = nth % 2 == 0
    known, which = url(), "asking" if asks else "keeping"
    while not stop.is_set() and (asks or not keepers_stop.is_set()):
        try:
            if asks:
                known = url()
            log_in(known)
            with lock:
                logins[which] += 1
        except Exception as error:  # whatever it is, it is a login that failed
            with lock:
                failed.append(f"{which} {time.time():.3f} {urlsplit(known).username}: {error!r}"[:300])
        # What one login costs: that server starts a dozen of processes for each, and its tool is a further server.
        time.sleep(0.5 if kind == "rabbitmq" else 0.02)


log_in(url())
threads = [threading.Thread(target=client, args=(nth,)) for nth in range(clients)]
for thread in threads:
    thread.start()
print("started", flush=True)
for line in sys.stdin:
    if line.strip() == "keepers":
        keepers_stop.set()
        for thread in threads[1::2]:
            thread.join()
        print("no keepers", flush=True)
    else:
        break
stop.set()
for thread in threads:
    thread.join()
print(json.dumps({**logins, "failed": failed}), flush=True)
