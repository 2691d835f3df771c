// What memjs sees in each case, as one JSON object on stdout.
//
//     node memcached_cases.js DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]
//
// The cases and what they give are those of memcached_cases.py, without `stream`.
'use strict';

const { createHash, randomBytes } = require('node:crypto');
const memjs = require('memjs');

const VALUE = Buffer.from(Array.from({ length: 300000 }, (_, n) => (n * 7919 + Math.floor(n / 251)) % 256));
const CONNECTIONS = 50;

const [, host, port, name, password, ...others] = process.argv.slice(2);

// The library tells its log what happens to a connection, and its callers only that it has failed.
let heard = [];
const logger = { log: (...words) => heard.push(words.join(' ')) };

const open = (username, secret) =>
    memjs.Client.create(`${host}:${port}`, { username, password: secret, retries: 0, timeout: 15, conntimeout: 15, logger });

async function thereAndBack(client, value) {
    const key = `js${randomBytes(6).toString('hex')}`;
    await client.set(key, value, { expires: 60 });
    return (await client.get(key)).value;
}

const cases = {
    login: async (client) => String(await thereAndBack(client, 'hello')),
    bulk: async (client) => {
        const back = await thereAndBack(client, VALUE);
        return `${back.length} ${createHash('sha256').update(back).digest('hex')}`;
    },
    many: async () => {
        const clients = Array.from({ length: CONNECTIONS }, () => open(name, password));
        const back = await Promise.all(clients.map((client) => thereAndBack(client, 'here')));
        clients.forEach((client) => client.close());
        return back.filter((value) => String(value) === 'here').length;
    },
};

async function attempt(user, secret, work) {
    heard = [];
    const client = open(user, secret);
    try {
        return { ok: await work(client) };
    } catch (error) {
        return { text: [error?.message ?? String(error), ...heard].join('; ') };
    } finally {
        client.close();
    }
}

async function main() {
    const seen = {};
    for (const [case_, work] of Object.entries(cases)) seen[case_] = await attempt(name, password, work);
    seen.wrong = await attempt(name, 'not the password', cases.login);
    for (const [case_, user] of others.map((pair) => pair.split('='))) {
        seen[case_] = await attempt(user, password, cases.login);
    }
    console.log(JSON.stringify(seen));
}

main();
