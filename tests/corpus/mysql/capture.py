"""Records what one MySQL client answers to a greeting.

    capture.py PORT BACKEND_HOST:PORT NAME

Serves one connection on 127.0.0.1:PORT by relaying it to the backend: Pierhead, so that the client has heard its
greeting. The connection leaves NAME.bin (the client's first packet) and NAME.greeting.bin (the backend's).
"""
import pathlib, socket, sys, threading


def packet(source):
    got = b""
    while len(got) < 4 or len(got) < 4 + int.from_bytes(got[:3], "little"):
        part = source.recv(65536)
        if not part:
            raise EOFError
        got += part
    return got


def relay(source, sink):
    try:
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main():
    port, backend, name = sys.argv[1:]
    host, backend_port = backend.rsplit(":", 1)
    client, _ = socket.create_server(("127.0.0.1", int(port))).accept()
    server = socket.create_connection((host, int(backend_port)))
    for source, sink, suffix in [(server, client, ".greeting.bin"), (client, server, ".bin")]:
        said = packet(source)
        pathlib.Path(name + suffix).write_bytes(said)
        sink.sendall(said)
    threading.Thread(target=relay, args=(server, client), daemon=True).start()
    relay(client, server)


main()
