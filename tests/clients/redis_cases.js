// What one JavaScript driver sees in each case, as one JSON object on stdout.
//
//     node redis_cases.js DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]
//
// Drivers: ioredis, node-redis. The cases, what they give and how TLS is asked for are those of redis_cases.py.
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');

const VALUE = Buffer.from(Array.from({ length: 300000 }, (_, n) => (n * 7919 + Math.floor(n / 251)) % 256));
const CONNECTIONS = 50;

const { PIERHEAD_TEST_ZONE: zone, PIERHEAD_TEST_CA: ca } = process.env;
const tlsOf = (username) => ({ ca: readFileSync(ca), servername: `${username}.${zone}` });

const [driver, host, port, name, password, ...others] = process.argv.slice(2);

// Both drivers report what happens to the connection as events: a person sees these and what a command was refused with.
const errors = [];
const note = (error) => {
    if (!errors.includes(error.message)) errors.push(error.message);
};

function ioredis(username, secret) {
    const { Redis } = require('ioredis');
    const options = { host, port: Number(port), username, password: secret, lazyConnect: true };
    const tls = zone ? { tls: tlsOf(username) } : {};
    const client = new Redis({ ...options, ...tls, retryStrategy: null, maxRetriesPerRequest: 0 });
    client.on('error', note);
    return {
        connect: () => client.connect(),
        call: (...words) => client.call(...words),
        buffer: (...words) => client.callBuffer(...words),
        subscribe: async (heard) => {
            client.on('message', (channel, message) => heard(message));
            await client.subscribe('channel');
        },
        close: () => client.disconnect(),
    };
}

function nodeRedis(username, secret) {
    const { createClient, RESP_TYPES } = require('redis');
    const tls = zone ? { tls: true, ...tlsOf(username) } : {};
    const socket = { host, port: Number(port), ...tls, reconnectStrategy: false };
    const client = createClient({ socket, username, password: secret });
    client.on('error', note);
    return {
        connect: () => client.connect(),
        call: (...words) => client.sendCommand(words),
        buffer: (...words) => client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).sendCommand(words),
        subscribe: (heard) => client.subscribe('channel', heard),
        close: () => client.isOpen && client.destroy(),
    };
}

const open = driver === 'ioredis' ? ioredis : nodeRedis;

const cases = {
    login: (client) => client.call('ACL', 'WHOAMI'),
    value: async (client) => {
        await client.call('SET', 'value', VALUE);
        const back = await client.buffer('GET', 'value');
        return `${back.length} ${createHash('sha256').update(back).digest('hex')} ${back.equals(VALUE)}`;
    },
    pipeline: async (client) => {
        const words = Array.from({ length: 5000 }, (_, n) => String(n).padStart(60, '0'));
        const answers = await Promise.all(words.map((word) => client.call('ECHO', word)));
        return answers.reduce((sum, answer) => sum + Number(answer), 0);
    },
    published: async (client) => {
        const listener = open(name, password);
        try {
            await listener.connect();
            let heard;
            const message = new Promise((resolve) => { heard = resolve; });
            await listener.subscribe(heard);
            await client.call('PUBLISH', 'channel', 'x'.repeat(VALUE.length));
            return (await message).length;
        } finally {
            listener.close();
        }
    },
    many: async () => {
        const clients = Array.from({ length: CONNECTIONS }, () => open(name, password));
        try {
            await Promise.all(clients.map((client) => client.connect()));
            const answers = await Promise.all(clients.map((client) => client.call('ECHO', 'here')));
            return answers.filter((answer) => answer === 'here').length;
        } finally {
            clients.forEach((client) => client.close());
        }
    },
};

async function attempt(user, secret, work) {
    errors.length = 0;
    const client = open(user, secret);
    try {
        await client.connect();
        return { ok: await work(client) };
    } catch (error) {
        note(error);
        return { text: errors.join('\n') };
    } finally {
        client.close();
    }
}

async function main() {
    const seen = {};
    for (const [name_of_case, work] of Object.entries(cases)) seen[name_of_case] = await attempt(name, password, work);
    seen.alone = await attempt(undefined, `${name}:${password}`, cases.login);
    seen.wrong = await attempt(name, 'not the password', cases.login);
    for (const [other_case, other] of others.map((pair) => pair.split('='))) {
        seen[other_case] = await attempt(other, password, cases.login);
    }
    console.log(JSON.stringify(seen));
}

main();
