// What a Node driver of AMQP sees in each case, as one JSON object on stdout.
//
//     node amqp_cases.js DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]
//
// DRIVER: amqplib (0-9-1), rhea (1.0). The cases and what they give are those of amqp_cases.py; rhea has no `vhost`.
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { once } = require('node:events');

const PAYLOAD = Buffer.from(Uint8Array.from({ length: 300000 }, (_, n) => (n * 7919 + Math.floor(n / 251)) % 256));
const CONNECTIONS = 50;
const MESSAGES = 2000;
const PATIENCE_MS = 20000;
const ZONE = process.env.PIERHEAD_TEST_ZONE;

const [driver, host, port, name, password, ...others] = process.argv.slice(2);

// How TLS is spoken. Nobody resolves the names of the zone: the address is asked, by the name.
const tls = (user) => (ZONE ? { servername: `${user}.${ZONE}`, ca: [readFileSync(process.env.PIERHEAD_TEST_CA)] } : {});

const inTime = (promise, what) =>
    Promise.race([
        promise,
        new Promise((_, fail) => setTimeout(() => fail(new Error(`no ${what}`)), PATIENCE_MS).unref()),
    ]);

const drivers = {
    amqplib: {
        async connect(username, password, vhost) {
            const protocol = ZONE ? 'amqps' : 'amqp';
            const connection = await require('amqplib').connect(
                { protocol, hostname: host, port, username, password, vhost: encodeURIComponent(vhost) },
                { ...tls(username), timeout: PATIENCE_MS },
            );
            connection.on('error', () => {}); // raised as well
            const channel = await connection.createConfirmChannel();
            return {
                async declare(durable = false) {
                    return (await channel.assertQueue('', { exclusive: !durable, durable })).queue;
                },
                async publish(queue, payloads, persistent = false) {
                    for (const payload of payloads) channel.sendToQueue(queue, payload, { persistent });
                    await channel.waitForConfirms();
                },
                async received(queue, count) {
                    const found = [];
                    let all;
                    const complete = new Promise((resolve) => (all = resolve));
                    const { consumerTag } = await channel.consume(queue, (message) => {
                        channel.ack(message);
                        if (found.push(message.content) === count) all();
                    });
                    await complete;
                    await channel.cancel(consumerTag);
                    return found;
                },
                delete: (queue) => channel.deleteQueue(queue),
                close: () => connection.close(),
            };
        },
        text: (error) => error.message,
    },
    rhea: {
        async connect(username, password) {
            const container = require('rhea').create_container();
            const transport = ZONE ? { transport: 'tls', ...tls(username) } : {};
            const connection = container.connect({ host, port, username, password, reconnect: false, ...transport });
            const failed = new Promise((_, fail) => {
                for (const event of ['connection_error', 'disconnected', 'sender_error', 'receiver_error', 'error']) {
                    connection.on(event, (context) => {
                        const peer = context.connection || context;
                        fail(peer.error || context.error || connection.error || new Error(event));
                    });
                }
            });
            failed.catch(() => {});
            const happens = (emitter, event) => Promise.race([failed, once(emitter, event)]);
            await happens(connection, 'connection_open');
            return {
                // A queue is made by its first use.
                declare: async () => `/queue/${createHash('sha256').update(String(Math.random())).digest('hex')}`,
                async publish(queue, payloads) {
                    const sender = connection.open_sender(queue);
                    await happens(sender, 'sendable');
                    let confirmed = 0;
                    const all = new Promise((resolve) => {
                        sender.on('accepted', () => ++confirmed === payloads.length && resolve());
                    });
                    for (const body of payloads) {
                        if (!sender.sendable()) await happens(sender, 'sendable');
                        sender.send({ body: require('rhea').message.data_section(body), durable: true });
                    }
                    await Promise.race([failed, all]);
                },
                async received(queue, count) {
                    const receiver = connection.open_receiver(queue);
                    const found = [];
                    const all = new Promise((resolve) => {
                        receiver.on('message', ({ message }) => {
                            if (found.push(message.body.content) === count) resolve();
                        });
                    });
                    await Promise.race([failed, all]);
                    return found;
                },
                delete: async () => {},
                async close() {
                    const closed = once(connection, 'connection_close');
                    connection.close();
                    await closed;
                },
            };
        },
        text: (error) => `${error.condition || error.name}: ${error.description || error.message}`,
    },
};

const digest = (bytes) => `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;

const thereAndBack = async (client, payload) => {
    const queue = await client.declare();
    await client.publish(queue, [Buffer.from(payload)]);
    return (await client.received(queue, 1))[0];
};

const cases = {
    login: async (client) => (await thereAndBack(client, 'hello')).toString(),
    bulk: async (client) => digest(await thereAndBack(client, PAYLOAD)),
    stream: async (client) => {
        const queue = await client.declare();
        const payloads = Array.from({ length: MESSAGES }, (_, n) => Buffer.from(String(n).padStart(60, '0')));
        await client.publish(queue, payloads);
        return (await client.received(queue, MESSAGES)).reduce((sum, data) => sum + Number(data), 0);
    },
    kept: async (client) => {
        const queue = await client.declare(true);
        await client.publish(queue, [PAYLOAD], true);
        const [back] = await client.received(queue, 1);
        await client.delete(queue);
        return digest(back);
    },
    many: async (_, open) => {
        const clients = await Promise.all(Array.from({ length: CONNECTIONS }, open));
        const back = await Promise.all(clients.map((client) => thereAndBack(client, 'here')));
        await Promise.all(clients.map((client) => client.close()));
        return back.filter((data) => data.toString() === 'here').length;
    },
};

async function attempt(work, ...who) {
    const { connect, text } = drivers[driver];
    const open = () => inTime(connect(...who), 'connection');
    try {
        const client = await open();
        const value = await inTime(work(client, open), 'answer');
        await client.close();
        return { ok: value };
    } catch (error) {
        return { text: text(error) };
    }
}

async function main() {
    const seen = {};
    for (const [case_, work] of Object.entries(cases)) seen[case_] = await attempt(work, name, password, name);
    seen.wrong = await attempt(cases.login, name, 'not the password', name);
    if (driver === 'amqplib') seen.vhost = await attempt(cases.login, name, password, 'nowhere');
    for (const [case_, user] of others.map((pair) => pair.split('='))) {
        seen[case_] = await attempt(cases.login, user, password, user);
    }
    console.log(JSON.stringify(seen));
    process.exit();
}

main();
