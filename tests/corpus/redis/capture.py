"""Records what one Redis client sends first.

    capture.py PORT NAME SERVER_PORT

Serves one connection on 127.0.0.1:PORT as Pierhead does: what the client sends is read, relayed to a real server, and
answered by it. NAME.bin gets what came before the first answer went out: the login, and what the client has
pipelined behind it.
"""
import pathlib
import socket
import sys
import threading
import time


def main():
    port, name, server_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    listener = socket.create_server(("127.0.0.1", port))
    client, _ = listener.accept()
    said = client.recv(65536)
    time.sleep(0.2)  # a second segment of the same pipeline
    client.setblocking(False)
    try:
        said += client.recv(65536)
    except BlockingIOError:
        pass
    client.setblocking(True)
    pathlib.Path(name + ".bin").write_bytes(said)
    server = socket.create_connection(("127.0.0.1", server_port))
    server.sendall(said)

    def downward():
        while part := server.recv(65536):
            client.sendall(part)
        client.close()

    threading.Thread(target=downward, daemon=True).start()
    while part := client.recv(65536):
        server.sendall(part)


main()
