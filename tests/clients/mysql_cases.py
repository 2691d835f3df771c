"""What one Python driver sees in each case, as one JSON object on stdout.

    mysql_cases.py DRIVER HOST PORT NAME PASSWORD OTHER_USER OTHER_PASSWORD [CASE=OTHER_NAME...]

Cases: login, parameter and result (both large), rows (many), prepared (statements), crowd (of connections at once),
change_user (to OTHER_USER, where the driver can), wrong (password), and for each CASE the login of OTHER_NAME. What a case
gives is {"ok": VALUE}, or {"code": NUMBER, "state": SQLSTATE, "text": WHAT A PERSON SEES}. With PIERHEAD_TEST_ZONE and
PIERHEAD_TEST_CA set, TLS is demanded: the host is ADDON.ZONE instead of HOST, and its certificate is verified.
"""

import asyncio
import hashlib
import json
import os
import ssl
import sys

PARAMETER = "".join(chr(0x21 + n * 7919 % 94) for n in range(300_000))
NUMBERS_SQL = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select {} from n"
RESULT_SQL = "select repeat('0123456789', 30000)"
ROWS_SQL = f"select concat(a.i, '-', b.i) from ({NUMBERS_SQL.format(100, 'i')}) a join ({NUMBERS_SQL.format(50, 'i')}) b"
PREPARED_SQL = NUMBERS_SQL.format("?", "sum(i)")
CROWD = 50
ZONE, CA = os.environ.get("PIERHEAD_TEST_ZONE"), os.environ.get("PIERHEAD_TEST_CA")


def main():
    driver, host, port, name, password, other_user, other_password, *others = sys.argv[1:]
    cases = {"asyncmy": asyncmy_cases}.get(driver) or dbapi_cases(driver)

    def attempt(case, user, secret, *further):
        try:
            where = place(driver, host, user) | {"port": int(port)}
            return {"ok": cases[case](where | {"user": user, "password": secret, "database": name}, *further)}
        except Exception as error:  # a driver's own class, whatever it is
            code, *_ = [*error.args, None]
            number = getattr(error, "errno", None) or code
            return {"code": number, "state": getattr(error, "sqlstate", None), "text": str(error)}

    seen = {case: attempt(case, name, password) for case in cases if case != "change_user"}
    if "change_user" in cases:
        seen["change_user"] = attempt("change_user", name, password, other_user, other_password)
    seen["wrong"] = attempt("login", name, "not the password")
    for case, other in (pair.split("=") for pair in others):
        seen[case] = attempt("login", other, password)
    print(json.dumps(seen))


def place(driver, host, user):
    if not ZONE:
        return {"host": host}
    tls = {"ssl": ssl.create_default_context(cafile=CA)}
    if driver == "connector":
        tls = {"ssl_ca": CA, "ssl_verify_cert": True, "ssl_verify_identity": True}
    return {"host": f"{user.split('.')[0]}.{ZONE}"} | tls


def digest(value):
    return f"{len(value)} {hashlib.sha256(value.encode()).hexdigest()}"


def dbapi_cases(driver):
    module = __import__({"connector": "mysql.connector"}.get(driver, driver), fromlist=["connect"])
    pure = {"use_pure": True} if driver == "connector" else {}

    def on_connection(work):
        def run(where, *further):
            connection = module.connect(**where, **pure)
            try:
                return work(connection, *further)
            finally:
                connection.close()

        return run

    def one(connection, *query, **how):
        cursor = connection.cursor(**how)
        cursor.execute(*query)
        value = cursor.fetchone()[0]
        cursor.close()
        return value

    def rows(connection):
        cursor = connection.cursor()
        cursor.execute(ROWS_SQL)
        return digest(" ".join(row[0] for row in cursor.fetchall()))

    def prepared(connection):
        if driver == "connector":
            cursor = connection.cursor(prepared=True)
            sums = [(cursor.execute(PREPARED_SQL, (n,)), cursor.fetchone()[0])[1] for n in (10, 100, 1000)]
            return [int(sum_) for sum_ in sums]
        return [int(one(connection, f"execute immediate '{PREPARED_SQL}' using {n}")) for n in (10, 100, 1000)]

    def crowd(where):
        connections = [module.connect(**where, **pure) for _ in range(CROWD)]
        try:
            return sum(int(one(connection, "select 1")) for connection in connections)
        finally:
            [connection.close() for connection in connections]

    def change_user(connection, user, password):
        connection.cmd_change_user(user, password, connection.database)
        return one(connection, "select current_user()")

    cases = {
        "login": on_connection(lambda connection: one(connection, "select current_user()")),
        "parameter": on_connection(lambda connection: digest(one(connection, "select %s", (PARAMETER,)))),
        "result": on_connection(lambda connection: digest(one(connection, RESULT_SQL))),
        "rows": on_connection(rows),
        "prepared": on_connection(prepared),
        "crowd": crowd,
    }
    return cases | ({"change_user": on_connection(change_user)} if driver == "connector" else {})


def asyncmy_cases_for(work):
    async def run(where):
        import asyncmy

        connection = await asyncmy.connect(**where)
        try:
            async with connection.cursor() as cursor:
                return await work(cursor)
        finally:
            connection.close()

    return lambda where: asyncio.run(run(where))


async def asyncmy_one(cursor, *query):
    await cursor.execute(*query)
    return (await cursor.fetchone())[0]


async def asyncmy_login(cursor):
    return await asyncmy_one(cursor, "select current_user()")


async def asyncmy_parameter(cursor):
    return digest(await asyncmy_one(cursor, "select %s", (PARAMETER,)))


async def asyncmy_result(cursor):
    return digest(await asyncmy_one(cursor, RESULT_SQL))


async def asyncmy_rows(cursor):
    await cursor.execute(ROWS_SQL)
    return digest(" ".join(row[0] for row in await cursor.fetchall()))


async def asyncmy_prepared(cursor):
    sql = f"execute immediate '{PREPARED_SQL}' using "
    return [int(await asyncmy_one(cursor, sql + str(n))) for n in (10, 100, 1000)]


def asyncmy_crowd(where):
    async def run():
        import asyncmy

        connections = await asyncio.gather(*(asyncmy.connect(**where) for _ in range(CROWD)))
        sum_ = 0
        for connection in connections:
            async with connection.cursor() as cursor:
                sum_ += await asyncmy_one(cursor, "select 1")
            connection.close()
        return sum_

    return asyncio.run(run())


asyncmy_cases = {
    "login": asyncmy_cases_for(asyncmy_login),
    "parameter": asyncmy_cases_for(asyncmy_parameter),
    "result": asyncmy_cases_for(asyncmy_result),
    "rows": asyncmy_cases_for(asyncmy_rows),
    "prepared": asyncmy_cases_for(asyncmy_prepared),
    "crowd": asyncmy_crowd,
}

main()
