// SPDX-License-Identifier: MIT
// The benchmark: `make bench`. Uploads the same files with each contestant in turn, in a fresh headless
// Chromium each time, round after round, and writes what that cost to build/bench/results/CASE.json.
// report.mjs makes the report of them.
//
// Settings come from the environment:
//   RUNS=5           rounds of each case
//   SIZES=256,2048   of the big file, in MiB
//   CASES=           only those whose name contains one of these (comma)
//   WHO=             only these contestants (comma), and always the floor
//   BUDGET=240       seconds: a contestant that has used so many in a case is not run in it again
//   FILES=/dev/shm   where the files are made: a place that is memory, so that no disk is measured
//   PARTHAUL=        a folder with other modules of Parthaul, which take part as another contestant

import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { randomBytes } from 'node:crypto';

import puppeteer from '../../web/node_modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js';

import { CHROMIUM } from '../browser/browsers.mjs';
import { MemoryWatch, cpuOf, settle } from './measure.mjs';
import { report } from './report.mjs';
import { bundle, out, presign, root, startPages, startSeaweedfs, startSink } from './stack.mjs';

const MIB = 2 ** 20;
const env = (name, other) => process.env[name] || other;
const list = (text) => text.split(',').filter(Boolean);
const RUNS = Number(env('RUNS', 5));
const SIZES = list(env('SIZES', '256,2048')).map(Number);
const BUDGET_S = Number(env('BUDGET', 240));
const EQUAL = { partSize: 16 * MIB, concurrency: 6 };

const CONTESTANTS = {
    floor: { equal: true },
    read: { equal: true },
    parthaul: { equal: true, own: true },
    ...(process.env.PARTHAUL && { 'parthaul-other': { equal: true, own: true } }),
    'parthaul-xhr': { equal: true },
    uppy: { equal: true, own: true },
    uppy5: { equal: true, own: true },
    'lib-storage': { equal: true, own: true },
    'lib-storage-crc64': { equal: true },
    evaporate: { equal: true, own: true },
    amplify: { own: true },
    'amplify-crc32': { own: true },
};

// ---- Files ----------------------------------------------------------------------------------------

function makeFiles() {
    const wanted = Math.max(...SIZES, 256) * MIB + 200 * MIB;
    const memory = '/dev/shm';
    const fits = existsSync(memory) && statfsSync(memory).bavail * statfsSync(memory).bsize > 2 * wanted;
    const folder = mkdtempSync(`${env('FILES', fits ? memory : tmpdir())}/parthaul-bench-`);
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    const noise = randomBytes(16 * MIB);
    const make = (name, size) => {
        const path = `${folder}/${name}`;
        const file = openSync(path, 'w');
        for (let at = 0; at < size; at += noise.length) {
            noise.writeUInt32LE(at / MIB); // no two parts alike
            writeSync(file, noise, 0, Math.min(noise.length, size - at));
        }
        closeSync(file);
        return path;
    };
    const files = new Map();
    return {
        folder,
        big(mib) {
            if (!files.has(mib)) files.set(mib, [make(`${mib}.bin`, mib * MIB)]);
            return { paths: files.get(mib), size: mib * MIB };
        },
        small() {
            const each = 100 * 1024;
            if (!files.has('small')) {
                files.set('small', Array.from({ length: 1000 }, (_, i) => make(`small-${i}.bin`, each)));
            }
            return { paths: files.get('small'), size: 1000 * each };
        },
    };
}

// ---- One run ----------------------------------------------------------------------------------------

/** With a profile of its own. */
const startBrowser = () =>
    puppeteer.launch({
        ...CHROMIUM,
        // A debugger that watches the network makes the browser hand it a copy of every body that is
        // bytes: such uploads become ten times as expensive.
        networkEnabled: false,
        protocolTimeout: 1_800_000,
    });

let server;

