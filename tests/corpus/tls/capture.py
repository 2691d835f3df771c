"""Records the ClientHello of one TLS client.

    capture.py NAME COMMAND...

Listens on a free port of 127.0.0.1, runs COMMAND with PORT replaced by that port, and leaves what the first
connection has said within 0.3 s in NAME.bin.
"""
import pathlib, socket, subprocess, sys

name, *command = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))
port = str(listener.getsockname()[1])
quiet = subprocess.DEVNULL
client = subprocess.Popen([word.replace("PORT", port) for word in command], stdin=quiet, stdout=quiet, stderr=quiet)
listener.settimeout(20)
connection, _ = listener.accept()
connection.settimeout(0.3)
said = b""
try:
    while part := connection.recv(65536):
        said += part
except TimeoutError:
    pass
connection.close()
listener.close()
pathlib.Path(name + ".bin").write_bytes(said)
client.wait(20)
