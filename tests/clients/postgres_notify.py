"""LISTEN and NOTIFY between two drivers, both ways, over connections that wait in between. Prints what was heard.

    postgres_notify.py HOST PORT NAME PASSWORD
"""

import asyncio
import json
import sys

import asyncpg
import psycopg

PAUSE_S = 1.0  # long enough for a connection to be idle in the edge
PATIENCE_S = 10.0


async def main():
    host, port, name, password = sys.argv[1:]
    where = {"host": host, "port": int(port), "user": name, "password": password}
    pure = await asyncpg.connect(database=name, **where)
    libpq = await psycopg.AsyncConnection.connect(dbname=name, autocommit=True, **where)
    heard = {"asyncpg": await asyncpg_hears(pure, libpq), "psycopg": await psycopg_hears(pure, libpq)}
    await pure.close()
    await libpq.close()
    print(json.dumps(heard))


async def asyncpg_hears(pure, libpq):
    heard = asyncio.get_running_loop().create_future()
    await pure.add_listener("pier", lambda _connection, _pid, _channel, payload: heard.set_result(payload))
    await asyncio.sleep(PAUSE_S)
    await libpq.execute("notify pier, 'from psycopg'")
    return await asyncio.wait_for(heard, PATIENCE_S)


async def psycopg_hears(pure, libpq):
    await libpq.execute("listen head")
    await asyncio.sleep(PAUSE_S)
    await pure.execute("notify head, 'from asyncpg'")
    async for notification in libpq.notifies(timeout=PATIENCE_S, stop_after=1):
        return notification.payload
    return None


asyncio.run(main())
