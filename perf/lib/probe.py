"""One login, to see that an address leads to the engine that is meant, and what it says if it does not."""

import socket
import struct

from .process import Failed, run

TIMEOUT_S = 2
READY_FOR_QUERY, ERROR_RESPONSE = b"Z", b"E"


def redis(address, name, password):
    """Logs in; returns how many commands the server has processed, which tells whether load arrived."""
    with connected(address) as stream:
        stream.sendall(redis_command("AUTH", name, password) + redis_command("INFO", "stats"))
        reader = stream.makefile("rb")
        for _ in range(2):
            line = reader.readline().decode(errors="replace").strip()
            if line.startswith("-") or not line:
                raise Failed(f"redis: {line[1:] or 'closed without an answer'}")
        for line in reader.read(int(line[1:])).decode().splitlines():
            if line.startswith("total_commands_processed:"):
                return int(line.partition(":")[2])
    raise Failed("redis: INFO tells no total_commands_processed")


def redis_command(*words):
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def mysql(address, name, password):
    """Logs in; returns how many connections the server has had, which tells whether load arrived."""
    out = run([*mysql_client("mariadb", address, name, password), "-N", "-B", "-e", "SHOW GLOBAL STATUS LIKE 'Connections'"],
              TIMEOUT_S)
    return int(out.split()[1])


def mysql_client(program, address, name, password):
    """No request for TLS, which no subject has."""
    return [program, "--no-defaults", "--protocol=tcp", "--skip-ssl", "-h", address[0], "-P", str(address[1]), "-u", name,
            f"-p{password}"]


def postgres(address, user):
    """Logs in without a password and waits until the server is ready for a query."""
    with connected(address) as stream:
        parameters = b"user\0" + user.encode() + b"\0database\0" + user.encode() + b"\0\0"
        stream.sendall(struct.pack("!II", 8 + len(parameters), 3 << 16) + parameters)
        reader = stream.makefile("rb")
        while True:
            head = reader.read(5)
            if len(head) < 5:
                raise Failed("postgres: closed without an answer")
            kind, length = head[:1], struct.unpack("!I", head[1:])[0]
            body = reader.read(length - 4)
            if kind == READY_FOR_QUERY:
                stream.sendall(b"X\0\0\0\4")
                return True
            if kind == ERROR_RESPONSE:
                raise Failed(f"postgres: {error_text(body)}")


def error_text(body):
    """The message of an ErrorResponse: fields of a letter and a text, each ended by a zero byte."""
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    return fields.get(b"M", "an error without a message")


def connected(address):
    try:
        stream = socket.create_connection(address, TIMEOUT_S)
    except OSError as error:
        raise Failed(f"{address[0]}:{address[1]}: {error}") from None
    return Stream(stream)


class Stream:
    """A socket whose errors are `Failed`."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self.stream

    def __exit__(self, kind, error, trace):
        self.stream.close()
        if kind and issubclass(kind, OSError):
            raise Failed(str(error)) from None
