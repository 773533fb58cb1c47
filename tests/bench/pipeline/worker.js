// SPDX-License-Identifier: MIT
// One way of a byte from the disk to the socket: read, copied, digested, sent, as far as `way` says.

import { loadEngine } from '/parthaul/engine.js';

import { pool } from '/contestants/pool.js';

/** @type {import('../../../web/src/engine.js').Engine} */
let engine;
let crc64;

async function start() {
    engine = await loadEngine('/parthaul/parthaul.wasm');
    crc64 = engine.tables.algorithms.find(({ name }) => name === 'CRC64NVME').number;
    engine.warmUp(crc64);
}

/** Readers with a read under way: Chromium collects those that nobody else refers to. */
const readers = new Set();

/** The ways to have the bytes of a slice, a piece at a time. */
const READ = {
    async *slices(slice, { piece }) {
        for (let at = 0; at < slice.size; at += piece) {
            yield new Uint8Array(await slice.slice(at, at + piece).arrayBuffer());
        }
    },
    /** The next piece is read while this one is digested. */
    async *ahead(slice, { piece }) {
        let next = slice.slice(0, piece).arrayBuffer();
        for (let at = piece; next; at += piece) {
            const bytes = new Uint8Array(await next);
            next = at < slice.size ? slice.slice(at, at + piece).arrayBuffer() : undefined;
            yield bytes;
        }
    },
    async *sync(slice, { piece }) {
        const reader = new FileReaderSync();
        for (let at = 0; at < slice.size; at += piece) {
            yield new Uint8Array(reader.readAsArrayBuffer(slice.slice(at, at + piece)));
        }
    },
    async *stream(slice) {
        const reader = slice.stream().getReader();
        readers.add(reader);
        for (;;) {
            const { done, value } = await reader.read();
            if (done) break;
            yield value;
        }
        readers.delete(reader);
    },
    async *byob(slice, { piece }) {
        const reader = slice.stream().getReader({ mode: 'byob' });
        readers.add(reader);
        let memory = new ArrayBuffer(piece);
        for (;;) {
            const { done, value } = await reader.read(new Uint8Array(memory));
            if (value) memory = value.buffer;
            if (done) break;
            yield value;
        }
        readers.delete(reader);
    },
};

/** Read a part, and digest it if wanted. @returns {Promise<Uint8Array[]>} its bytes, if they are sent */
async function digest(slice, way) {
    const handle = way.hash && engine.hashOpen(crc64, 0);
    const kept = [];
    let got = 0;
    for await (const bytes of READ[way.read](slice, way)) {
        got += bytes.length;
        if (way.hash) engine.hashFeed(handle, bytes);
        if (way.body !== 'slice' && way.body) kept.push(bytes);
    }
    if (way.hash) engine.hashClose(handle);
    if (got !== slice.size) throw new Error(`${got} of ${slice.size} bytes came`);
    return kept;
}

function put(url, body, how) {
    if (how !== 'xhr') return fetch(url, { method: 'PUT', body }).then((answer) => answer.text());
    return new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.open('PUT', url);
        request.onload = resolve;
        request.onerror = () => reject(new Error('the request failed'));
        request.send(body);
    });
}

self.onmessage = async ({ data: { way, url, file } }) => {
    try {
        if (!engine) await start();
        const parts = [];
        for (let at = 0; at < file.size; at += way.part) {
            parts.push({ number: parts.length + 1, slice: file.slice(at, at + way.part) });
        }
        await pool(parts, way.parallel, async ({ number, slice }) => {
            const bytes = way.read ? await digest(slice, way) : [];
            if (!way.body) return;
            const body = { slice, buffer: bytes[0], blob: way.body === 'blob' && new Blob(bytes) }[way.body];
            await put(`${url}?partNumber=${number}&uploadId=pipeline`, body, way.send);
        });
        postMessage({});
    } catch (error) {
        postMessage({ error: String(error) });
    }
};
