// What nats.js sees in each case, as one JSON object on stdout.
//
//     node nats_cases.js DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]
//
// The cases and what they give are those of nats_cases.py; `signed` is a login by nkey.
'use strict';

const { createHash, randomBytes } = require('node:crypto');
const { connect, createInbox, nkeyAuthenticator, nkeys } = require('nats');

const PAYLOAD = Uint8Array.from({ length: 300000 }, (_, n) => (n * 7919 + Math.floor(n / 251)) % 256);
const CONNECTIONS = 50;
const MESSAGES = 3000;

const [, host, port, name, password, ...others] = process.argv.slice(2);

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function received(client, count, publish) {
    const inbox = createInbox();
    const messages = client.subscribe(inbox, { max: count });
    publish(inbox);
    const all = [];
    for await (const message of messages) all.push(message.data);
    return all;
}

const thereAndBack = async (client, payload) => {
    const [back] = await received(client, 1, (inbox) => client.publish(inbox, payload));
    return back;
};

const cases = {
    login: async (client) => new TextDecoder().decode(await thereAndBack(client, 'hello')),
    bulk: async (client) => {
        const back = await thereAndBack(client, PAYLOAD);
        return `${back.length} ${digest(back)}`;
    },
    stream: async (client) => {
        const all = await received(client, MESSAGES, (inbox) => {
            for (let n = 0; n < MESSAGES; n++) client.publish(inbox, String(n).padStart(60, '0'));
        });
        return all.reduce((sum, data) => sum + Number(new TextDecoder().decode(data)), 0);
    },
    stored: async (client) => {
        const manager = await client.jetstreamManager();
        const stream = `js${randomBytes(4).toString('hex')}`;
        await manager.streams.add({ name: stream, subjects: [`${stream}.>`] });
        await client.jetstream().publish(`${stream}.one`, PAYLOAD);
        const message = await manager.streams.getMessage(stream, { seq: 1 });
        await manager.streams.delete(stream);
        return digest(message.data);
    },
    many: async (_, open) => {
        const clients = await Promise.all(Array.from({ length: CONNECTIONS }, open));
        const back = await Promise.all(clients.map((client) => thereAndBack(client, 'here')));
        await Promise.all(clients.map((client) => client.close()));
        return back.filter((data) => new TextDecoder().decode(data) === 'here').length;
    },
};

async function attempt(who, work) {
    const open = () => connect({ servers: `${host}:${port}`, reconnect: false, timeout: 15000, ...who });
    try {
        const client = await open();
        try {
            return { ok: await work(client, open) };
        } finally {
            await client.close();
        }
    } catch (error) {
        return { text: `${error.code}: ${error.message}` };
    }
}

async function main() {
    const seen = {};
    for (const [case_, work] of Object.entries(cases)) seen[case_] = await attempt({ user: name, pass: password }, work);
    seen.wrong = await attempt({ user: name, pass: 'not the password' }, cases.login);
    seen.token = await attempt({ token: `${name}:not a token of this server` }, cases.login);
    seen.signed = await attempt({ authenticator: nkeyAuthenticator(nkeys.createUser().getSeed()) }, cases.login);
    for (const [case_, user] of others.map((pair) => pair.split('='))) {
        seen[case_] = await attempt({ user, pass: password }, cases.login);
    }
    console.log(JSON.stringify(seen));
}

main();
