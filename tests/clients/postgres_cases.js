// What one JavaScript driver sees in each case, as one JSON object on stdout.
//
//     node postgres_cases.js DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]
//
// The cases and what they give are those of postgres_cases.py, and so are PIERHEAD_TEST_ZONE and PIERHEAD_TEST_CA.
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');

const PARAMETER = Array.from({ length: 300000 }, (_, n) => String.fromCharCode(0x21 + ((n * 7919) % 94))).join('');
const RESULT_SQL = "select repeat('0123456789', 30000) as v";
const PREPARED_SQL = 'select sum(n)::int as v from generate_series(1, $1::int) n';

// As in postgres_cases.py.
const CROWD_SQL = [
    `set application_name = 'crowd-${process.pid}'`,
    `do $$ begin for n in 1..1200 loop
        perform pg_stat_clear_snapshot();
        if (select count(*) from pg_stat_activity where application_name = 'crowd-${process.pid}') >= 50 then perform pg_sleep(2); return; end if;
        perform pg_sleep(0.05);
    end loop; raise exception 'alone'; end $$`,
];

const [driver, host, port, name, password, ...others] = process.argv.slice(2);

const { PIERHEAD_TEST_ZONE: zone, PIERHEAD_TEST_CA: ca } = process.env;
const ssl = (user) => (zone ? { servername: `${user}.${zone}`, ca: readFileSync(ca) } : false);

const digest = (text) => `${text.length} ${createHash('sha256').update(text).digest('hex')}`;

async function withPg(user, secret, work) {
    const { Client } = require('pg');
    const client = new Client({ host, port: Number(port), user, password: secret, database: user, ssl: ssl(user) });
    await client.connect();
    const one = async (...query) => (await client.query(...query)).rows[0].v;
    const prepared = (n) => one({ name: 'numbers', text: PREPARED_SQL, values: [n] });
    try {
        return await work(one, prepared, (text) => client.query(text));
    } finally {
        await client.end();
    }
}

async function withPostgresJs(user, secret, work) {
    const place = { host, port: Number(port), database: user, ssl: ssl(user) };
    const sql = require('postgres')({ ...place, user, password: secret, max: 1 });
    const one = async (text, values = []) => (await sql.unsafe(text, values))[0].v;
    const prepared = async (n) => (await sql.unsafe(PREPARED_SQL, [n], { prepare: true }))[0].v;
    try {
        return await work(one, prepared, (text) => sql.unsafe(text));
    } finally {
        await sql.end({ timeout: 5 });
    }
}

const cases = {
    login: (one) => one('select current_user::text as v'),
    parameter: async (one) => digest(await one('select $1::text as v', [PARAMETER])),
    result: async (one) => digest(await one(RESULT_SQL)),
    prepared: async (_, prepared) => [await prepared(10), await prepared(100), await prepared(1000)],
};

async function crowd(_, __, run) {
    for (const text of CROWD_SQL) await run(text);
}

async function attempt(user, secret, work) {
    try {
        return { ok: await (driver === 'pg' ? withPg : withPostgresJs)(user, secret, work) };
    } catch (error) {
        return { code: error.code ?? null, text: error.message + (error.hint ? `\nHINT:  ${error.hint}` : '') };
    }
}

async function main() {
    const seen = {};
    for (const [name_of_case, work] of Object.entries(cases)) seen[name_of_case] = await attempt(name, password, work);
    const ended = await Promise.all(Array.from({ length: 50 }, () => attempt(name, password, crowd)));
    seen.crowd = ended.find((end) => !('ok' in end)) ?? { ok: ended.length };
    seen.wrong = await attempt(name, 'not the password', cases.login);
    for (const [other_case, other] of others.map((pair) => pair.split('='))) {
        seen[other_case] = await attempt(other, password, cases.login);
    }
    console.log(JSON.stringify(seen));
}

main();
