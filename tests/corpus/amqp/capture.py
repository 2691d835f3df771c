"""Records what one AMQP client sends before its login is answered.

    capture.py PORT NAME SERVER_PORT [SERVER_HOST]

Serves one connection on 127.0.0.1:PORT by relaying it to a real RabbitMQ. NAME.bin gets what the client has sent before
the server said anything beyond its greeting: the header, the login, and what is pipelined behind it.
"""
import pathlib
import socket
import sys
import threading


def main():
    port, name, server_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    server_host = sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1"
    listener = socket.create_server(("127.0.0.1", port))
    client, _ = listener.accept()
    server = socket.create_connection((server_host, server_port))
    said, heard = bytearray(), bytearray()

    def downward():
        while part := server.recv(65536):
            heard.extend(part)
            if len(heard) > greeting_len(heard):
                pathlib.Path(name + ".bin").write_bytes(said)
                heard.clear()
                heard.extend(b"\xff")  # written once
            client.sendall(part)
        client.close()

    threading.Thread(target=downward, daemon=True).start()
    while part := client.recv(65536):
        said.extend(part)
        server.sendall(part)


def greeting_len(heard):
    """AMQP 0-9-1: a frame; 1.0: a header and a frame. What is no greeting is never long enough."""
    if heard[:1] == b"\x01" and len(heard) >= 7:
        return int.from_bytes(heard[3:7], "big") + 8
    if heard[:4] == b"AMQP" and len(heard) >= 12:
        return 8 + int.from_bytes(heard[8:12], "big")
    return 1 << 62


main()
