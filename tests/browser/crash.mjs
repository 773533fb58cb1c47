// SPDX-License-Identifier: MIT
// The tab, its process or the browser ends in the middle of 300 MiB, by SIGKILL; the user comes back
// and chooses the file again. The proxy counts: what S3 has is not sent again. And the profile on
// disk holds nothing secret.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';

import { browserNames, startBrowser } from './browsers.mjs';
import { loadModule, makeFile, MiB, openModule } from './common.mjs';
import { runIn, test, until } from './harness.mjs';
import { mint, startDemo, startReader, work } from './stack.mjs';

const demo = await startDemo({ faults: true });
const reader = startReader(demo);
const { faults } = demo;
const path = makeFile('three hundred.bin', 300 * MiB);
const PARTS = 19;
let browser;
let profile;

const user = () => `crash-${browser.name}`;

/** The module on a page, for this user; `window.parthaul` has what is unfinished. */
async function openLibrary(page) {
    if (page) await loadModule(page);
    else page = await openModule(browser, demo);
    await page.evaluate((api, token, owner) => {
        window.parthaul = new Parthaul({ api, owner, getToken: () => token, workerUrl, transport: 'xhr' });
    }, demo.api, mint(demo, { sub: user() }), user());
    return page;
}

const answered = async () =>
    (await faults.log()).filter(({ operation, status }) => operation === 'UploadPart' && status === 200).map(({ part }) => part);

/** Begin, and let it end by `kill` when some parts are stored; then go on in what `again` gives. */
async function endAndGoOn(kill) {
    await faults.rules();
    let page = await openLibrary();
    await page.choose('#own', path);
    await page.evaluate(() => {
        const options = { partSize: 16 << 20, maxRate: 20 << 20 }; // slow enough to be caught in the middle
        window.upload = parthaul.upload(document.querySelector('#own').files[0], options);
    });
    await until(async () => (await answered()).length >= 4, 'some parts', 60_000);
    page = await kill(page);
    const stored = await answered();
    assert.ok(stored.length < PARTS, 'it ended in the middle');
    await faults.rules();
    page ??= await openLibrary();
    const list = await until(async () => {
        const found = await page.evaluate(() => parthaul.unfinished());
        return found.length && !found[0].running && found;
    }, 'it to be listed');
    assert.equal(list.length, 1);
    await page.choose('#own', path);
    const { receipt, error } = await page.evaluate(async (id) => {
        try {
            const upload = await parthaul.resume(id, document.querySelector('#own').files[0]);
            return { receipt: await upload.done };
        } catch (error) {
            return { error: plain(error) };
        }
    }, list[0].id);
    assert.ok(receipt, JSON.stringify(error));
    const sent = (await faults.log()).filter(({ operation }) => operation === 'UploadPart').map(({ part }) => part);
    for (const part of stored) assert.ok(!sent.includes(part), `part ${part} was there already`);
    // Fewer are missing where a part had left the browser whole: S3 has it though nobody took its answer.
    const parts = new Set(sent).size;
    assert.ok(parts > 0 && parts <= PARTS - stored.length, `${sent} after ${stored}`);
    // The last one may be sent a second time where it is late, which the receipt counts.
    assert.ok(sent.length - parts <= receipt.retries, `sent twice: ${sent}`);
    assert.ok((await reader.ask({ do: 'compare', key: receipt.key, file: path })).equal, 'other bytes');
    assert.deepEqual(await page.evaluate(() => parthaul.unfinished()), []);
    await page.close();
}

/** All processes below this one. */
function descendants(pid) {
    try {
        const tasks = readdirSync(`/proc/${pid}/task`);
        return tasks
            .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' '))
            .filter(Boolean)
            .flatMap((child) => [Number(child), ...descendants(Number(child))]);
    } catch {
        return []; // it has ended
    }
}

const killAll = (pids) => {
    for (const pid of pids) {
        try {
            process.kill(pid, 'SIGKILL');
        } catch {
            // It has ended already.
        }
    }
};

test('another tab sees whose upload it is, and goes on when that tab is closed', async () => {
    await endAndGoOn(async (first) => {
        const second = await openLibrary();
        const [kept] = await second.evaluate(() => parthaul.unfinished());
        assert.equal(kept.running, 'elsewhere');
        const code = await second.evaluate((id) => parthaul.resume(id, new Blob()).catch((error) => error.code), kept.id);
        assert.equal(code, 'IN_USE');
        await first.close();
        return second;
    });
});

test('the page is loaded again', async () => {
    await endAndGoOn(async (page) => {
        await page.page.reload();
        return openLibrary(page);
    });
}, { only: 'chromium', why: 'the other tests end pages in each' });

test('the process of the tab is killed', async () => {
    await endAndGoOn(async (page) => {
        const isRenderer = (pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--type=renderer');
        killAll(descendants(browser.pid).filter((pid) => {
            try {
                return isRenderer(pid);
            } catch {
                return false;
            }
        }));
        await page.close().catch(() => {});
    });
}, { only: 'chromium', why: 'where renderers can be told from the rest' });

test('the whole browser is killed', async () => {
    await endAndGoOn(async () => {
        killAll([...descendants(browser.pid), browser.pid]);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        browser = await startBrowser(browser.name, profile);
    });
    // Neither the user's token nor keys nor signatures, in whatever the browser has written.
    const claims = mint(demo, { sub: user() }).split('.')[1].slice(0, 30);
    for (const secret of [claims, '"secretAccessKey":"', '"sessionToken":"', 'Signature=[0-9a-f]{64}']) {
        const grep = ['-c', 'grep -rlasE -e "$1" "$2" || true', 'sh', secret, profile];
        assert.equal(execFileSync('sh', grep, { encoding: 'utf8' }), '', `${secret} was written`);
    }
});

// WebKit's driver gives each session a store in memory: with the browser it goes.
const places = browserNames.filter((name) => name !== 'webkit');
if (places.length < browserNames.length) console.log('SKIP: webkit: under automation it keeps nothing on disk');
await runIn(places, {
    async before(name) {
        profile = `${work}/profile-${name}`;
        browser = await startBrowser(name, profile);
    },
    after: () => browser.close(),
    async finally() {
        reader.stop();
        await demo.stop();
    },
});
if (!process.exitCode) rmSync(work, { recursive: true, force: true });
