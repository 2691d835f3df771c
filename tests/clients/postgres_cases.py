"""What one Python driver sees in each case, as one JSON object on stdout.

    postgres_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

Cases: login, parameter and result (both large), prepared (statements), crowd (50 connections at once), wrong (password), and for each CASE the login
of OTHER_NAME. With PIERHEAD_TEST_ZONE and PIERHEAD_TEST_CA set, TLS is demanded: the host is USER.ZONE at the address
HOST, and its certificate is verified. What a case gives is {"ok": VALUE}, or {"code": SQLSTATE, "text": WHAT A PERSON SEES}.
"""

import asyncio
import concurrent.futures
import hashlib
import json
import os
import socket
import ssl
import sys

PARAMETER = "".join(chr(0x21 + n * 7919 % 94) for n in range(300_000))
ZONE, CA = os.environ.get("PIERHEAD_TEST_ZONE"), os.environ.get("PIERHEAD_TEST_CA")
RESULT_SQL = "select repeat('0123456789', 30000)"
PREPARED_SQL = "select sum(n) from generate_series(1, {}) n"
# Waits until fifty sessions are here at once, and then until all of them have seen that.
CROWD_SQL = [
    "set application_name = '{}'",
    """do $$ begin for n in 1..1200 loop
        perform pg_stat_clear_snapshot();
        if (select count(*) from pg_stat_activity where application_name = '{}') >= 50 then perform pg_sleep(2); return; end if;
        perform pg_sleep(0.05);
    end loop; raise exception 'alone'; end $$""",
]


def main():
    driver, host, port, name, password, *others = sys.argv[1:]
    cases = {"asyncpg": asyncpg_cases, "pg8000": pg8000_cases}.get(driver) or dbapi_cases(driver)

    def attempt(user, secret, work):
        try:
            return {"ok": work(host, int(port), user, secret)}
        except Exception as error:  # a driver's own class, whatever it is
            return {"code": code_of(error), "text": text_of(error)}

    seen = {case: attempt(name, password, work) for case, work in cases.items()}
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        ended = list(pool.map(lambda _: attempt(name, password, crowd_of(driver)), range(50)))
    seen["crowd"] = next((end for end in ended if "ok" not in end), {"ok": len(ended)})
    seen["wrong"] = attempt(name, "not the password", cases["login"])
    for case, other in (pair.split("=") for pair in others):
        seen[case] = attempt(other, password, cases["login"])
    print(json.dumps(seen))


def crowd_of(driver):
    statements = [sql.replace("{}", f"crowd-{os.getpid()}") for sql in CROWD_SQL]
    if driver == "asyncpg":

        async def all_of(connection):
            for sql in statements:
                await connection.execute(sql)

        return asyncpg_cases_for(all_of)
    if driver == "pg8000":
        return pg8000_cases_for(lambda connection: [connection.run(sql) for sql in statements] and None)
    return dbapi_on_connection(driver)(lambda cursor: [cursor.execute(sql) for sql in statements] and None)


def libpq_place(host, user):
    if not ZONE:
        return {"host": host}
    return {"host": f"{user}.{ZONE}", "hostaddr": host, "sslmode": "verify-full", "sslrootcert": CA}


def python_place(host, user, ssl_argument):
    """For drivers that resolve names themselves: in this process each name of the zone is at the address."""
    if not ZONE:
        return {"host": host}
    resolve = socket.getaddrinfo
    local = lambda name, *rest, **how: resolve(host if str(name).endswith(ZONE) else name, *rest, **how)
    socket.getaddrinfo = local
    return {"host": f"{user}.{ZONE}", ssl_argument: ssl.create_default_context(cafile=CA)}


def digest(value):
    return f"{len(value)} {hashlib.sha256(value.encode()).hexdigest()}"


def code_of(error):
    if isinstance(error.args[0] if error.args else None, dict):
        return error.args[0]["C"]  # pg8000 gives the fields as they came
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def text_of(error):
    if isinstance(error.args[0] if error.args else None, dict):
        message, hint = error.args[0]["M"], error.args[0].get("H")
    else:
        message, hint = str(error), getattr(error, "hint", None)
    return message if not hint or hint in message else f"{message}\nHINT:  {hint}"


def dbapi_on_connection(driver):
    module = __import__(driver)

    def on_connection(work):
        def run(host, port, user, secret):
            connection = module.connect(port=port, user=user, password=secret, dbname=user, **libpq_place(host, user))
            try:
                with connection.cursor() as cursor:
                    return work(cursor)
            finally:
                connection.close()

        return run

    return on_connection


def dbapi_cases(driver):
    on_connection = dbapi_on_connection(driver)

    def one(cursor, *query, **how):
        cursor.execute(*query, **how)
        return cursor.fetchone()[0]

    def prepared(cursor):
        if driver == "psycopg":
            return [one(cursor, PREPARED_SQL.format("%s::int"), (n,), prepare=True) for n in (10, 100, 1000)]
        cursor.execute(f"prepare numbers(int) as {PREPARED_SQL.format('$1')}")
        return [one(cursor, "execute numbers(%s)", (n,)) for n in (10, 100, 1000)]

    return {
        "login": on_connection(lambda cursor: one(cursor, "select current_user::text")),
        "parameter": on_connection(lambda cursor: digest(one(cursor, "select %s::text", (PARAMETER,)))),
        "result": on_connection(lambda cursor: digest(one(cursor, RESULT_SQL))),
        "prepared": on_connection(lambda cursor: [int(n) for n in prepared(cursor)]),
    }


def pg8000_cases_for(work):
    import pg8000.native

    def run(host, port, user, secret):
        place = python_place(host, user, "ssl_context")
        connection = pg8000.native.Connection(user, port=port, password=secret, database=user, **place)
        try:
            return work(connection)
        finally:
            connection.close()

    return run


def pg8000_prepared(connection):
    statement = connection.prepare(PREPARED_SQL.format(":n"))
    return [int(statement.run(n=n)[0][0]) for n in (10, 100, 1000)]


pg8000_cases = {
    "login": pg8000_cases_for(lambda c: c.run("select current_user::text")[0][0]),
    "parameter": pg8000_cases_for(lambda c: digest(c.run("select cast(:p as text)", p=PARAMETER)[0][0])),
    "result": pg8000_cases_for(lambda c: digest(c.run(RESULT_SQL)[0][0])),
    "prepared": pg8000_cases_for(pg8000_prepared),
}


def asyncpg_cases_for(work):
    async def run(host, port, user, secret):
        import asyncpg

        place = python_place(host, user, "ssl")
        connection = await asyncpg.connect(port=port, user=user, password=secret, database=user, **place)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return lambda *where: asyncio.run(run(*where))


async def asyncpg_login(connection):
    return await connection.fetchval("select current_user::text")


async def asyncpg_parameter(connection):
    return digest(await connection.fetchval("select $1::text", PARAMETER))


async def asyncpg_result(connection):
    return digest(await connection.fetchval(RESULT_SQL))


async def asyncpg_prepared(connection):
    statement = await connection.prepare(PREPARED_SQL.format("$1::int"))
    return [int(await statement.fetchval(n)) for n in (10, 100, 1000)]


asyncpg_cases = {
    "login": asyncpg_cases_for(asyncpg_login),
    "parameter": asyncpg_cases_for(asyncpg_parameter),
    "result": asyncpg_cases_for(asyncpg_result),
    "prepared": asyncpg_cases_for(asyncpg_prepared),
}

main()
