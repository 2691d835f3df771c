// What mqtt.js sees in each case, as one JSON object on stdout.
//
//     node mqtt_cases.js DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]
//
// DRIVER: mqtt.js-3.1.1, mqtt.js-5. The cases and what they give are those of mqtt_cases.py, and so are its variables.
'use strict';

const { createHash, randomBytes } = require('node:crypto');
const { readFileSync } = require('node:fs');
const mqtt = require('mqtt');

const PAYLOAD = Buffer.from(Array.from({ length: 300000 }, (_, n) => (n * 7919 + Math.floor(n / 251)) % 256));
const CONNECTIONS = 50;
const MESSAGES = 2000;

const [driver, host, port, name, password, ...others] = process.argv.slice(2);

function tls(user) {
    const zone = process.env.PIERHEAD_TEST_ZONE;
    if (!zone) return {};
    return { protocol: 'mqtts', servername: `${user}.${zone}`, ca: readFileSync(process.env.PIERHEAD_TEST_CA) };
}

function open(username, secret, more = {}) {
    const protocolVersion = driver.endsWith('-5') ? 5 : 4;
    const options = { host, port: Number(port), username, password: secret, protocolVersion, ...tls(username), ...more };
    // What a broker of version 5 says besides its code is in the packet.
    let reason = '';
    return new Promise((resolve, reject) => {
        const client = mqtt.connect({ reconnectPeriod: 0, connectTimeout: 15000, ...options });
        client.on('packetreceive', (packet) => (reason = packet.properties?.reasonString ?? reason));
        client.once('connect', () => resolve(client));
        client.once('error', (error) => {
            client.end(true);
            reject(new Error(reason ? `${error.message}: ${reason}` : error.message));
        });
        client.once('close', () => reject(new Error('the server closed the connection')));
    });
}

async function received(client, count, publish) {
    const topic = `js/${randomBytes(6).toString('hex')}`;
    const all = [];
    const done = new Promise((resolve) => {
        client.on('message', (_, payload) => all.push(payload) === count && resolve());
    });
    await client.subscribeAsync(topic, { qos: 1 });
    await publish(topic);
    await done;
    return all;
}

const thereAndBack = async (client, payload) => {
    const [back] = await received(client, 1, (topic) => client.publishAsync(topic, payload, { qos: 1 }));
    return back;
};

const cases = {
    login: async (client) => String(await thereAndBack(client, 'hello')),
    bulk: async (client) => {
        const back = await thereAndBack(client, PAYLOAD);
        return `${back.length} ${createHash('sha256').update(back).digest('hex')}`;
    },
    stream: async (client) => {
        const all = await received(client, MESSAGES, (topic) => {
            for (let n = 0; n < MESSAGES; n++) client.publish(topic, String(n).padStart(60, '0'), { qos: 1 });
        });
        return all.reduce((sum, payload) => sum + Number(payload), 0);
    },
    will: async (heir) => {
        const [last] = await received(heir, 1, async (topic) => {
            const mortal = await open(name, password, { will: { topic, payload: Buffer.from('gone'), qos: 1 } });
            mortal.stream.destroy();
        });
        return String(last);
    },
    many: async () => {
        const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => open(name, password)));
        const back = await Promise.all(clients.map((client) => thereAndBack(client, 'here')));
        await Promise.all(clients.map((client) => client.endAsync()));
        return back.filter((payload) => String(payload) === 'here').length;
    },
};

async function attempt(user, secret, work) {
    try {
        const client = await open(user, secret);
        try {
            return { ok: await work(client) };
        } finally {
            await client.endAsync();
        }
    } catch (error) {
        return { text: error.message };
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
    process.exit(0); // those that were cut off may still hold timers
}

main();