async function run(pages, who, equal, { paths, size }) {
    const browser = await startBrowser();
    try {
        const pid = browser.process().pid;
        const page = await browser.newPage();
        const noise = [];
        page.on('pageerror', (error) => noise.push(String(error)));
        await page.goto(pages);
        await settle(pid);
        const memory = new MemoryWatch(pid);
        const { endpoint, bucket, region, keys } = server;
        const config = { endpoint, url: `${endpoint}/${bucket}`, bucket, region, keys, equal, ...EQUAL };
        await page.evaluate((...args) => bench.prepare(...args), who, config);
        await (await page.$('#files')).uploadFile(...paths);
        await settle(pid);
        await server.reset?.();
        const cpuBefore = cpuOf(pid);
        const serverBefore = server.pids.reduce((sum, one) => sum + cpuOf(one), 0);
        const limitMs = 90_000 + size / 1500; // who takes longer tries the same for ever
        const late = new Promise((resolve) => setTimeout(resolve, limitMs, { error: new Error(`no end after ${limitMs / 1000} s`) }).unref());
        const end = page.evaluate(() => bench.start()).catch((error) => ({ error }));
        const result = await Promise.race([end, late]);
        const cpu = cpuOf(pid) - cpuBefore;
        const serverCpu = server.pids.reduce((sum, one) => sum + cpuOf(one), 0) - serverBefore;
        const { tab, browser: whole } = memory.stop();
        if (result.error) throw new Error([result.error.message, ...noise].join('; '));
        const figures = { ...result, cpu, serverCpu, tabMib: tab, browserMib: whole };
        const stats = await server.stats?.();
        if (stats) {
            const { bytes, connections, ...methods } = stats;
            if (bytes < size && who !== 'read') throw new Error(`only ${bytes} of ${size} bytes arrived`);
            figures.requests = Object.values(methods).reduce((sum, n) => sum + n);
            Object.assign(figures, { methods, connections, sent: bytes });
        } else {
            await checkAndRemove(paths, size);
        }
        return figures;
    } catch (error) {
        return { error: error.message };
    } finally {
        await browser.close();
    }
}

/** Where the server keeps objects: all are there, whole; then they go. */
async function checkAndRemove(paths, size) {
    let found = 0;
    for (const path of paths) {
        const key = path.split('/').at(-1);
        const answer = await fetch(presign(server, 'HEAD', key), { method: 'HEAD' });
        found += answer.ok ? Number(answer.headers.get('content-length')) : 0;
        await fetch(presign(server, 'DELETE', key), { method: 'DELETE' });
    }
    if (found !== size) throw new Error(`${found} of ${size} bytes are there`);
}

// ---- All of them ------------------------------------------------------------------------------------

