// Fetches a file over TLS with a verified certificate, and prints its length and hash, as JSON.
//
//     node tls_get.js ADDRESS PORT HOST_NAME CA PATH
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');

const [host, port, servername, ca, path] = process.argv.slice(2);
const request = { host, port, path, servername, ca: readFileSync(ca), agent: false };
require('node:https')
    .get(request, (answer) => {
        const hash = createHash('sha256');
        let length = 0;
        answer.on('data', (part) => { hash.update(part); length += part.length; });
        answer.on('close', () => console.log(JSON.stringify([length, hash.digest('hex')])));
    })
    .on('error', (error) => { console.error(error.message); process.exit(1); });
