// SPDX-License-Identifier: MIT
// The WebAssembly module and its loader, in Node: constants, digests, a whole upload step by step,
// and what happens to what is wrong.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { Engine, EngineError, VERSION, loadEngine } from '../../web/dist/engine.js';
import { runTests, test } from './harness.mjs';

const bytes = readFileSync(new URL('../../web/dist/parthaul.wasm', import.meta.url));
const engine = await loadEngine(bytes);
const { tables } = engine;
const NOW = Date.UTC(2026, 10, 22, 12);

const credentials = {
    credentials: {
        accessKeyId: 'ASIAEXAMPLE',
        secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
        sessionToken: 'token',
        expiration: new Date(NOW + 3600_000).toISOString(),
    },
    bucket: 'examplebucket',
    region: 'us-east-1',
    key: 'upload/alice/a file.bin',
};

const algorithm = (name) => tables.algorithms.find((one) => one.name === name).number;

function digest(name, data) {
    const hash = engine.hashOpen(algorithm(name), 0);
    engine.hashFeed(hash, data);
    return engine.hashClose(hash)[0];
}

/** Take actions until `kind`, and give that one. */
function next(upload, kind, seen = []) {
    for (let i = 0; i < 100; i++) {
        const action = engine.step(upload, NOW, true);
        seen.push(action.kind);
        if (action.kind === kind) return action;
        assert.notEqual(action.kind, 'wait', `no ${kind} came, but ${seen}`);
    }
    throw new Error(`no ${kind} came, but ${seen}`);
}

test('the module gives its constants', () => {
    assert.equal(tables.version, VERSION);
    assert.equal(VERSION, JSON.parse(readFileSync(new URL('../../web/package.json', import.meta.url), 'utf8')).version);
    assert.ok(tables.states.includes('sending') && tables.partStates.includes('sent'));
    assert.equal(tables.limits.partMaxCount, 10000);
    assert.ok(tables.limits.objectMaxSize < Number.MAX_SAFE_INTEGER);
    for (const error of tables.errors) assert.ok(error.number < 0 && error.text, error.name);
});

test('the module of the page can be imported where there is no browser', async () => {
    const browser = Object.getOwnPropertyDescriptor(globalThis, 'navigator'); // newer Nodes have one
    delete globalThis.navigator;
    try {
        const { Parthaul } = await import('../../web/dist/parthaul.js');
        assert.throws(() => new Parthaul({}), /either api, with getToken, or getCredentials/);
    } finally {
        if (browser) Object.defineProperty(globalThis, 'navigator', browser);
    }
});

test('digests agree with the published check values', () => {
    const check = new TextEncoder().encode('123456789');
    assert.equal(digest('CRC64NVME', check), 'CRC64NVME:rosUhgp5mIg=');
    assert.equal(digest('CRC32C', check), 'CRC32C:4waSgw==');
    assert.equal(digest('CRC32', check), 'CRC32:y/Q5Jg==');
});

test('digests agree with Node across the staging buffer, in one pass for two', () => {
    for (const length of [0, 1, 262143, 262144, 262145, 1_000_003]) {
        const data = randomBytes(length);
        const hash = engine.hashOpen(algorithm('SHA256'), algorithm('MD5'));
        engine.hashFeed(hash, data.subarray(0, length >> 1));
        engine.hashFeed(hash, data.subarray(length >> 1));
        const expected = ['SHA256', 'MD5'].map(
            (name) => `${name}:${createHash(name.toLowerCase()).update(data).digest('base64')}`,
        );
        assert.deepEqual(engine.hashClose(hash), expected, `${length} bytes`);
    }
});

