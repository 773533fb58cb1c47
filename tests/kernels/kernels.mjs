// SPDX-License-Identifier: MIT
// Both builds of the module, with and without SIMD, as the worker uses them: every length up to 4,096,
// at every alignment, alone and side by side, in pieces, against node:crypto and a CRC of our own in
// JavaScript; long inputs around every border of the folds; the shared vectors. And that the build
// for machines without SIMD has none.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

import { hasSimd, loadEngine } from '../../web/src/engine.js';
import { runTests, test } from '../browser/harness.mjs';
import { digestOf, hasher } from '../transcripts/digest.mjs';

const LENGTH = 4096;
const root = new URL('../../', import.meta.url);
const builds = ['parthaul.wasm', 'parthaul-scalar.wasm'];

/** Bytes that look random and are the same in every run. */
function randomBytes(length) {
    const bytes = Buffer.alloc(Math.ceil(length / 32) * 32);
    for (let i = 0; i < bytes.length; i += 32) createHash('sha256').update(`${i}`).digest().copy(bytes, i);
    return bytes.subarray(0, length);
}
const data = randomBytes(300_000);

/** Deterministic numbers below `limit`. */
let state = 1;
const random = (limit) => (state = (state * 48271) % 0x7fffffff) % limit;

const isHash = (name) => name.startsWith('SHA') || name === 'MD5';

/** The digests of each beginning of `bytes`, in base64. */
function beginnings(name, bytes) {
    const running = isHash(name) ? createHash(name) : hasher(name);
    const digest = () => (isHash(name) ? running.copy() : running).digest().toString('base64');
    return [digest(), ...Array.from(bytes, (_, i) => (running.update(bytes.subarray(i, i + 1)), digest()))];
}

/** What hashClose gives: of the first algorithm, without its name. */
const close = (engine, hash) => engine.hashClose(hash)[0].split(':')[1];

for (const build of builds) {
    const engine = await loadEngine(readFileSync(new URL(`web/dist/${build}`, root)));
    for (const { name, number } of engine.tables.algorithms) {
        const reference = digestOf;

        test(`${build}: ${name} of every length, in company`, () => {
            const starts = Array.from({ length: 9 }, (_, i) => i * 5000 + ((i * 7) % 64));
            const want = starts.map((start) => beginnings(name, data.subarray(start, start + LENGTH)));
            for (let length = 0; length <= LENGTH; length++) {
                const all = Array.from({ length: 1 + (length % 9) }, (_, i) => {
                    const bytes = data.subarray(starts[i], starts[i] + Math.max(0, length - i * (length % 5)));
                    return { hash: engine.hashOpen(number, 0), bytes };
                });
                engine.hashFeedAll(all);
                all.forEach(({ hash, bytes }, i) => {
                    assert.equal(close(engine, hash), want[i][bytes.length], `${length}, row ${i}`);
                });
            }
        });

        test(`${build}: ${name} at every alignment and in pieces`, () => {
            for (let start = 0; start < 64; start++) {
                const bytes = data.subarray(start, start + 20_000 + random(100_000));
                const hashes = Array.from({ length: 8 }, () => engine.hashOpen(number, 0));
                for (let at = 0; at < bytes.length; ) {
                    const end = Math.min(bytes.length, at + random(start % 2 ? 90_000 : 9_000));
                    engine.hashFeedAll(hashes.map((hash) => ({ hash, bytes: bytes.subarray(at, end) })));
                    at = end;
                }
                const want = reference(name, bytes).toString('base64');
                for (const hash of hashes) assert.equal(close(engine, hash), want);
            }
        });

        test(`${build}: ${name} around the borders of the folds`, () => {
            for (const border of [4096, 6144, 8192, 16384, 24576, 32768, 65536, 262144]) {
                for (const off of [-257, -64, -1, 0, 1, 255, 256, 257]) {
                    const bytes = data.subarray(3, 3 + border + off);
                    const hash = engine.hashOpen(number, 0);
                    engine.hashFeed(hash, bytes);
                    assert.equal(close(engine, hash), reference(name, bytes).toString('base64'));
                }
            }
        });
    }

    test(`${build}: two algorithms, many digests, one after a warm-up`, () => {
        for (const { number } of engine.tables.algorithms) engine.warmUp(number);
        const [crc, sha] = ['CRC32C', 'SHA256'].map(
            (wanted) => engine.tables.algorithms.find(({ name }) => name === wanted).number,
        );
        const all = Array.from({ length: 40 }, (_, i) => ({
            hash: engine.hashOpen(crc, i % 3 ? sha : 0),
            bytes: data.subarray(i * 1000, i * 1000 + 30_000 + i),
        }));
        engine.hashFeedAll(all);
        all.forEach(({ hash, bytes }, i) => {
            const want = [`CRC32C:${digestOf('CRC32C', bytes).toString('base64')}`, ''];
            if (i % 3) want[1] = `SHA256:${digestOf('SHA256', bytes).toString('base64')}`;
            assert.deepEqual(engine.hashClose(hash), want);
        });
    });

    test(`${build}: the shared vectors`, () => {
        const folder = process.env.PH_VECTORS ?? new URL('../shared/vectors', root).pathname;
        const file = `${folder}/checksums-aws/checksums.json`;
        if (!existsSync(file)) return console.log(`SKIP: no ${file}`);
        let count = 0;
        for (const vector of JSON.parse(readFileSync(file, 'utf8')).vectors) {
            const algorithm = engine.tables.algorithms.find(({ name }) => name === vector.algorithm);
            const { input_utf8: text, input_hex: hex, repeat = 1 } = vector;
            const input = text === undefined ? Buffer.from(hex, 'hex') : Buffer.from(text);
            if (!algorithm || input.length * repeat > 8 << 20) continue;
            const hash = engine.hashOpen(algorithm.number, 0);
            const bytes = Buffer.alloc(input.length * repeat);
            for (let i = 0; i < repeat; i++) input.copy(bytes, i * input.length);
            engine.hashFeed(hash, bytes);
            assert.equal(Buffer.from(close(engine, hash), 'base64').toString('hex'), vector.hex);
            count++;
        }
        assert(count > 30, `only ${count} vectors`);
    });
}

test('there is SIMD in one build and none in the other', () => {
    const vectors = builds.map((build) => {
        const path = new URL(`web/dist/${build}`, root).pathname;
        const text = execFileSync('wasm-dis', [path], { encoding: 'utf8', maxBuffer: 1 << 28 });
        return text.split(/v128|[if](?:8x16|16x8|32x4|64x2)/).length - 1;
    });
    assert(vectors[0] > 100, `${vectors[0]} in ${builds[0]}`);
    assert.equal(vectors[1], 0);
    assert.equal(hasSimd(), true); // Node has it
});

test('both builds export the same', () => {
    const [simd, scalar] = builds.map((build) =>
        WebAssembly.Module.exports(new WebAssembly.Module(readFileSync(new URL(`web/dist/${build}`, root)))),
    );
    assert.deepEqual(simd, scalar);
});

await runTests();
