"""Fetches a file over TLS with a verified certificate, and prints its length and hash, as JSON.

    tls_get.py ADDRESS PORT HOST_NAME CA PATH [RECORD_SIZE]

With RECORD_SIZE the ClientHello is cut into records of that many bytes, each sent by itself.
"""

import hashlib
import json
import socket
import ssl
import sys
import time


def main():
    address, port, name, ca, path, *size = sys.argv[1:]
    with socket.create_connection((address, int(port)), 20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl.create_default_context(cafile=ca).wrap_bio(incoming, outgoing, server_hostname=name)
        first = True

        def run(step, *arguments):
            nonlocal first
            while True:
                try:
                    result = step(*arguments)
                except ssl.SSLWantReadError:
                    result = None
                said = outgoing.read()
                if said and first and size:
                    send_in_records(connection, said, int(size[0]))
                elif said:
                    connection.sendall(said)
                first = False
                if result is not None:
                    return result
                heard = connection.recv(65536)
                incoming.write(heard) if heard else incoming.write_eof()

        run(lambda: tls.do_handshake() or True)
        run(tls.write, f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = b""
        try:
            while part := run(tls.read, 65536):
                answer += part
        except ssl.SSLEOFError:
            pass  # this server does not say good-bye
    body = answer.split(b"\r\n\r\n", 1)[1]
    print(json.dumps([len(body), hashlib.sha256(body).hexdigest()]))


def send_in_records(connection, record, size):
    message = record[5:]
    for at in range(0, len(message), size):
        part = message[at : at + size]
        connection.sendall(record[:3] + len(part).to_bytes(2, "big") + part)
        time.sleep(0.005)


main()
