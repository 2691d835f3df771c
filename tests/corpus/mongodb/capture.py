"""Records what one MongoDB client sends first, on each kind of connection.

    capture.py PORT NAME SERVER_PORT

Serves connections on 127.0.0.1:PORT as Pierhead does: the first message is read, relayed to a server, and answered by
it. The first connection of each kind is written to NAME-data.bin (whose first message logs in) and NAME-monitor.bin.
"""
import pathlib
import socket
import struct
import sys
import threading


def main():
    port, name, server_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, name, server_port), daemon=True).start()


def serve(client, name, server_port):
    first = exactly(client, 4)
    first += exactly(client, struct.unpack("<i", first)[0] - 4)
    kind = "data" if b"saslStart" in first else "monitor"
    path = pathlib.Path(f"{name}-{kind}.bin")
    if not path.exists():
        path.write_bytes(first)
    server = socket.create_connection(("127.0.0.1", server_port))
    server.sendall(first)
    threading.Thread(target=relay, args=(server, client), daemon=True).start()
    relay(client, server)


def exactly(source, count):
    data = b""
    while len(data) < count:
        part = source.recv(count - len(data))
        if not part:
            sys.exit()
        data += part
    return data


def relay(source, sink):
    try:
        while part := source.recv(65536):
            sink.sendall(part)
    except OSError:
        pass
    sink.close()


main()
