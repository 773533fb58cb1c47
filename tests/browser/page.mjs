// SPDX-License-Identifier: MIT
// The main job as a person does it, in each browser: the demo's page, the real API, a real S3. What
// lies in the bucket is read back with a client that is not ours.

import assert from 'node:assert/strict';
import { closeSync, copyFileSync, openSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';

import { browserNames, startBrowser } from './browsers.mjs';
import { makeFile, MiB, openModule } from './common.mjs';
import { runIn, sleep, test, until } from './harness.mjs';
import { mint, startDemo, startReader, root, work } from './stack.mjs';

const demo = await startDemo();
const reader = startReader(demo);
let browser; // the one that tests run in

/** A user of this browser only. */
const user = (name) => `${name}-${browser.name}`;

/** The page, fresh. */
async function openPage() {
    const page = await browser.open(demo.page);
    await page.evaluate(() =>
        addEventListener('securitypolicyviolation', (event) =>
            console.log(`violates ${event.violatedDirective}: ${event.blockedURI}`),
        ),
    );
    return page;
}

async function signIn(page, name = 'alice') {
    await page.find('#user', (input) => (input.value = ''));
    await page.type('#user', user(name));
    await page.press('Enter');
    await page.waitFor('#signed-in:not([hidden])');
}

/** Choose files, and give their rows' numbers. */
async function choose(page, ...paths) {
    const before = (await rows(page)).length;
    await page.choose('#files', ...paths);
    await until(async () => (await rows(page)).length === before + paths.length, 'the rows');
}

/** The data of every row, with the words on it. */
const rows = (page) =>
    page.findAll('#uploads > li', (list) =>
        // Not innerText: rows out of sight have none.
        list.map((li) => ({ ...li.dataset, text: li.textContent.replace(/\s+/g, ' '), value: li.querySelector('progress').value })),
    );

/** Wait until all rows are in one of these states. */
const allIn = (page, states, limitMs) =>
    until(
        async () => {
            const all = await rows(page);
            return all.every((row) => states.includes(row.state)) && all;
        },
        `every row to be ${states}`,
        limitMs,
    );

/** What is in the bucket is what was chosen, to the byte, and so says the receipt. */
async function assertStored(row, path) {
    assert.equal(row.state, 'done', row.text);
    const stored = await reader.ask({ do: 'compare', key: row.key, file: path });
    assert.ok(stored.equal, `${row.name}: other bytes, ${JSON.stringify(stored)}`);
    assert.equal(stored.size, statSync(path).size);
    assert.equal(row.etag, stored.etag);
    assert.equal(row.checksum, stored.checksum, `${row.name}: the receipt's checksum`);
    if (stored.computed) assert.equal(stored.checksum, stored.computed);
    assert.equal(row.verified, 'object');
    assert.equal(stored.cacheControl, null, 'the browser added a cache-control');
    return stored;
}

/** Of users in this browser: those of a test that failed elsewhere are its own. */
const uploadsLeft = async () =>
    (await reader.ask({ do: 'uploads' })).filter((key) => key.includes(`-${browser.name}/`));

async function click(page, selector) {
    await page.find(selector, (button) => button.click());
}

test('files of every kind of size arrive, several at once, identical', async () => {
    const page = await openPage();
    await signIn(page);
    const paths = [
        makeFile('empty file.txt', 0),
        makeFile('one "quoted" byte.bin', 1),
        makeFile("five MiB, it's \u{1F680}.bin", 5 * MiB),
        makeFile('exactly one part.bin', 16 * MiB),
        makeFile('one part + 1 & 100%.bin', 16 * MiB + 1),
        makeFile('großer Film #1.mkv', 300 * MiB),
    ];
    await choose(page, ...paths);
    const done = await allIn(page, ['done', 'failed'], 90_000);
    for (const [i, path] of paths.entries()) {
        const stored = await assertStored(done[i], path);
        assert.ok(done[i].key.startsWith(`upload/${user('alice')}/`));
        assert.equal(done[i].value, 1);
        if (path.endsWith('.txt')) assert.equal(stored.type, 'text/plain');
    }
    assert.match(done[5].etag, /-18$/, '300 MiB go in 18 parts');
    assert.deepEqual(await uploadsLeft(), []);

    await click(page, '#uploads > li:last-child summary');
    const receipt = await until(
        () => page.find('#uploads > li:last-child details', (e) => e.textContent.includes('Bucket') && e.textContent),
        'the receipt',
    );
    assert.match(receipt, /Verified by S3: its CRC64NVME checksum of the whole object/);
    for (const value of [done[5].key, done[5].etag, done[5].checksum, '314,572,800', '18 × 16.7 MiB']) {
        assert.ok(receipt.includes(value), `${value} is not in ${receipt}`);
    }
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test('an upload pauses, resumes and arrives', async () => {
    const page = await openPage();
    await signIn(page);
    const path = makeFile('paused.bin', 150 * MiB);
    await choose(page, path);
    await until(async () => (await rows(page))[0].value > 0, 'the first bytes');
    await page.find('.pause', (button) => (button.focus(), button.click()));
    await until(async () => (await rows(page))[0].paused === 'true', 'the pause');
    const focused = await page.evaluate(() => document.activeElement.className);
    assert.equal(focused, 'resume', 'whose button goes is led to the next');
    await sleep(300);
    const [before] = await rows(page);
    await sleep(1000);
    const [after] = await rows(page);
    assert.equal(after.value, before.value, 'bytes went out during the pause');
    assert.ok(after.value < 1 && after.text.includes('Paused'), after.text);
    await click(page, '.resume');
    const [done] = await allIn(page, ['done', 'failed'], 60_000);
    await assertStored(done, path);
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test('cancelling leaves nothing behind', async () => {
    const page = await openPage();
    await signIn(page, 'carol');
    await choose(page, makeFile('cancelled.bin', 400 * MiB));
    await until(async () => (await rows(page))[0].value > 0, 'the first bytes');
    assert.equal((await uploadsLeft()).length, 1);
    await click(page, '.cancel');
    const [row] = await allIn(page, ['failed']);
    assert.equal(row.code, 'ABORTED');
    assert.match(row.text, /Cancelled/);
    assert.deepEqual(await uploadsLeft(), []);
    assert.deepEqual(await reader.ask({ do: 'keys', prefix: `upload/${user('carol')}/` }), []);
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test('a page that was left and comes back goes on', async () => {
    const page = await openPage();
    await signIn(page, 'mia');
    const path = makeFile('paused.bin', 150 * MiB);
    await choose(page, path);
    await until(async () => (await rows(page))[0].value > 0, 'the first bytes');
    await page.goto('about:blank');
    await page.session.navigate().back();
    const [done] = await allIn(page, ['done']);
    await assertStored(done, path);
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
}, { only: 'webkit', why: 'which keeps pages and their locks for a while' });

test("a user's credentials open no other user's prefix", async () => {
    const answer = await fetch(`${demo.api}/v1/credentials`, {
        headers: { authorization: `Bearer ${mint(demo, { sub: user('alice') })}` },
    });
    const { credentials } = await answer.json();
    const attempt = async (operation, args) =>
        (await reader.ask({ do: 'attempt', credentials, operation, arguments: args })).code;
    const [key] = await reader.ask({ do: 'keys', prefix: `upload/${user('alice')}/` });
    assert.ok(key, 'the first test stored something');
    assert.equal(await attempt('put_object', { Key: `upload/${user('alice')}/mine`, Body: 'x' }), 'OK');
    assert.equal(await attempt('put_object', { Key: 'upload/bob/theirs', Body: 'x' }), 'AccessDenied');
    assert.equal(await attempt('put_object', { Key: `upload/${user('alice')}2/theirs`, Body: 'x' }), 'AccessDenied');
    assert.equal(await attempt('create_multipart_upload', { Key: 'upload/bob/theirs' }), 'AccessDenied');
    assert.equal(await attempt('get_object', { Key: key }), 'AccessDenied');
    assert.equal(await attempt('delete_object', { Key: key }), 'AccessDenied');
    assert.equal(await attempt('list_objects_v2', { Prefix: 'upload/bob/' }), 'AccessDenied');
    assert.equal(await attempt('list_objects_v2', {}), 'AccessDenied');
    assert.deepEqual(await reader.ask({ do: 'keys', prefix: 'upload/bob/' }), []);
}, { only: 'chromium', why: 'no browser has a part in it' });

test('without a token, with a wrong one and with an old one the page says so, and goes on after', async () => {
    const path = makeFile('late.bin', 1000);
    const past = Math.floor(Date.now() / 1000) - 7200;
    const cases = [
        ['none', undefined, /no bearer token/],
        ['a wrong one', `${mint(demo, {}).slice(0, -20)}AAAAAAAAAAAAAAAAAAAA`, /./],
        ['an expired one', mint(demo, { iat: past, exp: past + 60 }), /expired/],
    ];
    for (const [name, token, detail] of cases) {
        const page = await openPage();
        // The sign-in gives this token once.
        if (token !== undefined) {
            await page.evaluate((token) => {
                const { fetch } = window;
                window.fetch = (url, options) => {
                    if (url !== '/demo/token') return fetch(url, options);
                    window.fetch = fetch;
                    return Promise.resolve(Response.json({ token }));
                };
            }, token);
        }
        if (token !== undefined) await signIn(page);
        await choose(page, path);
        const [row] = await allIn(page, ['failed']);
        assert.equal(row.code, 'SIGN_IN', `${name}: ${row.text}`);
        const message = await page.find('#message', (p) => (p.hidden ? '' : p.innerText));
        assert.match(message, /^Sign in again: /, name);
        assert.match(message, detail, name);
        await signIn(page);
        assert.ok(await page.find('#message', (p) => p.hidden), 'the message goes');
        await page.find('.retry', (button) => [button, button].forEach((one) => one.click())); // who is impatient
        const [done] = await allIn(page, ['done']);
        await assertStored(done, path);
        // Chromium itself reports each 401 on the console.
        assert.deepEqual(page.complaints.filter((text) => !text.includes('status of 401')), []);
        await page.close();
    }
    const keys = await reader.ask({ do: 'keys', prefix: `upload/${user('alice')}/` });
    assert.equal(keys.filter((key) => key.endsWith('/late.bin')).length, cases.length, 'once each');
});

test("what one user has begun does not go to another's folder", async () => {
    const page = await openPage();
    await signIn(page, 'olga');
    const worker = await until(() => page.page.workers()[0], 'the worker');
    await worker.evaluate(() => {
        const { fetch } = self;
        const may = new Promise((resolve) => (self.goOn = resolve));
        self.fetch = async (...request) => {
            await may;
            return fetch(...request);
        };
    });
    // The last ones wait for those before.
    const paths = Array.from({ length: 15 }, (_, i) => makeFile(`hers ${i}.bin`, 1000));
    await choose(page, ...paths);
    await page.findAll('#uploads > li:nth-child(n + 14) .pause', (buttons) => buttons.forEach((button) => button.click()));
    await until(async () => (await rows(page)).slice(13).every(({ paused }) => paused === 'true'), 'the pause');
    await worker.evaluate(() => self.goOn());
    await until(async () => (await rows(page)).slice(0, 13).every(({ state }) => state === 'done'), 'the others');
    await click(page, '#sign-out');
    await signIn(page, 'otto');
    await click(page, '#resume-all');
    const all = await allIn(page, ['done', 'failed']);
    assert.deepEqual(all.slice(13).map(({ code }) => code), ['SIGN_IN', 'SIGN_IN']);
    assert.ok(await page.find('#who', (who) => who.innerText.includes('otto')), 'he stays signed in');
    await click(page, '#sign-out');
    await signIn(page, 'olga');
    await click(page, '#retry-all');
    const done = await allIn(page, ['done']);
    for (const [i, path] of paths.entries()) {
        assert.ok(done[i].key.startsWith(`upload/${user('olga')}/`), done[i].key);
        await assertStored(done[i], path);
    }
    assert.deepEqual(await reader.ask({ do: 'keys', prefix: `upload/${user('otto')}/` }), []);
    assert.deepEqual(page.complaints, []);
    await page.close();
}, { only: 'chromium', why: 'whose worker can be reached' });

test('a file that changes on disk while it is sent is refused by name', async () => {
    const page = await openPage();
    await signIn(page, 'dave');
    const path = makeFile('changing.bin', 200 * MiB);
    await choose(page, path);
    await until(async () => (await rows(page))[0].value > 0, 'the first bytes');
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.from('changed'), 0, 7, 199 * MiB);
    closeSync(file);
    utimesSync(path, new Date(), new Date(Date.now() + 5000));
    const [row] = await allIn(page, ['done', 'failed'], 60_000);
    // Firefox reads what a file has now, whatever it had when it was chosen. What it did not send
    // before, it sends as it is: that is the only way for it to succeed.
    if (browser.name === 'firefox' && row.state === 'done') return assertStored(row, path);
    assert.equal(row.code, 'FILE_CHANGED', row.text);
    assert.equal((await uploadsLeft()).length, 1, 'what S3 has is kept: the file may be as it was again');
    await click(page, '.discard');
    await until(async () => (await rows(page)).length === 0, 'it to be discarded');
    assert.deepEqual(await uploadsLeft(), []);
    assert.deepEqual(await reader.ask({ do: 'keys', prefix: `upload/${user('dave')}/` }), []);
    await page.close();
});

test('a file that gets shorter before it is sent, after its digest, is seen at once', async () => {
    const page = await openModule(browser, demo);
    const path = makeFile('short.bin', 2 * MiB);
    const token = mint(demo, { sub: user('dora') });
    const answer = await fetch(`${demo.api}/v1/credentials`, { headers: { authorization: `Bearer ${token}` } });
    truncateSync(path, 2 * MiB);
    utimesSync(path, 1e9, 1e9); // WebKit sees no change within a second
    await page.choose('#own', path);
    await page.evaluate(() => {
        window.grants = [];
        const getCredentials = () => new Promise((resolve) => window.grants.push(resolve));
        const [file] = document.querySelector('#own').files;
        const send = async (transport) => {
            const parthaul = new Parthaul({ getCredentials, workerUrl, keep: false, transport, presignLimit: 2 << 20 });
            const late = new Promise((resolve) => setTimeout(resolve, 40_000, 'nothing'));
            const end = parthaul.upload(file, { key: transport }).done.catch(({ code }) => code);
            return Promise.race([end, late]).finally(() => parthaul.close());
        };
        window.ended = Promise.all(['fetch', 'xhr'].map(send));
    });
    await until(() => page.evaluate(() => window.grants.length === 2), 'the digests');
    truncateSync(path, 1000);
    const codes = await page.evaluate(({ prefix, ...granted }) => {
        window.grants.forEach((grant, i) => grant({ ...granted, key: `${prefix}${i}` }));
        return window.ended;
    }, await answer.json());
    assert.deepEqual(codes, ['FILE_CHANGED', 'FILE_CHANGED']);
    await page.close();
});

test('a request that never ends, since the file got shorter, is seen when its time is over', async () => {
    const page = await openModule(browser, demo);
    const path = makeFile('shorter.bin', 2 * MiB);
    const token = mint(demo, { sub: user('dora') });
    const answer = await fetch(`${demo.api}/v1/credentials`, { headers: { authorization: `Bearer ${token}` } });
    await page.choose('#own', path);
    await page.evaluate((granted) => {
        const key = `${granted.prefix}shorter.bin`;
        window.parthaul = new Parthaul({ getCredentials: () => granted, workerUrl, keep: false, key });
    }, await answer.json());
    await until(() => page.evaluate(() => !!window.parthaul.tables), 'the engine');
    const [worker] = page.page.workers();
    await worker.evaluate(() => { // as in Firefox and WebKit, in a hundredth of the time
        const { setTimeout } = self;
        self.setTimeout = (act, ms) => setTimeout(act, ms / 100);
        self.fetch = (url, { signal }) =>
            new Promise((resolve, reject) => {
                self.asked = true;
                signal.addEventListener('abort', reject);
            });
    });
    await page.evaluate(() => {
        const upload = parthaul.upload(document.querySelector('#own').files[0], { tries: 2, patienceMs: 1 });
        window.ended = upload.done.catch(plain);
    });
    await until(() => worker.evaluate(() => self.asked), 'the request');
    truncateSync(path, 1000);
    const { code } = await page.evaluate(() => window.ended);
    assert.equal(code, 'FILE_CHANGED');
    await page.close();
}, { only: 'chromium', why: 'whose worker can be reached' });

test('while the browser is offline an upload waits', async () => {
    const page = await openPage();
    await signIn(page);
    const path = makeFile('offline.bin', 400 * MiB); // more parts than are sent at once
    await choose(page, path);
    await until(async () => (await rows(page))[0].value > 0, 'the first bytes');
    const believed = Date.now() + 9000; // then the worker looks for itself
    await page.offline(true);
    let before = {};
    await until(async () => {
        const last = before.value;
        [before] = await rows(page);
        return before.value === last || (await sleep(1000));
    }, 'what was under way to come to its end');
    await sleep(1000);
    const [after] = await rows(page);
    if (Date.now() < believed) {
        assert.equal(after.value, before.value, 'bytes went out');
        assert.equal(after.state, 'sending', after.text);
    }
    await page.offline(false);
    const [done] = await allIn(page, ['done', 'failed'], 60_000);
    await assertStored(done, path);
    await page.close();
});

test('an upload survives a server that goes away and comes back', async () => {
    const page = await openPage();
    await signIn(page);
    const path = makeFile('outage.bin', 500 * MiB);
    await choose(page, path);
    await until(async () => (await rows(page))[0].value > 0, 'the first bytes');
    demo.stopS3();
    await sleep(500);
    const [held] = await rows(page);
    assert.equal(held.state, 'sending', held.text);
    demo.startS3();
    const [done] = await allIn(page, ['done', 'failed'], 90_000);
    await assertStored(done, path);
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
});

test('many files neither freeze the page nor get lost', async () => {
    const page = await openPage();
    await signIn(page, 'erin');
    const path = makeFile('one of many.bin', 1000);
    const paths = Array.from({ length: 150 }, (_, i) => `${work}/files/many ${i}.bin`);
    for (const each of paths) copyFileSync(path, each);
    await page.evaluate(() => {
        window.longest = 0;
        let last = performance.now();
        const frame = (time) => {
            window.longest = Math.max(window.longest, time - last);
            last = time;
            requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
    });
    await choose(page, ...paths);
    const done = await allIn(page, ['done', 'failed'], 60_000);
    assert.ok(done.every((row) => row.state === 'done'), done.find((row) => row.state !== 'done')?.text);
    assert.equal(new Set(done.map((row) => row.key)).size, paths.length);
    assert.equal((await reader.ask({ do: 'keys', prefix: `upload/${user('erin')}/` })).length, paths.length);
    const longest = await page.evaluate(() => window.longest);
    // A display that is none paints when it likes.
    assert.ok(longest < (browser.name === 'webkit' ? 10_000 : 5000), `the page stood still for ${longest} ms`);
    assert.match(await page.find('#totals', (p) => p.innerText), /^150 of 150 files done/);
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test('a file that is dropped anywhere on the page is taken, also where its settings did not come at first', async () => {
    const page = await openPage();
    await page.evaluate(() => {
        const { fetch } = window;
        window.fetch = (url, options) => {
            if (url !== '/demo/config.json') return fetch(url, options);
            window.fetch = fetch;
            return Promise.resolve(new Response('<html>', { status: 502 }));
        };
    });
    await signIn(page);
    await until(() => page.find('#message', (p) => p.textContent.startsWith("The settings of the demo cannot be loaded: ")), 'the word');
    await page.evaluate(() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(['dropped'], 'dropped\0\ud800.txt', { type: 'text/plain' }));
        dataTransfer.items.add('a text', 'text/plain');
        const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
        document.querySelector('header').dispatchEvent(event);
        if (!event.defaultPrevented) throw new Error('the browser would leave the page');
    });
    const path = `${work}/files/dropped.txt`;
    writeFileSync(path, 'dropped');
    await until(async () => (await rows(page)).length === 1, 'the row');
    const [done] = await allIn(page, ['done', 'failed']);
    await assertStored(done, path);
    assert.match(done.key, /\/dropped\ufffd\ufffd\.txt$/);
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test('the page can be used by keyboard and says what happens', async () => {
    const page = await openPage();
    const order = [];
    for (let i = 0; i < 3; i++) {
        await page.press('Tab');
        order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.innerText));
    }
    assert.deepEqual(order, ['user', 'Sign in', 'files']);
    await signIn(page);
    await until(() => page.evaluate(() => document.activeElement.id === 'files'), 'the next thing to do');
    await choose(page, makeFile('announced.bin', 10));
    await allIn(page, ['done']);
    await until(() => page.find('#live', (p) => p.innerText === 'announced.bin: stored'), 'the announcement');
    const names = await page.findAll('#uploads button:not([hidden])', (all) =>
        all.map((button) => button.getAttribute('aria-label') ?? button.innerText),
    );
    assert.ok(names.includes('Remove announced.bin'), String(names));
    const bar = await page.find('progress', (p) => [p.getAttribute('aria-label'), p.getAttribute('aria-valuetext')]);
    assert.deepEqual(bar, ['announced.bin', '100%, Done, verified by S3']);
    // What fails is said, too.
    await page.evaluate(() => (navigator.clipboard.writeText = () => Promise.reject(new Error('no'))));
    await click(page, 'summary');
    await page.waitFor('dd');
    await click(page, '.copy');
    await until(() => page.find('.copy', (button) => button.innerText === 'The browser does not let it be copied'), 'the word');
    await click(page, '#sign-out');
    await choose(page, makeFile('late.bin', 1000));
    await until(() => page.find('#live', (p) => /^late.bin: failed, .*no bearer token/.test(p.innerText)), 'the reason');
    await page.close();
});

test('credentials are renewed before they end, by the token', async () => {
    const page = await openPage();
    await signIn(page, 'grace');
    await choose(page, makeFile('first.bin', 1)); // so that there is a worker
    await allIn(page, ['done']);
    const [worker] = page.page.workers();
    await worker.evaluate(() => {
        const real = fetch;
        self.calls = [];
        self.fetch = async (url, options) => {
            const answer = await real(url, options);
            const { pathname } = new URL(url);
            if (!pathname.startsWith('/v1/')) return answer;
            const text = await answer.text();
            self.calls.push(`${options.method} ${pathname}`);
            const soon = new Date(Date.now() + 12_000).toISOString();
            return new Response(text.replace(/("expiration":)"[^"]*"/, `$1"${soon}"`), answer);
        };
    });
    const path = makeFile('renewed.bin', 200 * MiB);
    await choose(page, path);
    await until(() => worker.evaluate(() => self.calls.length > 0), 'the first credentials');
    await worker.evaluate(() => {
        const real = Date.now;
        Date.now = () => real() + 11_000;
    });
    const done = await allIn(page, ['done', 'failed'], 60_000);
    await assertStored(done[1], path);
    const calls = await worker.evaluate(() => self.calls);
    assert.equal(calls[0], 'POST /v1/uploads');
    assert.ok(calls.length > 1 && calls.slice(1).every((call) => call === 'GET /v1/credentials'), String(calls));
    assert.deepEqual(page.complaints, []);
    await page.close();
}, { only: 'chromium', why: 'whose worker can be reached' });

test('the module works without the page, by fetch, with other parts and own credentials', async () => {
    const page = await openModule(browser, demo);
    const path = makeFile('by hand.bin', 23 * MiB);
    const token = mint(demo, { sub: user('frank') });
    const answer = await fetch(`${demo.api}/v1/credentials`, { headers: { authorization: `Bearer ${token}` } });
    await page.choose('#own', path);
    const result = await page.evaluate(async (granted) => {
        const parthaul = new Parthaul({ getCredentials: () => granted, workerUrl });
        const [file] = document.querySelector('#own').files;
        const options = {
            key: `${granted.prefix}by hand.bin`,
            partSize: 5 << 20,
            object: { cacheControl: 'max-age=60' },
            metadata: { origin: 'a test' },
        };
        const upload = parthaul.upload(file, options);
        const events = new Set();
        for (const type of ['state', 'progress', 'part', 'done', 'error']) {
            upload.addEventListener(type, () => events.add(type));
        }
        const receipt = await upload.done;
        const refused = await parthaul.upload(file, options).done.catch(plain);
        const other = { ...options, key: `${granted.prefix}other`, signal: AbortSignal.abort() };
        const aborted = await parthaul.upload(file, other).done.catch(plain);
        const wrong = await parthaul.upload(file, { ...options, key: 'a/../b' }).done.catch(plain);
        const warnings = [];
        const typed = ['x/'.padEnd(300, 'y'), '"', ' text/plain'].map((type, i) => {
            const upload = parthaul.upload(new Blob(['abc'], { type }), { ...options, key: `${granted.prefix}typed ${i}` });
            upload.addEventListener('warning', ({ detail }) => warnings.push(detail.message));
            return upload.done.then(({ size }) => size, plain);
        });
        const sizes = await Promise.all(typed);
        await parthaul.close();
        return {
            receipt, refused, aborted, wrong, warnings, sizes, events: [...events], progress: upload.progress,
            parts: [...upload.parts].map((state) => parthaul.tables.partStates[state]),
        };
    }, await answer.json());
    assert.equal(result.receipt.partCount, 5);
    assert.equal(result.receipt.verified, 'object');
    const stored = await reader.ask({ do: 'compare', key: result.receipt.key, file: path });
    assert.ok(stored.equal);
    assert.equal(stored.checksum, result.receipt.checksum);
    assert.equal(stored.cacheControl, 'max-age=60');
    assert.deepEqual(result.events.sort(), ['done', 'part', 'progress', 'state']);
    assert.deepEqual(result.parts, Array(5).fill('sent'));
    assert.equal(result.progress.bytes, 23 * MiB);
    // The same key again: nobody's object is overwritten.
    assert.equal(result.refused.code, 'EXISTS', JSON.stringify(result.refused));
    assert.equal(result.refused.name, 'UploadError');
    assert.equal(result.refused.status, 412);
    assert.equal(result.refused.s3Code, 'PreconditionFailed');
    assert.equal(result.aborted.code, 'ABORTED');
    assert.equal(result.wrong.code, 'KEY_DOT_SEGMENT');
    assert.deepEqual(result.sizes, [3, 3, 3], 'a type that cannot be sent is left out');
    assert.deepEqual(result.warnings, Array(3).fill("the file's type is none that can be sent, and left out"));
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
});

test('digests that go side by side, and the engine without SIMD, are what S3 computes', async () => {
    const page = await openModule(browser, demo);
    const path = makeFile('lanes.bin', 52 * MiB + 5);
    const token = mint(demo, { sub: user('lena') });
    const answer = await fetch(`${demo.api}/v1/credentials`, { headers: { authorization: `Bearer ${token}` } });
    await page.choose('#own', path);
    const receipts = await page.evaluate(async (granted) => {
        const [file] = document.querySelector('#own').files;
        const receipts = [];
        for (const wasmUrl of ['/parthaul/parthaul.wasm', '/parthaul/parthaul-scalar.wasm']) {
            const parthaul = new Parthaul({ getCredentials: () => granted, workerUrl, wasmUrl });
            const uploads = ['CRC64NVME', 'SHA256', 'SHA1', 'MD5'].map((checksum) => {
                const key = `${granted.prefix}${checksum}${receipts.length}`;
                return parthaul.upload(file, { key, checksum, partSize: 5 << 20 });
            });
            receipts.push(...(await Promise.all(uploads.map(({ done }) => done))));
            await parthaul.close();
        }
        return receipts;
    }, await answer.json());
    assert.equal(receipts.length, 8);
    for (const [i, { key, checksum, algorithm }] of receipts.entries()) {
        assert.equal(checksum, receipts[i % 4].checksum, algorithm); // both builds say the same
        assert.ok((await reader.ask({ do: 'compare', key, file: path })).equal, algorithm);
    }
    await page.close();
});

test("the README's example works as it stands", async () => {
    const [, example] = readFileSync(`${root}README.md`, 'utf8').match(/```js\n(import [^]*?)```/);
    const page = await openPage();
    await page.page.setBypassCSP(true); // it has no Trusted Types
    await page.goto(demo.page);
    await page.evaluate(() => {
        document.body.innerHTML = `<input type=file id=input><progress id=bar></progress>
            <button id=pauseButton></button><button id=cancelButton></button><p id=message></p>`;
    });
    await page.run(
        `(async () => {
            const session = { token: () => ${JSON.stringify(mint(demo, { sub: user('heidi') }))} };
            const [input, bar, pauseButton, cancelButton, message] = document.body.children;
            ${example
                .replace(/import (.*) from (.*);/, 'const $1 = await import($2);')
                .replace('https://uploads.example.com', demo.api)}
        })()`,
    );
    for (const size of [0, 20 * MiB]) {
        const path = makeFile(`example ${size}.bin`, size);
        await page.choose('#input', path);
        const text = () => page.find('#message', (p) => p.innerText);
        const said = await until(async () => (await text()).includes(`example ${size}`) && text(), 'the receipt');
        assert.match(said, /^upload\/heidi-.* uploaded: CRC64NVME [\w+/]{11}=$/);
        assert.equal(await page.find('#bar', (bar) => bar.value), 1);
    }
    assert.deepEqual(page.complaints, []);
    await page.close();
}, { only: 'chromium', why: 'which can do without the policy of the page' });

test('what goes wrong around an upload has a code and a sentence', async () => {
    const page = await openModule(browser, demo);
    const path = makeFile('gone.bin', 1000);
    await page.choose('#own', path);
    rmSync(path);
    const result = await page.evaluate(async (api) => {
        const [gone] = document.querySelector('#own').files;
        const file = new Blob(['abc']);
        const fail = async (options, what = file) => {
            const parthaul = new Parthaul({ workerUrl, ...options });
            const error = await parthaul.upload(what, { tries: 2, patienceMs: 1 }).done.catch(plain);
            await parthaul.close();
            return `${error.code}: ${error.message}`;
        };
        const refuse = (code) => () => {
            throw Object.assign(new Error('the user left'), { code });
        };
        const hearsAfterClose = async () => {
            const parthaul = new Parthaul({ api, getToken: () => '', workerUrl });
            await parthaul.close();
            await parthaul.unfinished();
            Object.defineProperty(navigator, 'onLine', { value: false, configurable: true });
            dispatchEvent(new Event('offline'));
            for (let i = 0; i < 50 && parthaul.online; i++) await new Promise((next) => setTimeout(next, 100));
            await parthaul.close();
            return !parthaul.online;
        };
        const answersLate = async () => {
            const answers = [];
            const getCredentials = () => new Promise((_, refuse) => answers.push(refuse));
            const asked = async (n) => {
                while (answers.length < n) await new Promise((next) => setTimeout(next, 10));
            };
            const parthaul = new Parthaul({ getCredentials, workerUrl, keep: false });
            parthaul.upload(file, { key: 'first' });
            await asked(1);
            await parthaul.close();
            const { done } = parthaul.upload(file, { key: 'second' });
            await asked(2);
            answers[0]({ code: 'FORBIDDEN', message: 'to the first' });
            answers[1]({ code: 'FORBIDDEN', message: 'to the second' });
            const { message } = await done.catch(plain);
            await parthaul.close();
            return message;
        };
        const nowhere = { credentials: { accessKeyId: 'A', secretAccessKey: 'S' }, bucket: 'demo', endpoint: 'http://[1:2:3]' };
        return {
            answersLate: await answersLate(),
            nowhere: await fail({ getCredentials: () => nowhere, key: 'a' }),
            proxies: await fail({ getCredentials: refuse('FORBIDDEN'), metadata: new Proxy({ a: 'b' }, {}) }),
            textless: await fail({ getCredentials: () => { throw Object.create(null); } }),
            gone: await fail({ api, getToken: () => '' }, gone),
            noModule: await fail({ api, wasmUrl: '/parthaul/nothing.wasm' }),
            signIn: await fail({ getCredentials: refuse('SIGN_IN') }),
            forbidden: await fail({ api, getToken: refuse('FORBIDDEN') }),
            passing: await fail({ getCredentials: refuse() }),
            notJson: await fail({ getCredentials: () => 'nonsense' }),
            odd: await fail({ api, getToken: () => { throw { code: Symbol(), message: () => 1 }; } }),
            wordy: await fail({ api, getToken: () => { throw new Error('wordy '.repeat(5e5)); } }),
            endless: await fail({ getCredentials: () => 'x'.repeat(3e6) }),
            nul: await fail({ getCredentials: () => { throw new Error('a\0b'); } }),
            noToken: await fail({ api, getToken: () => 'SECRET\nTOKEN' }),
            frozen: await fail({ getCredentials: refuse('FORBIDDEN'), name: Object.freeze(Error.prototype) && 'a' }),
            hearsAfterClose: await hearsAfterClose(),
        };
    }, demo.api);
    assert.equal(result.answersLate, 'to the second', 'an answer is for who asked');
    assert.match(result.nowhere, /^BAD_ENDPOINT: ./);
    assert.match(result.proxies, /^FORBIDDEN: ./);
    assert.match(result.textless, /^NO_CREDENTIALS: .*no text/);
    assert.match(result.frozen, /^FORBIDDEN: ./);
    assert.match(result.gone, /^FILE_UNREADABLE: ./);
    assert.match(result.noModule, /^WORKER_FAILED: .*HTTP 404/);
    assert.match(result.signIn, /^SIGN_IN: .*the user left/);
    assert.match(result.forbidden, /^FORBIDDEN: .*the user left/);
    assert.match(result.passing, /^NO_CREDENTIALS: .*the user left/);
    assert.match(result.notJson, /^BAD_(JSON|CREDENTIALS): ./);
    assert.match(result.odd, /^NO_CREDENTIALS: ./);
    assert.match(result.wordy, /^NO_CREDENTIALS: wordy wordy/);
    assert.match(result.endless, /^NO_CREDENTIALS: .*too long/);
    assert.match(result.nul, /^NO_CREDENTIALS: ab/);
    assert.match(result.noToken, /^SIGN_IN: .*no header/);
    assert.doesNotMatch(result.noToken, /SECRET/);
    assert.ok(result.hearsAfterClose, 'who is used again after close() hears that the browser is offline');
    await page.close();
});

test('thousands of files that are paused neither begin nor hold each other up', async () => {
    const page = await openModule(browser, demo);
    await page.evaluate(() => {
        window.asks = 0;
        const getCredentials = () => (window.asks++, new Promise(() => {}));
        window.parthaul = new Parthaul({ getCredentials, workerUrl, keep: false });
    });
    await until(() => page.evaluate(() => !!window.parthaul.tables), 'the engine');
    const [worker] = page.page.workers();
    await worker.evaluate(() => {
        const { now } = Date;
        self.looks = 0; // at the clock: one for each step of an engine
        Date.now = () => (self.looks++, now());
    });
    const asks = await page.evaluate(async () => {
        const uploads = Array.from({ length: 300 }, (_, i) => parthaul.upload(new Blob(['abc']), { key: String(i) }));
        for (const paused of [true, false]) {
            for (const upload of uploads) paused ? upload.pause() : upload.resume();
            for (const upload of uploads) {
                while (upload.paused !== paused) {
                    await new Promise((next) => upload.addEventListener('state', next, { once: true }));
                }
            }
        }
        return window.asks;
    });
    const looks = await worker.evaluate(() => self.looks);
    assert.ok(looks < 300 * 30, `${looks} looks at the clock`);
    assert.ok(asks < 150, `${asks} asked for credentials`);
    await page.evaluate(() => parthaul.close());
    await page.close();
}, { only: 'chromium', why: 'whose worker can be reached' });

test('a wrong option is refused at once, by its name, and holds nothing up', async () => {
    const page = await openModule(browser, demo);
    const said = await page.evaluate(async (api) => {
        const said = {};
        const say = (what, act) => {
            try {
                act();
                said[what] = 'taken';
            } catch (error) {
                said[what] = `${error.name}: ${error.message}`;
            }
        };
        say('either api', () => new Parthaul({}));
        for (const wrong of [{ connections: 0 }, { connections: 'six' }, { transport: 'pigeon' }, { getToken: 'eyJ' }, { tries: -1 }]) {
            say(Object.keys(wrong)[0], () => new Parthaul({ api, workerUrl, ...wrong }));
        }
        for (const [what, owner] of Object.entries({ owner: async () => 'a', 'owner is': { id: 1 } })) {
            say(what, () => new Parthaul({ api, getToken: () => '', workerUrl, owner }).upload(new Blob(['abc'])));
        }
        const parthaul = new Parthaul({ api, getToken: () => '', workerUrl });
        for (const wrong of [{ partSize: '5MB' }, { concurrency: NaN }, { maxRate: 5n }, { name: 5 }, { overwrite: 'no' }, { metadata: { a: 1 } }, { object: new Map() }]) {
            say(Object.keys(wrong)[0], () => parthaul.upload(new Blob(['abc']), wrong));
        }
        say('a File', () => parthaul.upload('abc'));
        say('signal', () => parthaul.upload(new Blob(['abc']), { signal: {} }));
        say('be cloned', () => parthaul.upload(new Blob(['abc']), { handle: { getFile() {} } }));
        await parthaul.close(); // which waits for all that run
        return said;
    }, demo.api);
    assert.equal(Object.keys(said).length, 17);
    for (const [what, message] of Object.entries(said)) assert.match(message, new RegExp(`^(TypeError|DataCloneError): [^]*(${what})`), message);
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test('what a Content-Security-Policy forbids is said at once, and a line that broke is no reason to give up', async () => {
    const may = "script-src 'self' 'wasm-unsafe-eval'";
    let broken = 2;
    const server = createServer((request, response) => {
        const [, folder, name, query] = request.url.match(/^\/(\w+)\/([\w.-]+)\??(\w*)$/) ?? [];
        const type = name?.endsWith('.wasm') ? 'application/wasm' : name ? 'text/javascript' : 'text/html';
        const policy = query === 'wasm' ? "script-src 'self'" : name ? may : `${may}; worker-src ${origin}/parthaul/`;
        const headers = { 'content-type': type, 'content-security-policy': `${policy}; connect-src 'self'` };
        const fails = folder === 'broken' && broken-- > 0;
        if (folder === 'cut') {
            response.writeHead(200, { ...headers, 'content-length': 9999 });
            response.write('\0asm\x01\0\0\0', () => setTimeout(() => response.destroy(), 50));
            return;
        }
        response.writeHead(fails ? 503 : 200, headers);
        response.end(name && !fails ? readFileSync(`${root}web/dist/${name}`) : '<!doctype html><title>policy</title>');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    server.unref(); // also where this fails
    const origin = `http://127.0.0.1:${server.address().port}`;
    const page = await browser.open(origin);
    const said = await page.evaluate(async (origin) => {
        const { Parthaul } = await import('/parthaul/parthaul.js');
        const elsewhere = 'http://127.0.0.1:9';
        const credentials = { accessKeyId: 'AKIAEXAMPLEEXAMPLE00', secretAccessKey: 'secret' };
        const lent = { credentials, bucket: 'bucket', region: 'us-east-1', endpoint: elsewhere };
        const say = async (options) => {
            const parthaul = new Parthaul({ getCredentials: options.api ? undefined : () => lent, keep: false, ...options });
            const late = new Promise((resolve) => setTimeout(resolve, 30_000, { code: 'nothing' }));
            const { code, message } = await Promise.race([parthaul.upload(new Blob(['abc']), { key: 'a b' }).done.catch((e) => e), late]);
            parthaul.close();
            return `${code}: ${message}`;
        };
        const url = `${origin}/broken/parthaul.wasm`;
        const all = {
            wasm: say({ workerUrl: '/parthaul/worker.js?wasm' }),
            worker: say({ workerUrl: '/other/worker.js' }),
            api: say({ api: elsewhere, getToken: () => 'token' }),
            fetch: say({}),
            xhr: say({ transport: 'xhr' }),
            cut: say({ wasmUrl: url.replace('broken', 'cut'), scalarUrl: url.replace('broken', 'cut') }),
            tries: say({ wasmUrl: url, scalarUrl: url, getCredentials() { throw { code: 'FORBIDDEN', message: 'here' }; } }),
        };
        const ends = Object.entries(all).map(async ([name, end]) => [name, await end]);
        return Object.fromEntries(await Promise.all(ends));
    }, origin);
    assert.match(said.wasm, /^BLOCKED_BY_CSP: .* add 'wasm-unsafe-eval' to script-src$/);
    assert.match(said.worker, /^BLOCKED_BY_CSP: .* add http:.*\/other\/worker.js to worker-src$/);
    for (const name of ['api', 'fetch', 'xhr']) {
        assert.match(said[name], /^BLOCKED_BY_CSP: .* add http:\/\/127.0.0.1:9 to connect-src$/, name);
    }
    assert.match(said.cut, /^WORKER_FAILED: the engine cannot be loaded: /);
    assert.equal(said.tries, 'FORBIDDEN: here');
    assert.equal(broken, -1, 'the third try loaded it');
    await page.close();
    server.closeAllConnections();
    server.close();
});

test('a worker that cannot read what the page sends says so', async () => {
    const server = createServer(({ url }, response) => {
        const type = url.endsWith('.wasm') ? 'application/wasm' : url.endsWith('.js') && 'text/javascript';
        response.writeHead(200, { 'content-type': type || 'text/html', 'access-control-allow-origin': '*' });
        response.end(type ? readFileSync(`${root}web/dist${url}`) : '<!doctype html><title>worker</title>');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    server.unref(); // also where this fails
    const page = await browser.open(`http://127.0.0.1:${server.address().port}/`);
    const said = await page.evaluate(async () => {
        const { Parthaul } = await import('/parthaul.js');
        const workerUrl = `data:text/javascript,${encodeURIComponent(await (await fetch('/worker.js')).text())}`;
        const handle = await (await navigator.storage.getDirectory()).getFileHandle('a', { create: true });
        const parthaul = new Parthaul({ getCredentials: () => new Promise(() => {}), workerUrl });
        const late = new Promise((resolve) => setTimeout(resolve, 30_000, 'nothing'));
        const end = parthaul.upload(new Blob(['abc']), { handle }).done.catch(({ code, message }) => `${code}: ${message}`);
        return Promise.race([end, late]);
    });
    assert.match(said, /^WORKER_FAILED: the worker cannot read/);
    await page.close();
    server.closeAllConnections();
    server.close();
}, { only: 'firefox', why: 'which lets no handle of a file into a worker of a data: URL' });

test('both transports give up what stalls or has no end, follow nobody elsewhere and ask no cache', async () => {
    const asked = [];
    const packed = gzipSync(Buffer.alloc(16 * MiB, ' ')); // 16 KiB
    const server = createServer((request, response) => {
        asked.push(request.url);
        if (request.url === '/') response.end('<!doctype html><title>transport</title>');
        if (request.url === '/transport.js') {
            response.setHeader('content-type', 'text/javascript');
            response.end(readFileSync(`${root}web/dist/transport.js`));
        }
        if (request.url === '/moved') response.writeHead(307, { location: '/elsewhere' }).end();
        if (request.url === '/elsewhere') response.end();
        if (request.url === '/cached') response.writeHead(200, { 'cache-control': 'max-age=3600' }).end(`${asked.length}`);
        if (request.url === '/packed') response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed);
        // Anything else gets no answer, and nobody reads its body.
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    server.unref(); // also where this fails
    const origin = `http://127.0.0.1:${server.address().port}`;
    const page = await browser.open(origin);
    const result = await page.evaluate(async (origin) => {
        const { viaFetch, viaXhr } = await import('/transport.js');
        const send = async (transport, path, limits, body, method = 'PUT') => {
            const controller = new AbortController();
            const begin = performance.now();
            const file = body && { offset: 0, length: body.size };
            const request = { method, url: origin + path, headers: [], file, ...limits };
            let sent = 0;
            const answer = await transport(request, body, controller, (bytes) => (sent = bytes)).catch(() => null);
            return { answer, why: controller.signal.reason, ms: performance.now() - begin, sent };
        };
        const quick = { stallMs: 300, answerMs: 300, limitMs: 300 };
        const slow = { stallMs: 9000, answerMs: 9000, limitMs: 9000 };
        const big = new Blob([new Uint8Array(32 << 20)]);
        const tiny = new Blob(['a byte']);
        const shown = await (await fetch('/cached')).text(); // by the page, or an earlier request
        return {
            shown,
            fetchCached: await send(viaFetch, '/cached', slow, undefined, 'GET'),
            xhrCached: await send(viaXhr, '/cached', slow, undefined, 'GET'),
            fetchSilent: await send(viaFetch, '/silent', quick),
            xhrSilent: await send(viaXhr, '/silent', quick, tiny),
            xhrStalled: await send(viaXhr, '/stalled', { stallMs: 300, answerMs: 60_000 }, big),
            fetchPacked: await send(viaFetch, '/packed', slow),
            xhrPacked: await send(viaXhr, '/packed', slow, tiny),
            fetchMoved: await send(viaFetch, '/moved', slow),
            xhrControl: await send(viaXhr, '/moved', slow),
            xhrMoved: await send(viaXhr, '/moved', slow, tiny),
            xhrAgain: await send(viaXhr, '/moved', slow, tiny),
        };
    }, origin);
    for (const name of ['fetchSilent', 'xhrSilent', 'xhrStalled']) {
        assert.equal(result[name].answer, null, name);
        assert.equal(result[name].why, 'TIMEOUT', name);
        assert.ok(result[name].ms > 250 && result[name].ms < 5000, `${name}: ${result[name].ms} ms`);
    }
    for (const { answer, why } of [result.fetchPacked, result.xhrPacked]) assert.ok(!answer && !why, why ?? 'it was read');
    assert.ok(result.xhrStalled.sent < 32 << 20, 'it stalled on the way');
    assert.notEqual(result.fetchCached.answer.body, result.shown);
    assert.notEqual(result.xhrCached.answer.body, result.shown);
    for (const name of ['fetchMoved', 'xhrControl', 'xhrMoved', 'xhrAgain']) assert.equal(result[name].answer.status, 307, name);
    const followed = asked.filter((url) => url === '/elsewhere').length;
    assert.ok(followed <= 1, 'only what needs progress is followed, and that once');
    await page.close();
    server.closeAllConnections();
    server.close();
});

await runIn(browserNames, {
    async before(name) {
        browser = await startBrowser(name, `${work}/profile-${name}`);
    },
    after: () => browser.close(),
    async finally() {
        reader.stop();
        await demo.stop();
    },
});
if (!process.exitCode) rmSync(work, { recursive: true, force: true });
