// SPDX-License-Identifier: MIT
/**
 * run.mjs - plays every transcript, and random worlds, on the module and on the native engine.
 *
 *     node tests/transcripts/run.mjs [--trace] [FILE...]
 *     node tests/transcripts/run.mjs [--trace] --runs=N [--seed=N]      only worlds, from that seed on
 *
 * HOST and MODULE in the environment name the two backends; an empty one is left out.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openNative, openWasm } from './backend.mjs';
import { parse, play } from './dialogue.mjs';
import { File } from './digest.mjs';
import { Mismatch } from './session.mjs';
import { runWorlds } from './world.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../', import.meta.url));
const option = (name) => process.argv.find((word) => word.startsWith(`--${name}`))?.split('=')[1];
const trace = process.argv.includes('--trace') ? console.log : undefined;
const { HOST = `${root}build/tests/host`, MODULE = `${root}web/dist/parthaul.wasm` } = process.env;

let passed = 0;
let failed = 0;

/** Run one test; what it throws is a failure that the others survive. */
async function test(run) {
    try {
        await run();
        passed++;
    } catch (error) {
        failed++;
        console.log(error instanceof Mismatch ? error.message : error);
    }
}

const files = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const all = !files.length && !option('runs');
if (all)
    for (const name of readdirSync(here).sort()) if (name.endsWith('.txt')) files.push(here + name);
const dialogues = files.flatMap((path) => parse(relative('.', path), readFileSync(path, 'utf8')));

/**
 * The rows of the tables in src/README.md: what a transcript calls each ("STATE, event", or the name of a
 * retry class), and the ways (see session.mjs) of which it has to go one.
 */
function rows() {
    const list = [];
    for (const table of readFileSync(`${root}src/README.md`, 'utf8').split(/\n\n+/)) {
        const [head, , ...lines] = table
            .split('\n')
            .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));
        const states = lines.map(([, first]) => first?.replace(/ \[.*/, '')).filter(Boolean);
        let state;
        for (const [, first, event, next] of lines) {
            state = first?.replace(/ \[.*/, '') || state;
            if (head[1] === 'class') list.push({ row: state, ways: [state] });
            if (head[1] !== 'state') continue;
            const from = state.startsWith('any') ? states.slice(0, states.indexOf('ABORTING')) : [state];
            const to = next === 'fail' ? ['ABORTING', 'FAILED'] : next.match(/\b[A-Z]+\b/g);
            const ways = from.flatMap((s) => (to ?? [s]).map((t) => (s === t ? s : `${s} to ${t}`)));
            const stops = next.startsWith('the same') && /paused|resting|PAUSE/.test(next + event);
            list.push({ row: `${state}, ${event}`, ways: stops ? from.map((s) => `${s} stops`) : ways });
        }
    }
    return list;
}

/** The engine's digests against those of digest.mjs, over more than one filling of the staging buffer. */
async function compareDigests(engine, name, number) {
    for (const size of [0, 1, 5_000_000]) {
        const [text] = await engine.digest(number, 0, 'a'.charCodeAt(), size);
        const wanted = `${name}:${new File(size).digest(name).toString('base64')}`;
        if (text !== wanted) throw new Mismatch(`${engine.name}: ${size} bytes: ${text}, not ${wanted}`);
    }
}

const shown = new Map(); // the rows that dialogues name, and the ways that these went
const engines = [];
if (MODULE) engines.push(await openWasm(MODULE));
if (HOST) engines.push(await openNative(HOST));

for (const engine of engines) {
    for (const dialogue of dialogues)
        await test(async () => {
            const ways = await play(engine, dialogue, trace);
            for (const row of dialogue.rows) shown.set(row, new Set([...(shown.get(row) ?? []), ...ways]));
        });
    const runs = Number(option('runs') ?? (all ? 300 : 0));
    await runWorlds(engine, test, runs, Number(option('seed') ?? 1), trace);
    for (const { name, number } of engine.tables.algorithms)
        await test(() => compareDigests(engine, name, number));
    await test(() => engine.end());
}

if (all) {
    const wanted = rows();
    for (const { row, ways } of wanted)
        await test(() => {
            const gone = shown.get(row);
            if (!gone) throw new Mismatch(`src/README.md: no transcript shows "${row}"`);
            if (!ways.some((way) => gone.has(way)))
                throw new Mismatch(`src/README.md: who shows "${row}" goes no way of ${ways}`);
        });
    for (const row of shown.keys())
        await test(() => {
            if (!wanted.some((r) => r.row === row))
                throw new Mismatch(`src/README.md: has no row "${row}"`);
        });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