const versionOf = (...command) => {
    try {
        return execFileSync(command[0], command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
            .trim()
            .split('\n')[0];
    } catch {
        return 'unknown';
    }
};

const machine = {
    cpu: `${cpus()[0].model.trim()}, ${cpus().length} cores`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: versionOf('uname', '-sr'),
    chromium: versionOf(env('CHROMIUM', '/usr/bin/chromium'), '--version'),
    commit: versionOf('git', '-C', root, 'describe', '--always', '--dirty'),
};

const files = makeFiles();
mkdirSync(`${out}/results`, { recursive: true });
await bundle(Object.keys(CONTESTANTS));
const pages = await startPages(() => server);
const sink = await startSink();
let seaweedfs;
const aSeaweedfs = () => (seaweedfs ??= startSeaweedfs(`${out}/s3`));

/** name, the server, the files, whether with equal settings, rounds at most, who of all */
const cases = [
    ...SIZES.map((mib) => [`sink-${mib}-equal`, sink.direct, files.big.bind(files, mib), true, RUNS]),
    ['sink-small-equal', sink.direct, files.small, true, RUNS],
    ...SIZES.map((mib) => [`sink-${mib}-own`, sink.direct, files.big.bind(files, mib), false, RUNS]),
    ['seaweedfs-256-equal', aSeaweedfs, files.big.bind(files, 256), true, RUNS],
    ['line-256-equal', () => sink.line(), files.big.bind(files, 256), true, Math.min(RUNS, 3)],
    ['line-256-own', () => sink.line(), files.big.bind(files, 256), false, Math.min(RUNS, 3)],
    // What the two ends of an upload cost weighs less in a longer one. Minutes each: the fastest two only.
    ...SIZES.filter((mib) => mib > 256).map((mib) => [`line-${mib}-own`, () => sink.line(), files.big.bind(files, mib), false, 1, ['parthaul', 'uppy5']]),
    ['drop-256-equal', () => sink.line('--drop-every=30', '--drop-first=10'), files.big.bind(files, 256), true, Math.min(RUNS, 3)],
];

const only = list(env('CASES', ''));
for (const [name, where, what, equal, rounds, who = list(env('WHO', ''))] of cases) {
    if (only.length && !only.some((part) => name.includes(part))) continue;
    server = typeof where === 'function' ? await where() : where;
    const set = what();
    const names = Object.keys(CONTESTANTS).filter((one) => {
        // Whoever signs nothing gets nowhere with a real server; and reading takes no line.
        if (one === 'floor') return server.stats;
        if (one === 'read') return equal && name.startsWith('sink');
        return CONTESTANTS[one][equal ? 'equal' : 'own'] && (!who.length || who.includes(one));
    });
    const runs = Object.fromEntries(names.map((one) => [one, []]));
    const spent = Object.fromEntries(names.map((one) => [one, 0]));
    const begin = new Date();
    for (let round = 0; round < rounds; round++) {
        // Interleaved, and each round begins with another one.
        const turn = names.map((_, i) => names[(i + round) % names.length]);
        for (const one of turn) {
            if (spent[one] > BUDGET_S || runs[one].filter((result) => result.error).length > 1) continue;
            const start = Date.now();
            const result = await run(pages, one, equal, set);
            spent[one] += (Date.now() - start) / 1000;
            runs[one].push(result);
            const { seconds = 0, cpu = 0, tabMib = 0, browserMib = 0, blockedMs = 0, requests = '' } = result;
            console.log(
                `${name} ${one.padEnd(18)}`,
                result.error
                    ? `FAILED: ${result.error.slice(0, 300)}`
                    : `${seconds.toFixed(2)} s, CPU ${cpu.toFixed(2)} s, tab ${tabMib.toFixed(0)} MiB, browser ` +
                          `${browserMib.toFixed(0)} MiB, blocked ${blockedMs.toFixed(0)} ms, requests ${requests}`,
            );
        }
        const record = { name, equal, size: set.size, count: set.paths.length, begin, machine, files: files.folder, settings: EQUAL, runs };
        writeFileSync(`${out}/results/${name}.json`, JSON.stringify(record, null, 1));
    }
}

// ---- Without a browser --------------------------------------------------------------------------------

const commandLines = [['sink', () => sink.direct], ['seaweedfs', aSeaweedfs]];
for (const [name, where] of commandLines) {
    if (only.length && !only.some((part) => `cli-${name}`.includes(part))) continue;
    const { endpoint, bucket, region, keys } = await where();
    const mib = SIZES.at(-1);
    const begin = new Date();
    const [path] = files.big(mib).paths;
    console.log(`cli-${name}`);
    const stores = name === 'sink' ? 'no' : 'yes';
    const child = spawn('/usr/bin/python3', [`${root}tests/bench/cli.py`, endpoint, bucket, region, String(RUNS), path, stores], {
        env: { ...process.env, AWS_ACCESS_KEY_ID: keys.accessKeyId, AWS_SECRET_ACCESS_KEY: keys.secretAccessKey, AWS_REGION: region },
        stdio: ['ignore', 'pipe', 'inherit'],
    });
    const text = (await child.stdout.toArray()).join('');
    const record = { server: name === 'sink' ? 'the sink' : 'SeaweedFS', size: mib * MIB, begin, ...JSON.parse(text) };
    writeFileSync(`${out}/results/cli-${name}.json`, JSON.stringify(record, null, 1));
}

(await seaweedfs)?.stop(); // it tidies up for minutes
for (const script of ['overhead', 'kernels', 'pipeline']) {
    const path = `${root}tests/bench/${script}.mjs`;
    if (!existsSync(path) || (only.length && !only.includes(script))) continue;
    console.log(script);
    execFileSync(process.execPath, [path], { stdio: ['ignore', 'ignore', 'inherit'] });
}

report();
process.exit(0);
