// SPDX-License-Identifier: MIT
// What a big file costs in memory: a sparse one of 2 GiB (or as many MiB as the first argument says)
// goes through the page, and the renderer process, which holds the page and its worker, is watched.
// "own" is memory that belongs to the process alone; "resident" has its code and libraries too.
//
//   node tests/browser/memory.mjs [MiB]

import { closeSync, ftruncateSync, openSync, readFileSync, rmSync } from 'node:fs';

import { sleep } from './harness.mjs';
import { startBrowser } from './browsers.mjs';
import { startDemo, work } from './stack.mjs';

const LIMIT = 64;
const MAIN = 'page and worker, own';
const size = Number(process.argv[2] ?? 2048) * 2 ** 20;
const demo = await startDemo();
const browser = await startBrowser('chromium', `${work}/profile`);
const session = await browser.puppeteer.target().createCDPSession();

/** The kernel's figures for a process, in MiB. */
function memoryOf(pid) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1024;
    return { resident: field('VmRSS'), own: field('RssAnon') + field('RssShmem') };
}

/** Memory by kind of process; there is but one page, so all renderers together are its. */
async function measure() {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    const sums = {};
    for (const { type, id } of processInfo) {
        const kind = type === 'renderer' ? 'page and worker' : 'rest of the browser';
        try {
            for (const [name, value] of Object.entries(memoryOf(id))) {
                const key = `${kind}, ${name}`;
                sums[key] = (sums[key] ?? 0) + value;
            }
        } catch {
            // It ended meanwhile.
        }
    }
    return sums;
}

const { page } = await browser.open(demo.page);
await page.click('#sign-in button');
await page.waitForSelector('#signed-in:not([hidden])');

await sleep(3000);
const empty = await measure();

const path = `${work}/files/big.bin`;
const file = openSync(path, 'w');
ftruncateSync(file, size);
closeSync(file);
await (await page.$('#files')).uploadFile(path);
const peak = { ...empty };
const begin = Date.now();
let state;
let shown = 0;
while (!['done', 'failed'].includes(state)) {
    await sleep(100);
    const now = await measure();
    for (const name of Object.keys(peak)) peak[name] = Math.max(peak[name], now[name]);
    state = await page.$eval('#uploads > li', (li) => li.dataset.state);
    if (Date.now() - shown > 5000) {
        shown = Date.now();
        const text = await page.$eval('#uploads .rate', (span) => span.innerText);
        console.log(text, Object.values(now).map(Math.round).join(' '));
    }
}
const seconds = (Date.now() - begin) / 1000;
const text = await page.$eval('#uploads > li', (li) => li.innerText.replace(/\n+/g, ' | '));
await browser.close();
await demo.stop();
rmSync(work, { recursive: true, force: true });

console.log(`${text}\n${(size / 1e6 / seconds).toFixed(0)} MB/s in ${seconds.toFixed(1)} s`);
for (const name of Object.keys(peak)) {
    const more = (peak[name] - empty[name]).toFixed(0);
    console.log(`${name}: ${empty[name].toFixed(0)} MiB with the empty page, at most ${more} MiB more`);
}
const passed = state === 'done' && peak[MAIN] - empty[MAIN] < LIMIT;
console.log(passed ? '1 passed, 0 failed' : '0 passed, 1 failed');
process.exitCode = passed ? 0 : 1;
