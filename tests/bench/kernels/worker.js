// SPDX-License-Identifier: MIT
// Measures, in a worker, what each kernel digests in a second: ours as they are in both builds of the
// module, and what others use. All of them in turn, round after round, so that whatever else the
// machine does meets all alike. Before that, each has to give the same digest as the others.

import { AwsCrc32 } from '@aws-crypto/crc32';
import { AwsCrc32c } from '@aws-crypto/crc32c';
import { Crc32cJs, Crc32Js, Crc64NvmeJs } from '@aws-sdk/checksums/crc';
import { Md5Js } from '@aws-sdk/checksums/md5';
import { Sha1Js, Sha256Js } from '@aws-sdk/checksums/sha';
import { createCRC32, createCRC64, createMD5, createSHA1, createSHA256 } from 'hash-wasm';

import { loadEngine } from '../../../web/src/engine.js';

const SIZE = 4 << 20; // of what is digested in one go
const SLOW = 1 << 19; // where that takes long
const LANES = 8;

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/** A module's exports as they are, to run its kernels over bytes that lie in its memory already. */
async function rawExports(url) {
    const module = await WebAssembly.compileStreaming(fetch(url));
    const imports = {};
    for (const { module: space, name } of WebAssembly.Module.imports(module)) {
        (imports[space] ??= {})[name] = () => 0;
    }
    const { exports } = await WebAssembly.instantiate(module, imports);
    exports._initialize?.();
    return exports;
}

/** The kernel alone: `bytes` bytes of the staging buffer again and again, in `rows` messages. */
function kernel(wasm, algorithm, rows) {
    const stage = new Uint8Array(wasm.memory.buffer, wasm.ph_stage(), wasm.ph_stage_size());
    for (let at = 0; at < stage.length; at += 65536) crypto.getRandomValues(stage.subarray(at, at + 65536));
    return (bytes) => {
        const hashes = Array.from({ length: rows }, () => wasm.ph_hash_open(algorithm, 0));
        new Uint32Array(wasm.memory.buffer, wasm.ph_fed(), rows).set(hashes);
        const length = Math.min(bytes.length, stage.length) / rows;
        for (let left = bytes.length; left > 0; left -= rows * length) wasm.ph_hash_feed(rows, length);
        hashes.forEach((hash) => wasm.ph_hash_close(hash));
    };
}

/** As the worker of an upload uses it: copied into the module, digested, in `rows` messages. */
function whole(engine, algorithm, rows) {
    return (bytes) => {
        const each = bytes.length / rows;
        const all = Array.from({ length: rows }, (_, i) => ({
            hash: engine.hashOpen(algorithm, 0),
            bytes: bytes.subarray(i * each, (i + 1) * each),
        }));
        engine.hashFeedAll(all);
        const digests = all.map(({ hash }) => engine.hashClose(hash)[0]);
        return rows === 1 ? hex(fromBase64(digests[0].split(':')[1])) : undefined;
    };
}

const viaHashWasm = (hasher) => (bytes) => hasher.init().update(bytes).digest();
const viaSubtle = (name) => async (bytes) => hex(new Uint8Array(await crypto.subtle.digest(name, bytes)));
const viaAws = (Hash) => async (bytes) => {
    const hash = new Hash();
    hash.update(bytes);
    const digest = await hash.digest();
    return typeof digest === 'number' ? digest.toString(16).padStart(8, '0') : hex(digest);
};

/** @returns {Promise<{algorithm: string, who: string, size: number, run: (bytes: Uint8Array) => unknown}[]>} */
async function contestants() {
    const list = [];
    const add = (algorithm, who, run, size = SIZE) => list.push({ algorithm, who, run, size });
    const sum = (await WebAssembly.instantiateStreaming(fetch('/build/bench/sum.wasm'))).instance.exports;
    const target = new Uint8Array(sum.memory.buffer, sum.bytes(), sum.size());
    add('limit', 'sum of all words, WASM SIMD', ({ length }) => sum.sum(length));
    add('limit', 'copy into WASM memory (set)', (bytes) => target.set(bytes));
    for (const build of ['parthaul.wasm', 'parthaul-scalar.wasm']) {
        const url = `/web/dist/${build}`;
        const [wasm, engine] = [await rawExports(url), await loadEngine(new URL(url, location.href))];
        for (const { name, number, lanes } of engine.tables.algorithms) {
            const size = lanes ? SLOW : SIZE;
            if (lanes) add(name, `${build}, ${LANES} messages`, kernel(wasm, number, LANES), size);
            if (lanes) add(name, `${build}, ${LANES}, with the copy`, whole(engine, number, LANES), size);
            add(name, `${build}, 1 message`, kernel(wasm, number, 1), size);
            add(name, `${build}, 1, with the copy`, whole(engine, number, 1), size);
        }
    }
    add('CRC64NVME', 'hash-wasm', viaHashWasm(await createCRC64('9a6c9329ac4bc9b5')), SLOW);
    add('CRC32C', 'hash-wasm', viaHashWasm(await createCRC32(0x82f63b78)), SLOW);
    add('CRC32', 'hash-wasm', viaHashWasm(await createCRC32()), SLOW);
    add('SHA256', 'hash-wasm', viaHashWasm(await createSHA256()), SLOW);
    add('SHA1', 'hash-wasm', viaHashWasm(await createSHA1()), SLOW);
    add('MD5', 'hash-wasm', viaHashWasm(await createMD5()), SLOW);
    add('CRC64NVME', '@aws-sdk/checksums', viaAws(Crc64NvmeJs), SLOW);
    add('CRC32C', '@aws-sdk/checksums', viaAws(Crc32cJs), SLOW);
    add('CRC32C', '@aws-crypto/crc32c', viaAws(AwsCrc32c), SLOW);
    add('CRC32', '@aws-sdk/checksums', viaAws(Crc32Js), SLOW);
    add('CRC32', '@aws-crypto/crc32', viaAws(AwsCrc32), SLOW);
    add('SHA256', '@aws-sdk/checksums', viaAws(Sha256Js), SLOW);
    add('SHA1', '@aws-sdk/checksums', viaAws(Sha1Js), SLOW);
    add('MD5', '@aws-sdk/checksums', viaAws(Md5Js), SLOW);
    add('SHA256', 'WebCrypto', viaSubtle('SHA-256'));
    add('SHA1', 'WebCrypto', viaSubtle('SHA-1'));
    return list;
}

self.onmessage = async ({ data: { rounds } }) => {
    try {
        const bytes = new Uint8Array(SIZE);
        for (let at = 0; at < SIZE; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
        const list = await contestants();
        const digests = {};
        for (const { algorithm, who, run, size } of list) {
            const some = bytes.subarray(0, size);
            const digest = await run(bytes.subarray(0, SLOW));
            for (let i = 0; i < 6; i++) await run(some); // compiled well, before it counts
            if (algorithm === 'limit' || digest === undefined) continue;
            digests[algorithm] ??= digest;
            if (digest !== digests[algorithm]) throw new Error(`${who} has another ${algorithm}: ${digest}`);
        }
        const rates = list.map(() => []);
        for (let round = 0; round < rounds; round++) {
            for (const [i, { run, size }] of list.entries()) {
                const some = bytes.subarray(0, size);
                const begin = performance.now();
                await run(some);
                rates[i].push(size / (performance.now() - begin) / 1e6);
            }
        }
        self.postMessage({ rows: list.map(({ algorithm, who }, i) => ({ algorithm, who, rates: rates[i] })) });
    } catch (error) {
        self.postMessage({ error: String(error?.stack ?? error) });
    }
};
