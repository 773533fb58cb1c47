// SPDX-License-Identifier: MIT
// The kernels beside other implementations, in a worker of headless Chromium, and natively:
// build/bench/kernels.json and build/bench/kernels.md. `make bench-kernels` builds what it needs.
//
//   node tests/bench/kernels.mjs [rounds]

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { build } from '../../web/node_modules/esbuild/lib/main.js';
import puppeteer from '../../web/node_modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js';
import { CHROMIUM } from '../browser/browsers.mjs';

const rounds = Number(process.argv[2] ?? 60);
const root = new URL('../../', import.meta.url).pathname;
const out = `${root}build/bench/`;
mkdirSync(out, { recursive: true });
process.chdir(root);

await build({
    entryPoints: ['tests/bench/kernels/worker.js'],
    outfile: `${out}kernels-worker.js`,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    logLevel: 'warning',
});

/** Isolated, so that the browser's clock has steps of 5 microseconds and not of 100. */
const server = createServer(({ url }, response) => {
    const types = { wasm: 'application/wasm', js: 'text/javascript' };
    const path = new URL(url, 'http://localhost').pathname;
    response.setHeader('cross-origin-opener-policy', 'same-origin');
    response.setHeader('cross-origin-embedder-policy', 'require-corp');
    response.setHeader('content-type', types[path.split('.').pop()] ?? 'text/html');
    try {
        response.end(path === '/' ? '<!doctype html>' : readFileSync(root + path));
    } catch {
        response.writeHead(404).end();
    }
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

const browser = await puppeteer.launch(CHROMIUM);
let measured;
try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    measured = await page.evaluate(
        (rounds) =>
            new Promise((resolve) => {
                const worker = new Worker('/build/bench/kernels-worker.js', { type: 'module' });
                worker.onmessage = ({ data }) => resolve(data);
                worker.onerror = ({ message }) => resolve({ error: message });
                worker.postMessage({ rounds });
            }),
        rounds,
    );
    if (measured.error) throw new Error(measured.error);
} finally {
    measured.browser = await browser.version();
    await browser.close();
    server.close();
}

const native = execFileSync(`${out}kernels-native`, [String(rounds)], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.split('\t'))
    .map(([algorithm, who, rates]) => ({ algorithm, who, rates: rates.trim().split(' ').map(Number) }));

/** Best, median and worst of some rates; a rate too fast for the clock is none. */
function summary({ algorithm, who, rates }) {
    const sorted = rates.filter(Number.isFinite).sort((a, b) => b - a);
    return { algorithm, who, best: sorted[0], median: sorted[sorted.length >> 1], worst: sorted.at(-1) };
}
const result = {
    date: new Date().toISOString(),
    machine: `${cpus()[0].model}, ${availableParallelism()} cores, load ${loadavg()[0].toFixed(1)}`,
    browser: measured.browser,
    command: 'make bench-kernels',
    rounds,
    worker: measured.rows.map(summary),
    native: native.map(summary),
};
writeFileSync(`${out}kernels.json`, JSON.stringify(result, null, 2));

const table = (rows) =>
    [
        '| algorithm | who | median | best | worst |',
        '|---|---|---:|---:|---:|',
        ...rows
            .toSorted((a, b) => order(a) - order(b) || b.best - a.best)
            .map(({ algorithm, who, best, median, worst }) => {
                const [m, b, w] = [median, best, worst].map((rate) => rate.toFixed(2));
                return `| ${algorithm} | ${who} | ${m} | ${b} | ${w} |`;
            }),
    ].join('\n');
const names = [...new Set(measured.rows.map(({ algorithm }) => algorithm))];
const order = ({ algorithm }) => names.indexOf(algorithm);

const text = `# Kernels

GB/s (1e9 bytes) on one core; ${result.machine}; ${result.date}; \`${result.command}\`, ${rounds} rounds, all in turn.
Where others share the machine, the best round says what a kernel can do and the median what it got.

## In a worker of ${result.browser}

4 MiB at a time, slow ones 512 KiB; those of 8 messages: all bytes together.

${table(result.worker)}

## Natively

${table(result.native)}
`;
writeFileSync(`${out}kernels.md`, text);
console.log(text);
