"""Records what one PostgreSQL client says first, and what a real server answers.

    capture.py PORT BACKEND_HOST:PORT NAME

Serves connections on 127.0.0.1:PORT as Pierhead does: `N` to SSLRequest and GSSENCRequest, then everything
is relayed. Each connection leaves NAME.bin (the client's bytes up to and with the start-up or cancel packet)
and NAME.answer.bin (the server's bytes up to and with ReadyForQuery); a second connection, such as a cancel
request, leaves NAME-2.bin, and so on. Direct TLS leaves what the first read gave. Stop it with SIGTERM.
"""
import itertools, pathlib, socket, struct, sys, threading

SSL, GSS = 80877103, 80877104


def exactly(sock, count):
    got = b""
    while len(got) < count:
        part = sock.recv(count - len(got))
        if not part:
            raise EOFError
        got += part
    return got


def first_packets(client):
    said = b""
    while True:
        length = exactly(client, 4)
        if length[0] != 0:
            return said + length + client.recv(65536), True
        packet = length + exactly(client, struct.unpack("!I", length)[0] - 4)
        said += packet
        if struct.unpack("!I", packet[4:8])[0] not in (SSL, GSS):
            return said, False
        client.sendall(b"N")


def ready_at(answer):
    at = 0
    while at + 5 <= len(answer):
        kind, length = struct.unpack("!cI", answer[at : at + 5])
        at += 1 + length
        if kind in b"ZE" and at <= len(answer):
            return at
    return None


def serve(client, backend, name):
    try:
        said, tls = first_packets(client)
    except EOFError:
        return
    pathlib.Path(name + ".bin").write_bytes(said)
    if tls:
        return client.close()
    startup = said
    while struct.unpack("!I", startup[4:8])[0] in (SSL, GSS):
        startup = startup[struct.unpack("!I", startup[:4])[0] :]
    server = socket.create_connection(backend)
    server.sendall(startup)

    def upward():
        while part := client.recv(65536):
            server.sendall(part)
        server.shutdown(socket.SHUT_WR)

    threading.Thread(target=upward, daemon=True).start()
    answer, done = b"", False
    while part := server.recv(65536):
        answer += part
        if not done and (end := ready_at(answer)):
            pathlib.Path(name + ".answer.bin").write_bytes(answer[:end])
            done = True
        client.sendall(part)
    client.shutdown(socket.SHUT_RDWR)


def main():
    port, backend, name = sys.argv[1:]
    host, backend_port = backend.rsplit(":", 1)
    listener = socket.create_server(("127.0.0.1", int(port)))
    for number in itertools.count(1):
        client, _ = listener.accept()
        label = name if number == 1 else f"{name}-{number}"
        threading.Thread(target=serve, args=(client, (host, int(backend_port)), label), daemon=True).start()


main()
