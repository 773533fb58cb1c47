// SPDX-License-Identifier: MIT
// Where the time of a byte goes between disk and socket, in Chromium, Firefox and WebKit: the ways to
// read a file, to digest it and to send it, in turn, round after round, into build/bench/pipeline.md.
//
//   RUNS=3 MIB=512 BROWSERS="chromium firefox webkit" ONLY= node tests/bench/pipeline.mjs

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { availableParallelism, cpus, loadavg } from 'node:os';

import { browserNames, startBrowser } from '../browser/browsers.mjs';
import { cpuOf } from './measure.mjs';
import { bundle, out, startPages, startSink } from './stack.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;
const runs = Number(process.env.RUNS ?? 3);
const total = Number(process.env.MIB ?? 512) * MIB;
const LIMIT_MS = 60_000;

const piece = (bytes) => (bytes < MIB ? `${bytes / KIB} KiB` : `${bytes / MIB} MiB`);
const one = { part: 16 * MIB, parallel: 1, workers: 1 };
const sent = { ...one, parallel: 6, send: 'fetch' };
const slices = (bytes, more) => ({ ...one, part: Math.max(16 * MIB, bytes), read: 'slices', piece: bytes, ...more });
const byob = { read: 'byob', piece: MIB };

const WAYS = [
    ...[1, 4, 16, 64].map((n) => ({ name: `read: slices of ${n} MiB`, ...slices(n * MIB) })),
    ...[1, 4, 16].map((n) => ({ name: `read: slices of ${n} MiB, the next one meanwhile`, ...slices(n * MIB), read: 'ahead' })),
    ...[1, 4, 16, 64].map((n) => ({ name: `read: FileReaderSync, ${n} MiB`, ...slices(n * MIB), read: 'sync' })),
    { name: 'read: stream', ...one, read: 'stream' },
    ...[64 * KIB, MIB, 4 * MIB].map((n) => ({ name: `read: stream into ${piece(n)} (BYOB)`, ...one, read: 'byob', piece: n })),
    { name: 'read and digest: slices of 4 MiB, the next one meanwhile', ...slices(4 * MIB), read: 'ahead', hash: true },
    { name: 'read and digest: stream', ...one, read: 'stream', hash: true },
    { name: 'read and digest: BYOB 1 MiB', ...one, ...byob, hash: true },
    { name: 'read and digest: BYOB 1 MiB, two parts at a time', ...one, ...byob, hash: true, parallel: 2 },
    { name: 'read and digest: BYOB 1 MiB, two workers', ...one, ...byob, hash: true, workers: 2 },
    { name: 'send: the slice', ...sent, body: 'slice' },
    { name: 'send: the slice, XHR', ...sent, body: 'slice', send: 'xhr' },
    { name: 'send: the slice, parts of 64 MiB', ...sent, part: 64 * MIB, body: 'slice' },
    { name: 'all: read, digest, send what was read as bytes', ...sent, ...slices(16 * MIB), parallel: 6, hash: true, body: 'buffer' },
    { name: 'all: read, digest, send what was read as a Blob', ...sent, ...slices(16 * MIB), parallel: 6, hash: true, body: 'blob' },
    { name: 'all: read and digest slices of 4 MiB, send the slice', ...sent, ...slices(4 * MIB), parallel: 6, read: 'ahead', hash: true, body: 'slice' },
    { name: 'all: read and digest by BYOB, send the slice', ...sent, ...byob, hash: true, body: 'slice' },
    { name: 'all: the same in two workers', ...sent, ...byob, hash: true, body: 'slice', parallel: 3, workers: 2 },
].filter(({ name }) => name.includes(process.env.ONLY ?? ''));

const folder = mkdtempSync('/dev/shm/parthaul-pipeline-');
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const path = `${folder}/file.bin`;
const noise = randomBytes(16 * MIB);
const file = openSync(path, 'w');
for (let at = 0; at < total; at += noise.length) writeSync(file, noise);
closeSync(file);

await bundle(['pool']);
const sink = (await startSink()).direct;
const pages = await startPages(() => sink);

/** @returns {Promise<{gbps: number, cpu: number} | {error: string}>} */
async function measure(browser, tab, way) {
    const before = cpuOf(browser.pid);
    await tab.evaluate((way, url) => go(way, url), way, `${sink.endpoint}/${sink.bucket}/file.bin`);
    const end = Date.now() + LIMIT_MS;
    let found;
    while (!found && Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        found = await tab.evaluate(() => found);
    }
    if (!found) {
        await tab.evaluate(() => giveUp());
        return { error: `no end after ${LIMIT_MS / 1000} s` };
    }
    if (found.error) return found;
    return { gbps: total / found.seconds / 1e9, cpu: ((cpuOf(browser.pid) - before) * 1024 * MIB) / total };
}

const found = [];
for (const name of browserNames) {
    // A debugger that watches the network has the browser copy every body.
    const browser = await startBrowser(name, `${folder}/${name}`, { networkEnabled: false });
    try {
        const tab = await browser.open(`${pages}/pipeline/page.html`);
        await tab.choose('#file', path);
        await measure(browser, tab, WAYS[0]); // everything is compiled and the file looked at
        const results = WAYS.map(() => []);
        for (let round = 0; round < runs; round++) {
            for (const [i, way] of WAYS.entries()) {
                if (results[i].some(({ error }) => error)) continue;
                const result = await measure(browser, tab, way);
                console.log(name, way.name, JSON.stringify(result));
                results[i].push(result);
            }
        }
        const version = browser.puppeteer ? await browser.puppeteer.version() : 'WebKitGTK';
        found.push({ name, version, results });
    } finally {
        await browser.close();
    }
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const cell = (results) =>
    results.find(({ error }) => error)?.error ??
    `${median(results.map(({ gbps }) => gbps)).toFixed(2)} | ${median(results.map(({ cpu }) => cpu)).toFixed(1)}`;
const text = `# The way of a byte

GB/s (1e9 bytes) and, after it, CPU seconds of the whole browser for 1 GiB; medians of ${runs}, all ways in turn.
A file of ${total / MIB} MiB in memory, parts of 16 MiB unless said, 6 requests at a time, in a worker; the sink is on the same machine.
${cpus()[0].model}, ${availableParallelism()} cores, load ${loadavg()[0].toFixed(1)}; ${new Date().toISOString()}.

| way | ${found.map(({ version }) => `${version} | CPU s`).join(' | ')} |
|---|${'---:|---:|'.repeat(found.length)}
${WAYS.map(({ name }, i) => `| ${name} | ${found.map(({ results }) => (results[i][0].error ? `${cell(results[i])} |` : cell(results[i]))).join(' | ')} |`).join('\n')}
`;
writeFileSync(`${out}/pipeline.json`, JSON.stringify(found, null, 1));
writeFileSync(`${out}/pipeline.md`, text);
console.log(text);
process.exit(0);
