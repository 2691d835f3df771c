"""Cancels a query with libpq's newer request, as a connection that asked for a protocol version does. Prints, as
JSON, the SQLSTATE that the query got and after how many seconds.

    postgres_cancel.py HOST PORT NAME PASSWORD PROTOCOL_VERSION [FURTHER=PARAMETER...]
"""

import json
import sys
import threading
import time

import psycopg


def main():
    host, port, name, password, version, *further = sys.argv[1:]
    where = {"host": host, "port": port, "user": name, "password": password, "dbname": name}
    where |= dict(parameter.split("=") for parameter in further)
    with psycopg.connect(max_protocol_version=version, **where) as connection:
        connection.execute("select 1")
        started = time.monotonic()
        threading.Timer(0.5, connection.cancel_safe).start()
        try:
            connection.execute("select pg_sleep(30)")
            code = None
        except psycopg.errors.QueryCanceled as error:
            code = error.sqlstate
        took = time.monotonic() - started - 0.5
        connection.rollback()
        # The connection goes on.
        connection.execute("select 1")
    print(json.dumps({"code": code, "took_s": round(took, 3)}))


main()
