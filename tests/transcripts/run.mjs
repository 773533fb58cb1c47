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

/** The rows of the tables in src/README.md: "STATE, event", or the name of a retry class. */
function rows() {
    const list = [];
    for (const table of readFileSync(`${root}src/README.md`, 'utf8').split(/\n\n+/)) {
        const [head, , ...lines] = table
            .split('\n')
            .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));
        let state;
        for (const [, first, event] of lines) {
            state = first?.replace(/ \[.*/, '') || state;
            if (head[1] === 'class') list.push(state);
            if (head[1] === 'state') list.push(`${state}, ${event}`);
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

const engines = [];
if (MODULE) engines.push(await openWasm(MODULE));
if (HOST) engines.push(await openNative(HOST));

for (const engine of engines) {
    for (const dialogue of dialogues) await test(() => play(engine, dialogue, trace));
    const runs = Number(option('runs') ?? (all ? 300 : 0));
    await runWorlds(engine, test, runs, Number(option('seed') ?? 1), trace);
    for (const { name, number } of engine.tables.algorithms)
        await test(() => compareDigests(engine, name, number));
    await test(() => engine.end());
}

if (all) {
    const shown = new Set(dialogues.flatMap((dialogue) => dialogue.rows));
    const wanted = rows();
    for (const row of wanted)
        await test(() => {
            if (!shown.has(row)) throw new Mismatch(`src/README.md: no transcript shows "${row}"`);
        });
    for (const row of shown)
        await test(() => {
            if (!wanted.includes(row)) throw new Mismatch(`src/README.md: has no row "${row}"`);
        });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
