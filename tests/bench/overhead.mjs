// SPDX-License-Identifier: MIT
// What the engine itself costs: signing, planning, the ledger, XML and JSON, in WebAssembly, with a
// world that answers at once. Runs in Node:  node tests/bench/overhead.mjs
//
// Whatever crosses the border is counted as it would be in the worker: step() and report() are the same.
// Files are read and hashed by nobody.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { loadEngine } from '../../web/src/engine.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const PART = 16 * 2 ** 20;
const BEGIN = 1_790_000_000_000;

/** The module's memory, which the loader keeps to itself. */
let memory;
const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (...args) => {
    const instance = await instantiate(...args);
    memory = instance.exports.memory;
    return instance;
};

const credentials = {
    AccessKeyId: 'ASIAIOSFODNN7EXAMPLE',
    SecretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    SessionToken: 'IQoJb3JpZ2luX2VjE'.padEnd(900, 'A'),
    Expiration: new Date(BEGIN + 12 * 3600e3).toISOString(),
};

const ETAG = ['etag', '"9a0364b9e99bb480dd25e1f0284c8555"'];
const answers = {
    CreateMultipartUpload: () => ({
        headers: [],
        body: '<InitiateMultipartUploadResult><UploadId>VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZA</UploadId></InitiateMultipartUploadResult>',
    }),
    UploadPart: () => ({ headers: [ETAG], body: '' }),
    PutObject: () => ({ headers: [ETAG], body: '' }),
    CompleteMultipartUpload: () => ({
        headers: [],
        body: // states, as S3 does, the checksum of what consists of zeros
            '<CompleteMultipartUploadResult><ETag>"9a0364b9e99bb480dd25e1f0284c8555-2"</ETag>' +
            '<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>' +
            '</CompleteMultipartUploadResult>',
    }),
};

/** How far memory was ever written to: what was never touched is zero. */
function highWater() {
    const words = new BigUint64Array(memory.buffer);
    let at = words.length;
    while (at > 0 && words[at - 1] === 0n) at--;
    return at * 8;
}

/** Let one upload go on until it waits or ends. */
function advance(engine, handle, now, digests) {
    for (;;) {
        const action = engine.step(handle, now, true);
        const { kind, id } = action;
        if (kind === 'done') return true;
        if (kind === 'failed') throw new Error(JSON.stringify(action.failure));
        if (kind === 'wait') return false;
        let event;
        if (kind === 'hash') event = { kind: 'hashed', id, digests: action.hash.algorithms.map((alg) => (alg ? digests : '')) };
        if (kind === 'credentials') event = { kind: 'granted', id, document: JSON.stringify(credentials) };
        if (kind === 'request') {
            const answer = answers[action.request.operation];
            if (!answer) throw new Error(`no answer to ${action.request.operation}`);
            event = { kind: 'response', id, status: 200, ...answer() };
        }
        if (event) engine.report(handle, now, event);
    }
}

function upload(engine, i, partSize, size) {
    const options = { bucket: 'bucket', key: `key-${i}`, region: 'eu-west-1', size, seed: i + 1, concurrency: 6, partSize };
    const handle = engine.open(options, BEGIN);
    for (let now = BEGIN; !advance(engine, handle, now, 'CRC64NVME:AAAAAAAAAAA='); now += 10) {
        if (now > BEGIN + 1e7) throw new Error('no end');
    }
    engine.close(handle);
}

async function measure(parts, files) {
    const engine = await loadEngine(readFileSync(`${root}web/dist/parthaul.wasm`));
    const size = files ? 100 * 1024 : parts * PART;
    upload(engine, 0, PART, 2 * PART); // what is there once for all
    const before = highWater();
    const cpu = process.cpuUsage();
    for (let i = 0; i < (files || 1); i++) upload(engine, i, files ? undefined : PART, size);
    const { user, system } = process.cpuUsage(cpu);
    return { parts, files, ms: (user + system) / 1000, memory: highWater() - before };
}

const rows = [];
for (const [parts, files] of [[10], [100], [1000], [10_000], [0, 10], [0, 100], [0, 1000], [0, 10_000]]) {
    const runs = [];
    for (let i = 0; i < 5; i++) runs.push(await measure(parts, files));
    rows.push(runs.sort((a, b) => a.ms - b.ms)[2]);
}

const lines = rows.map(({ parts, files, ms, memory: bytes }) => {
    const n = files || parts;
    const what = files ? `${files} files of 100 KiB` : `${parts} parts`;
    return `| ${what} | ${ms.toFixed(1)} | ${((ms / n) * 1000).toFixed(1)} | ${(bytes / 1024).toFixed(0)} | ${Math.round(bytes / n)} |`;
});
const text = `## The engine alone

\`node tests/bench/overhead.mjs\`, Node ${process.version}: CPU of the engine in WebAssembly with all that crosses its border, each
upload from open() to its end, median of 5; credentials with a session token; nothing is read, hashed or sent. Memory is by how
much further the module's was written to than by an upload of two parts.

| | CPU, ms | µs each | memory, KiB | bytes each |
|---|---:|---:|---:|---:|
${lines.join('\n')}
`;
writeFileSync(`${root}build/bench/overhead.md`, text);
console.log(text);