test('a small file is hashed, signed, sent and done', () => {
    const data = Buffer.from('hello');
    const upload = engine.open({ size: data.length, name: 'a file.bin', seed: 1 }, NOW);
    const ask = next(upload, 'credentials');
    assert.equal(ask.ask.why, 'first');
    engine.report(upload, NOW, { kind: 'granted', id: ask.id, document: JSON.stringify(credentials) });
    const job = next(upload, 'hash');
    assert.deepEqual([job.hash.offset, job.hash.length], [0, 5]);
    const hash = engine.hashOpen(...job.hash.algorithms);
    engine.hashFeed(hash, data);
    const digests = engine.hashClose(hash);
    engine.report(upload, NOW, { kind: 'hashed', id: job.id, digests });
    const { id, request } = next(upload, 'request');
    assert.equal(request.operation, 'PutObject');
    assert.equal(request.url, 'https://examplebucket.s3.us-east-1.amazonaws.com/upload/alice/a%20file.bin');
    assert.deepEqual(request.file, { offset: 0, length: 5 });
    const headers = Object.fromEntries(request.headers);
    assert.match(headers.authorization, /^AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE\/20261122\//);
    const checksum = digests[0].split(':')[1];
    assert.equal(headers['x-amz-checksum-crc64nvme'], checksum);
    assert.equal(headers['if-none-match'], '*');
    engine.report(upload, NOW, { kind: 'sent', id, bytes: 3 });
    assert.equal(engine.progress(upload).sent, 3);
    const answer = [
        ['etag', '"5d41402abc4b2a76b9719d911017c592"'],
        ['x-amz-checksum-crc64nvme', checksum],
        ['x-amz-checksum-type', 'FULL_OBJECT'],
    ];
    engine.report(upload, NOW, { kind: 'response', id, status: 200, headers: answer, body: '' });
    const { receipt } = next(upload, 'done');
    assert.equal(receipt.etag, '5d41402abc4b2a76b9719d911017c592');
    assert.equal(receipt.verified, 'object');
    assert.equal(receipt.checksum, checksum);
    engine.close(upload);
});

test('what is wrong has a code and a sentence', () => {
    const code = (name) => (error) => error instanceof EngineError && error.code === name && !!error.message;
    assert.throws(() => engine.open({ size: 1, checksum: 'CRC7' }, NOW), code('BAD_ALGORITHM'));
    assert.throws(() => engine.open({ size: 1, partSize: 1 }, NOW), code('BAD_PART_SIZE'));
    assert.throws(() => engine.open({ size: 1, bucket: 'bucket', key: 'a/../b' }, NOW), code('KEY_DOT_SEGMENT'));
    const upload = engine.open({ size: 1 }, NOW);
    assert.throws(() => engine.report(upload, NOW, { kind: 'nonsense' }), code('BAD_ARG'));
    engine.close(upload);
});

test('an answer that cannot cross is as good as none', () => {
    for (const body of ['<Error>\u0000</Error>', 'x'.repeat(2 ** 21), '"'.repeat(2 ** 24)]) {
        const size = 32 * 2 ** 20;
        const upload = engine.open({ size, name: 'file', credentials: JSON.stringify(credentials) }, NOW);
        const { id } = next(upload, 'request');
        engine.report(upload, NOW, { kind: 'response', id, status: 500, headers: [], body });
        const { notice } = next(upload, 'notice');
        assert.deepEqual([notice.kind, notice.code], ['retry', 'NETWORK']);
        next(upload, 'wait');
        engine.close(upload);
    }
});

test('a hundred uploads of 48 TiB fit in memory, which grows', () => {
    const uploads = Array.from({ length: 100 }, () => {
        const upload = engine.open({ size: 48 * 2 ** 40, name: 'big' }, NOW);
        const { id } = next(upload, 'credentials');
        engine.report(upload, NOW, { kind: 'granted', id, document: JSON.stringify(credentials) });
        next(upload, 'request');
        return upload;
    });
    assert.equal(engine.progress(uploads[99]).partCount, 9999);
    uploads.forEach((upload) => engine.close(upload));
});

test('the module loads from a server, whatever type it is given', async () => {
    let type;
    const server = createServer((request, response) => {
        response.writeHead(request.url === '/parthaul.wasm' ? 200 : 404, { 'content-type': type });
        response.end(bytes);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${server.address().port}/parthaul.wasm`;
    for (type of ['application/wasm', 'binary/octet-stream']) {
        assert.ok((await loadEngine(url)) instanceof Engine);
    }
    await assert.rejects(loadEngine(`${url}x`), /HTTP 404/);
    server.close();
});

test('a module that asks for more than it may is refused by name', async () => {
    // (module (import "env" "read_clock" (func)))
    const greedy = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 18, 1, 3, 101, 110, 118, 10];
    greedy.push(...Buffer.from('read_clock'), 0, 0);
    await assert.rejects(loadEngine(new Uint8Array(greedy)), /env\.read_clock/);
});

await runTests();
