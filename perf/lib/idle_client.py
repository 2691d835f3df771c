#!/usr/bin/env python3
"""Holds many Redis connections that are idle but for a trickle: no well-known tool does this.

Arguments: HOST PORT NAME PASSWORD CONNECTIONS. Commands come line by line on stdin, answers are one JSON object each:
  open            opens and logs in all of them
  trickle S RATE  for S seconds, RATE times a second, one PING on a connection chosen at random; tells the latencies
  check           one PING on every one of them
  close           closes all of them and ends
"""

import json
import random
import resource
import socket
import sys
import time

BATCH = 64  # opened at once; far below every limit on clients that have not said who they are
TIMEOUT_S = 10
PING, PONG = b"PING\r\n", b"+PONG\r\n"


class Client:
    def __init__(self, host, port, name, password):
        self.address = (host, port)
        self.login = f"AUTH {name} {password}\r\n".encode()
        self.connections = []

    def open(self, count):
        started = time.monotonic()
        while len(self.connections) < count:
            batch = [socket.create_connection(self.address, TIMEOUT_S) for _ in range(min(BATCH, count - len(self.connections)))]
            for connection in batch:
                connection.sendall(self.login)
            for connection in batch:
                expect(connection, b"+OK\r\n")
            self.connections.extend(batch)
        return {"open": len(self.connections), "seconds": time.monotonic() - started}

    def trickle(self, seconds, rate):
        latencies_ms = []
        started = time.monotonic()
        for n in range(int(seconds * rate)):
            time.sleep(max(0.0, started + n / rate - time.monotonic()))
            latencies_ms.append(ping(random.choice(self.connections)))
        return {"latencies_ms": latencies_ms, "seconds": time.monotonic() - started}

    def check(self):
        for connection in self.connections:
            ping(connection)
        return {"alive": len(self.connections)}

    def close(self):
        for connection in self.connections:
            connection.close()
        return {"closed": len(self.connections)}


def ping(connection):
    """The round trip in milliseconds."""
    started = time.monotonic_ns()
    connection.sendall(PING)
    expect(connection, PONG)
    return (time.monotonic_ns() - started) / 1e6


def expect(connection, answer):
    got = connection.recv(len(answer))
    while len(got) < len(answer) and got:
        more = connection.recv(len(answer) - len(got))
        if not more:
            break
        got += more
    if got != answer:
        raise OSError(f"expected {answer!r}, got {got!r}")


def main():
    host, port, name, password, count = sys.argv[1:6]
    _, open_files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files_max, open_files_max))
    client = Client(host, int(port), name, password)
    verbs = {"open": lambda: client.open(int(count)), "check": client.check, "close": client.close,
             "trickle": lambda seconds, rate: client.trickle(float(seconds), float(rate))}
    for line in sys.stdin:
        verb, *arguments = line.split()
        try:
            answer = verbs[verb](*arguments)
        except OSError as error:
            answer = {"error": f"{verb}, with {len(client.connections)} open: {error}"}
        print(json.dumps(answer), flush=True)
        if verb == "close" or "error" in answer:
            return


if __name__ == "__main__":
    main()
