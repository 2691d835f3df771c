// What one JavaScript driver sees in each case, as one JSON object on stdout.
//
//     node mysql_cases.js DRIVER HOST PORT NAME PASSWORD OTHER_USER OTHER_PASSWORD [CASE=OTHER_NAME...]
//
// The cases and what they give are those of mysql_cases.py, and so are PIERHEAD_TEST_ZONE and PIERHEAD_TEST_CA.
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { promisify } = require('node:util');

const PARAMETER = Array.from({ length: 300000 }, (_, n) => String.fromCharCode(0x21 + ((n * 7919) % 94))).join('');
const numbers = (last, what) =>
    `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${last}) select ${what} from n`;
const RESULT_SQL = "select repeat('0123456789', 30000) as v";
const ROWS_SQL = `select concat(a.i, '-', b.i) as v from (${numbers(100, 'i')}) a join (${numbers(50, 'i')}) b`;
const PREPARED_SQL = numbers('?', 'sum(i) as v');
const CROWD = 50;

const [driver, host, port, name, password, otherUser, otherPassword, ...others] = process.argv.slice(2);

const { PIERHEAD_TEST_ZONE: zone, PIERHEAD_TEST_CA: ca } = process.env;
// node mariadb sends no host name of its own accord.
const tls = (host) => ({ host, ssl: { ca: readFileSync(ca), servername: host, verifyIdentity: true } });
const place = (user) => (zone ? tls(`${user.split('.')[0]}.${zone}`) : { host });

const digest = (text) => `${text.length} ${createHash('sha256').update(text).digest('hex')}`;

// A connection of any of the drivers: query(sql, values) gives rows, prepared(n) a sum, changeUser and end.
const drivers = {
    async mysql2(options) {
        const connection = await require('mysql2/promise').createConnection(options);
        return {
            query: async (...query) => (await connection.query(...query))[0],
            prepared: async (n) => (await connection.execute(PREPARED_SQL, [n]))[0][0].v,
            changeUser: (user) => connection.changeUser(user),
            end: () => connection.end(),
        };
    },
    async mysql(options) {
        const connection = require('mysql').createConnection(options);
        const promised = (method) => promisify(connection[method].bind(connection));
        await promised('connect')();
        const query = promised('query');
        return {
            query,
            prepared: async (n) => (await query(`execute immediate '${PREPARED_SQL}' using ${n}`))[0].v,
            changeUser: promised('changeUser'),
            end: promised('end'),
        };
    },
    async mariadb(options) {
        const connection = await require('mariadb').createConnection(options);
        return {
            query: (...query) => connection.query(...query),
            prepared: async (n) => (await connection.execute(PREPARED_SQL, [n]))[0].v,
            changeUser: (user) => connection.changeUser(user),
            end: () => connection.end(),
        };
    },
};

const connect = (user, secret) =>
    drivers[driver]({ ...place(user), port: Number(port), user, password: secret, database: name });

const one = async (connection, ...query) => (await connection.query(...query))[0].v;

async function prepared(connection) {
    const sums = [];
    for (const n of [10, 100, 1000]) sums.push(Number(await connection.prepared(n)));
    return sums;
}

async function changeUser(connection) {
    await connection.changeUser({ user: otherUser, password: otherPassword, database: name });
    return one(connection, 'select current_user() as v');
}

const cases = {
    login: (connection) => one(connection, 'select current_user() as v'),
    parameter: async (connection) => digest(await one(connection, 'select ? as v', [PARAMETER])),
    result: async (connection) => digest(await one(connection, RESULT_SQL)),
    rows: async (connection) => digest((await connection.query(ROWS_SQL)).map((row) => row.v).join(' ')),
    prepared,
    change_user: changeUser,
};

async function crowd() {
    const connections = await Promise.all(Array.from({ length: CROWD }, () => connect(name, password)));
    const ones = await Promise.all(connections.map((connection) => one(connection, 'select 1 as v')));
    await Promise.all(connections.map((connection) => connection.end()));
    return ones.reduce((sum, one) => sum + Number(one), 0);
}

async function attempt(work) {
    try {
        return { ok: await work() };
    } catch (error) {
        return { code: error.errno ?? null, state: error.sqlState ?? null, text: error.sqlMessage ?? error.message };
    }
}

const onConnection = (user, secret, work) => async () => {
    const connection = await connect(user, secret);
    try {
        return await work(connection);
    } finally {
        // One that is broken cannot be ended, and need not.
        await connection.end().catch(() => {});
    }
};

async function main() {
    const seen = {};
    for (const [case_, work] of Object.entries(cases)) seen[case_] = await attempt(onConnection(name, password, work));
    seen.crowd = await attempt(crowd);
    seen.wrong = await attempt(onConnection(name, 'not the password', cases.login));
    for (const [case_, other] of others.map((pair) => pair.split('='))) {
        seen[case_] = await attempt(onConnection(other, password, cases.login));
    }
    console.log(JSON.stringify(seen));
}

main();
