"""Copies rows into a table and out again, and prints the hash of what went in and of what came out, as JSON.

    postgres_copy.py HOST PORT NAME PASSWORD MEBIBYTES

Every line is numbered, so that a block that changes places changes the hash. Nothing is held but one block.
"""

import hashlib
import json
import os
import sys

import psycopg

ROW_BYTES = 2048  # below the size at which the server compresses
ROWS_PER_BLOCK = 512


def main():
    host, port, name, password, mebibytes = sys.argv[1:]
    rows = int(mebibytes) * 1024 * 1024 // ROW_BYTES
    with psycopg.connect(host=host, port=port, user=name, password=password, dbname=name) as connection:
        connection.execute("set synchronize_seqscans = off")  # out in the order in which it went in
        connection.execute("create temporary table lines (line text)")
        with connection.cursor().copy("copy lines from stdin") as copy:
            into = hash_of(blocks(rows), copy.write)
        with connection.cursor().copy("copy lines to stdout") as copy:
            out = hash_of(copy, lambda block: None)
    print(json.dumps({"in": into, "out": out}))


def hash_of(parts, use):
    digest, size = hashlib.sha256(), 0
    for part in parts:
        digest.update(part)
        size += len(part)
        use(part)
    return f"{size} {digest.hexdigest()}"


def blocks(rows):
    noise = os.urandom(ROW_BYTES).hex().encode()
    for first in range(0, rows, ROWS_PER_BLOCK):
        yield b"".join(line(number, noise) for number in range(first, min(first + ROWS_PER_BLOCK, rows)))


def line(number, noise):
    start = number * 31 % (ROW_BYTES - 16)
    return b"%015d" % number + noise[start : start + ROW_BYTES - 16] + b"\n"


main()
