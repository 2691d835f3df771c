"""Records what one client says first, before a real server.

    capture_first.py PORT BACKEND_HOST:PORT FILE

Relays one connection from 127.0.0.1:PORT to the server and leaves in FILE what the client has sent in the first half second,
up to 4 KiB: what says who it is, and what it sends along or soon after. Then it ends.
"""

import pathlib
import select
import socket
import sys
import time


def main():
    port, backend, file = sys.argv[1:]
    host, backend_port = backend.rsplit(":", 1)
    client, _ = socket.create_server(("127.0.0.1", int(port))).accept()
    server = socket.create_connection((host, int(backend_port)))
    peers, said, end = {client: server, server: client}, b"", time.monotonic() + 0.5
    while (left := end - time.monotonic()) > 0:
        for ready in select.select(list(peers), [], [], left)[0]:
            part = ready.recv(65536)
            if not part:
                end = 0
            if ready is client:
                said += part
            peers[ready].sendall(part)
    pathlib.Path(file).write_bytes(said[:4096])


main()
