// SPDX-License-Identifier: MIT
// What was begun goes on: after a reload, in another tab, by a handle; and where a browser keeps
// nothing. In Chromium, with the demo's servers.

import assert from 'node:assert/strict';
import { renameSync, rmSync } from 'node:fs';

import { startBrowser } from './browsers.mjs';
import { makeFile, MiB } from './common.mjs';
import { runTests, sleep, test, until } from './harness.mjs';
import { mint, startDemo, startReader, work } from './stack.mjs';

const demo = await startDemo();
const reader = startReader(demo);
const chromium = await startBrowser('chromium', `${work}/profile-chromium`);

/** What the pages complain about. */
let complaints = [];

async function openPage() {
    const page = await chromium.puppeteer.newPage();
    complaints = [];
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => complaints.push(`exception: ${error}`));
    page.on('dialog', (dialog) => dialog.accept()); // of beforeunload: something runs
    await page.goto(demo.page);
    return page;
}

/** A Parthaul of that user, on a page whose own one is not in use. */
const libraryOn = (page, user, more = {}) =>
    page.evaluateHandle(async (api, token, owner, more) => {
        const { Parthaul } = await import('./parthaul/parthaul.js');
        const url = new URL('parthaul/worker.js', location.href).href;
        const policy = trustedTypes.createPolicy('parthaul', { createScriptURL: () => url });
        return new Parthaul({ api, owner, getToken: () => token, workerUrl: policy.createScriptURL(''), transport: 'xhr', ...more });
    }, demo.api, mint(demo, { sub: user }), user, more);

async function signIn(page, name) {
    await page.$eval('#user', (input) => (input.value = ''));
    await page.type('#user', name);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#signed-in:not([hidden])');
}

const rows = (page) =>
    page.$$eval('#uploads > li', (list) => list.map((li) => ({ ...li.dataset, text: li.textContent })));

async function choose(page, path) {
    await (await page.$('#files')).uploadFile(path);
    await until(async () => (await rows(page)).length === 1, 'the row');
}

/** The only row's end, and that the bucket has the file. */
async function assertArrives(page, path) {
    const row = await until(async () => {
        const [row] = await rows(page);
        return row && ['done', 'failed'].includes(row.state) && row;
    }, 'the end', 90_000);
    assert.equal(row.state, 'done', row.text);
    assert.ok((await reader.ask({ do: 'compare', key: row.key, file: path })).equal, 'other bytes');
}

const uploadsLeft = () => reader.ask({ do: 'uploads' });
const click = (page, selector) => page.$eval(selector, (button) => button.click());

async function listedFor(user) {
    const page = await openPage();
    const list = await page.evaluate((parthaul) => parthaul.unfinished(), await libraryOn(page, user));
    await page.close();
    return list;
}

test('what was begun goes on in another tab, with the same file and no other', async () => {
    const path = makeFile('kept.bin', 150 * MiB);
    const other = makeFile('other.bin', 150 * MiB);
    const first = await openPage();
    const here = await libraryOn(first, 'grace');
    await first.evaluate(() => {
        const input = Object.assign(document.createElement('input'), { type: 'file', id: 'test-file' });
        document.body.append(input);
    });
    await (await first.$('#test-file')).uploadFile(path);
    await first.evaluate((parthaul) => {
        const options = { partSize: 5 << 20, maxRate: 5 << 20 }; // slow enough to be looked at
        window.upload = parthaul.upload(document.getElementById('test-file').files[0], options);
    }, here);
    await until(() => first.evaluate(() => window.upload.progress.stored > 0), 'a part');
    const second = await openPage();
    const there = await libraryOn(second, 'grace');
    const listed = () => second.evaluate((parthaul) => parthaul.unfinished(), there);
    const [kept] = await listed();
    assert.equal(kept.running, 'elsewhere');
    assert.equal(kept.name, 'kept.bin');
    assert.equal(kept.size, 150 * MiB);
    assert.equal(await first.evaluate(() => window.upload.kept), kept.id);
    assert.deepEqual(await listedFor('heidi'), [], "nobody else's are listed");
    const attempt = (file) =>
        second.evaluate(async (parthaul, id, file) => {
            try {
                return await (await parthaul.resume(id, file)).done;
            } catch (error) {
                return { code: error.code, resumable: error.resumable, partNumber: error.partNumber };
            }
        }, there, kept.id, file);
    assert.equal((await attempt()).code, 'IN_USE');
    const bytes = await first.evaluate(async () => {
        // All that this origin has written down, as text.
        const open = indexedDB.open('parthaul');
        await new Promise((resolve) => (open.onsuccess = resolve));
        const all = open.result.transaction('uploads').objectStore('uploads').getAll();
        await new Promise((resolve) => (all.onsuccess = resolve));
        return JSON.stringify(all.result);
    });
    assert.match(bytes, /uploadId/);
    assert.doesNotMatch(bytes, /eyJ|secret|signature|credential|x-amz/i, 'no secret is kept');

    // The tab goes, as by a crash; the other one hears of it.
    await second.evaluate((parthaul) => {
        window.heard = 0;
        parthaul.addEventListener('unfinished', () => window.heard++);
    }, there);
    const began = await reader.ask({ do: 'uploads' });
    await first.close({ runBeforeUnload: false });
    await until(async () => (await listed())[0].running === undefined, 'the lock to be free');
    assert.ok(await second.evaluate(() => window.heard), 'it was told');
    assert.deepEqual(await reader.ask({ do: 'uploads' }), began, 'closing the tab aborts nothing');
    assert.deepEqual(await attempt(), { code: 'FILE_NEEDED', resumable: true });
    await second.evaluate(() => {
        const input = Object.assign(document.createElement('input'), { type: 'file', id: 'test-file', multiple: true });
        document.body.append(input);
    });
    await (await second.$('#test-file')).uploadFile(other, path);
    const file = (i) => second.evaluateHandle((i) => document.getElementById('test-file').files[i], i);
    const wrong = await attempt(await file(0));
    assert.equal(wrong.code, 'FILE_CHANGED');
    assert.ok(wrong.resumable && wrong.partNumber >= 1, JSON.stringify(wrong));
    const [after] = await listed();
    assert.equal(after.failure.code, 'FILE_CHANGED', 'the list says why it stopped');
    const receipt = await attempt(await file(1));
    assert.equal(receipt.verified, 'object', JSON.stringify(receipt));
    assert.ok((await reader.ask({ do: 'compare', key: receipt.key, file: path })).equal);
    assert.deepEqual(await listed(), []);
    assert.deepEqual(await uploadsLeft(), []);
    assert.deepEqual(complaints, []);
    await second.close();
});

/** Each part of the page's own worker waits, so that there is time to look. */
const slowDown = async (page, ms) =>
    (await until(() => page.workers()[0], 'the worker')).evaluate((ms) => {
        const { send } = XMLHttpRequest.prototype;
        XMLHttpRequest.prototype.send = function (...body) {
            setTimeout(() => this.readyState === 1 && send.apply(this, body), ms);
        };
    }, ms);

test('a file that another tab uploads goes on here when that tab is closed', async () => {
    const path = makeFile('handed over.bin', 400 * MiB);
    const first = await openPage();
    await signIn(first, 'kim');
    await slowDown(first, 2000);
    await choose(first, path);
    await until(async () => (await reader.ask({ do: 'parts', prefix: 'upload/kim/' })) > 1, 'parts');
    const second = await openPage();
    await signIn(second, 'kim');
    const words = () => second.$$eval('#kept .what', (all) => all.map((p) => p.innerText).join());
    await until(async () => (await words()) === 'Running in another tab', 'the other tab to be seen');
    await (await second.$('#files')).uploadFile(path);
    await until(async () => /it goes on here when that one is closed/.test(await words()), 'it to be held');
    assert.equal((await rows(second)).length, 0, 'nothing is begun twice');
    assert.equal((await uploadsLeft()).length, 1);
    await first.close({ runBeforeUnload: false });
    await until(async () => (await rows(second)).length === 1, 'the row');
    await assertArrives(second, path);
    assert.deepEqual(await uploadsLeft(), []);
    assert.deepEqual(complaints, []);
    await second.close();
});

test('who lets go of an upload before it was theirs does not own it', async () => {
    const page = await openPage();
    const held = await page.evaluate(async () => {
        const { Store } = await import('./parthaul/store.js');
        const [one, other] = [new Store(() => {}), new Store(() => {})];
        await one.own('x');
        const owns = other.own('x');
        other.release('x');
        one.release('x');
        return [await owns, await other.own('x')]; // which waits a moment for it to be free
    });
    assert.deepEqual(held, [false, true]);
    await page.close();
});

test('where a browser lets no tab speak to others, what is kept is kept all the same', async () => {
    const page = await openPage(); // as Firefox with "block all cookies"
    const owned = await page.evaluate(async () => {
        const { Store } = await import('./parthaul/store.js');
        window.BroadcastChannel = function () {
            throw new DOMException('The operation is insecure.', 'SecurityError');
        };
        const store = new Store(() => {});
        const owned = await store.own('y');
        store.release('y');
        return owned;
    });
    assert.ok(owned);
    await page.close();
});

test('after a reload the page lists what was begun, and the same file goes on', async () => {
    const path = makeFile('reloaded.bin', 400 * MiB); // more parts than are sent at once
    const page = await openPage();
    await signIn(page, 'judy');
    const begin = async () => {
        await slowDown(page, 2000);
        await choose(page, path);
        await until(async () => (await reader.ask({ do: 'parts', prefix: 'upload/judy/' })) > 1, 'parts');
        await page.reload();
        assert.equal(await page.$eval('#unfinished', (section) => section.hidden), true, 'nobody is signed in');
        await signIn(page, 'judy');
        await page.waitForSelector('#kept .go-on:not([hidden])'); // the old page's worker has ended
        return page.$eval('#kept > li', (li) => ({ ...li.dataset, text: li.innerText }));
    };
    const listed = await begin();
    assert.equal(listed.name, 'reloaded.bin');
    assert.match(listed.text, /Stopped .* It can go on, with the same file\./);

    // Another user of this browser sees nothing of it.
    await click(page, '#sign-out');
    await signIn(page, 'mallory');
    await sleep(500);
    assert.equal(await page.$eval('#unfinished', (section) => section.hidden), true);
    await click(page, '#sign-out');
    await signIn(page, 'judy');
    await page.waitForSelector('#kept .go-on');

    const chooser = (selector, file) =>
        Promise.all([page.waitForFileChooser(), page.click(selector)]).then(([dialog]) => dialog.accept([file]));
    await chooser('#kept .go-on', makeFile('shorter.bin', 1000));
    await until(() => page.$eval('#message', (p) => p.innerText.includes('another file')), 'the refusal');
    const had = await reader.ask({ do: 'parts', prefix: 'upload/judy/' });
    await chooser('#kept .go-on', path);
    await assertArrives(page, path);
    assert.ok(had > 1);
    await until(() => page.$eval('#unfinished', (section) => section.hidden), 'the list to be empty');

    // The same file chosen anew goes on by itself; and Discard leaves nothing.
    await click(page, '.remove');
    await begin();
    for (let times = 0; times < 3; times++) await (await page.$('#files')).uploadFile(path); // impatience
    await until(async () => (await rows(page)).length === 1, 'the row');
    await until(() => page.$eval('#message', (p) => p.innerText === 'reloaded.bin is on its way already.'), 'the word');
    await assertArrives(page, path);
    await click(page, '.remove');
    await begin();
    await click(page, '#kept .discard');
    // The row goes at once; that S3 has forgotten it is said later.
    await until(() => page.$eval('#live', (p) => p.innerText === 'reloaded.bin: discarded'), 'it to be discarded');
    assert.ok(await page.$eval('#unfinished', (section) => section.hidden));
    assert.deepEqual(await uploadsLeft(), []);
    assert.deepEqual(complaints, []);
    await page.close();
});

test('a handle of the file makes going on one call, when it leads to the same file again', async () => {
    const page = await openPage();
    const first = await libraryOn(page, 'ken');
    await page.evaluate(async (parthaul) => {
        // The origin's own files have handles too, and need no click of a person.
        const folder = await navigator.storage.getDirectory();
        const handle = await folder.getFileHandle('film.bin', { create: true });
        const writer = await handle.createWritable();
        for (let i = 0; i < 60; i++) await writer.write(new Uint8Array(1 << 20).fill(i));
        await writer.close();
        const options = { handle, presignLimit: 0, partSize: 5 << 20, maxRate: 5 << 20 }; // slow enough to be caught
        window.upload = parthaul.upload(await handle.getFile(), options);
    }, first);
    await until(() => page.evaluate(() => window.upload.progress.stored > 0), 'a part');
    await page.reload();
    const second = await libraryOn(page, 'ken');
    const { refused, receipt } = await page.evaluate(async (parthaul) => {
        let kept;
        do [kept] = await parthaul.unfinished();
        while (kept?.running); // the old page's worker ends
        const refused = {};
        const attempt = async (what, file) => {
            refused[what] = await parthaul.resume(kept.id, file).then((upload) => upload.done).catch(({ code }) => code);
        };
        const { prototype } = FileSystemFileHandle;
        const { queryPermission, requestPermission } = prototype;
        for (const [now, then] of [['denied', 'denied'], ['prompt', 'denied'], ['prompt', undefined]]) {
            prototype.queryPermission = async () => now;
            prototype.requestPermission = async () => then ?? Promise.reject(new DOMException('no click', 'SecurityError'));
            await attempt(`${now}, ${then}`);
        }
        Object.assign(prototype, { queryPermission, requestPermission });
        const folder = await navigator.storage.getDirectory();
        await (await folder.getFileHandle('film.bin')).move('moved.bin');
        await attempt('moved');
        const moved = await folder.getFileHandle('moved.bin');
        await moved.move('film.bin');
        const handle = await folder.getFileHandle('film.bin');
        const original = new Blob([await (await handle.getFile()).arrayBuffer()]);
        const write = async (...pieces) => {
            const writer = await handle.createWritable();
            for (const piece of pieces) await writer.write(piece);
            await writer.close();
        };
        await write(original, 'longer');
        await attempt('longer');
        await write(new Uint8Array(original.size).fill(99));
        await attempt('another');
        await write(original);
        // Nor does a handle of another file take the place of the right one.
        await attempt('wrong', await folder.getFileHandle('wrong.bin', { create: true }));
        return { refused, receipt: await (await parthaul.resume(kept.id)).done };
    }, second);
    assert.deepEqual(refused, {
        'denied, denied': 'FILE_NEEDED',
        'prompt, denied': 'FILE_NEEDED',
        'prompt, undefined': 'FILE_NEEDED',
        moved: 'FILE_NEEDED',
        longer: 'FILE_CHANGED',
        another: 'FILE_CHANGED',
        wrong: 'FILE_CHANGED',
    });
    assert.equal(receipt.verified, 'object');
    assert.equal(receipt.size, 60 * MiB);
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
});

test('a folder that is dropped is refused, and a handle that leads nowhere lets the user choose', async () => {
    const path = makeFile('reloaded.bin', 400 * MiB);
    const page = await openPage();
    await signIn(page, 'paul');
    await slowDown(page, 2000);
    const cdp = await page.createCDPSession();
    const data = { items: [], files: [`${work}/files`, path], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop']) await cdp.send('Input.dispatchDragEvent', { type, x: 100, y: 100, data });
    await until(async () => (await reader.ask({ do: 'parts', prefix: 'upload/paul/' })) > 0, 'a part');
    assert.equal(await page.$eval('#message', (p) => p.innerText), 'Folders are not taken: choose the files in them.');
    assert.equal((await rows(page)).length, 1);
    await page.reload();
    await signIn(page, 'paul');
    await page.waitForSelector('#kept .go-on:not([hidden])');
    assert.match(await page.$eval('#kept .what', (p) => p.innerText), /It can go on\.$/);
    renameSync(path, `${path}.moved`);
    await click(page, '#kept .go-on');
    await until(() => page.$eval('#kept .what', (p) => p.innerText.endsWith('with the same file.')), 'the other way');
    renameSync(`${path}.moved`, path);
    const [dialog] = await Promise.all([page.waitForFileChooser(), page.click('#kept .go-on')]);
    await dialog.accept([path]);
    await until(async () => (await rows(page)).length === 1, 'it to go on');
    await click(page, '.cancel');
    await until(async () => (await rows(page))[0].code === 'ABORTED', 'the end');
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
});

test('what is kept comes back where somebody clears the database under way', async () => {
    const page = await openPage();
    const parthaul = await libraryOn(page, 'mia');
    await (await until(() => page.workers()[0], 'the worker')).evaluate(() => {
        const { now } = Date;
        const begin = now();
        Date.now = () => begin + 10 * (now() - begin); // notes come sooner
    });
    const result = await page.evaluate(async (parthaul) => {
        const file = new File([new Uint8Array(60 << 20)], 'cleared.bin');
        const upload = parthaul.upload(file, { presignLimit: 0, partSize: 5 << 20, maxRate: 2 << 20 });
        const warnings = [];
        upload.addEventListener('warning', ({ detail }) => warnings.push(detail.message));
        const stored = (bytes) =>
            new Promise((resolve) => upload.addEventListener('progress', () => upload.progress.stored > bytes && resolve()));
        await stored(0);
        await new Promise((resolve) => (indexedDB.deleteDatabase('parthaul').onsuccess = resolve));
        let list = [];
        while (!list.length && !upload.ended) list = await parthaul.unfinished();
        upload.abort();
        await upload.done.catch(() => {});
        return { list, id: list[0]?.id, warnings, left: await parthaul.unfinished() };
    }, parthaul);
    assert.equal(result.list.length, 1);
    assert.equal(result.list[0].running, 'here');
    assert.deepEqual(result.left, []);
    assert.deepEqual(result.warnings, []);
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
});

test('who hears that the worker crashed goes on at once', async () => {
    const page = await openPage();
    await page.evaluate((parthaul) => {
        const file = new File([new Uint8Array(20 << 20)], 'crashed.bin');
        window.upload = parthaul.upload(file, { presignLimit: 0, partSize: 5 << 20, maxRate: 2 << 20 });
        window.again = new Promise((resolve, reject) => {
            upload.addEventListener('error', () => {
                parthaul.resume(upload.kept, file).then(({ done }) => done).then(resolve, reject);
            });
        });
    }, await libraryOn(page, 'noa'));
    await until(() => page.evaluate(() => window.upload.progress.stored > 0), 'a part');
    await page.workers()[0].evaluate(() => void setTimeout(() => { throw new Error('a bug'); }));
    const receipt = await page.evaluate(() => window.again);
    assert.equal(receipt.verified, 'object');
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
});

test('what could not be discarded stays in the list, to be discarded again', async () => {
    const page = await openPage();
    const first = await libraryOn(page, 'lea');
    await page.evaluate((parthaul) => {
        const file = new File([new Uint8Array(60 << 20)], 'stays.bin');
        window.upload = parthaul.upload(file, { presignLimit: 0, partSize: 5 << 20, maxRate: 5 << 20 });
    }, first);
    await until(() => page.evaluate(() => window.upload.progress.stored > 0), 'a part');
    const discard = () =>
        page.evaluate(async (parthaul) => {
            const [kept] = await parthaul.unfinished();
            const code = await parthaul.discard(kept.id).then(() => 'done', (error) => error.code);
            return { code, left: (await parthaul.unfinished()).length };
        }, parthaul);
    // Nothing is wrong with what is kept where the engine refuses the options.
    await page.reload();
    let parthaul = await libraryOn(page, 'lea', { concurrency: 40 });
    assert.deepEqual(await discard(), { code: 'NOT_DISCARDED', left: 1 });
    await page.reload();
    parthaul = await libraryOn(page, 'lea');
    demo.stopS3();
    const refused = await discard();
    demo.startS3();
    assert.notEqual(refused.code, 'done');
    assert.equal(refused.left, 1, refused.code);
    // One that nobody can read is only forgotten.
    await page.evaluate(async () => {
        const open = indexedDB.open('parthaul');
        await new Promise((resolve) => (open.onsuccess = resolve));
        const uploads = open.result.transaction('uploads', 'readwrite').objectStore('uploads');
        const all = uploads.getAll();
        await new Promise((resolve) => (all.onsuccess = resolve));
        uploads.put({ ...all.result[0], id: 'spoilt', snapshot: undefined });
        await new Promise((resolve) => (uploads.transaction.oncomplete = resolve));
        open.result.close();
    });
    assert.deepEqual(await discard(), { code: 'done', left: 1 });
    assert.deepEqual(await discard(), { code: 'done', left: 0 });
    assert.deepEqual(await uploadsLeft(), []);
    await page.close();
});

test('who resumes many at once reads the list once', async () => {
    const page = await openPage();
    const parthaul = await libraryOn(page, 'many');
    const { lists, codes } = await page.evaluate(async (parthaul) => {
        let lists = 0;
        const { postMessage } = Worker.prototype;
        Worker.prototype.postMessage = function (message, ...more) {
            if (message.kind === 'list') lists++;
            postMessage.call(this, message, ...more);
        };
        const ids = Array.from({ length: 100 }, (_, i) => String(i));
        const codes = await Promise.all(ids.map((id) => parthaul.resume(id).catch(({ code }) => code)));
        return { lists, codes };
    }, parthaul);
    assert.equal(lists, 1);
    assert.deepEqual([...new Set(codes)], ['NOT_KEPT']);
    await page.close();
});

/** Let a page's worker begin only after it was changed so. */
async function changeWorker(page, change) {
    await page.evaluate(() => {
        const { postMessage } = Worker.prototype;
        const changed = new Promise((resolve) => (window.changed = resolve));
        Worker.prototype.postMessage = function (...message) {
            changed.then(() => postMessage.apply(this, message));
        };
    });
    page.once('workercreated', async (worker) => {
        await worker.evaluate(`(${change})()`);
        await page.evaluate(() => window.changed());
    });
}

test('a browser that keeps nothing uploads all the same, and says so once', async () => {
    for (const [name, broken] of Object.entries({
        'no database': () => (indexedDB.open = () => { throw new DOMException('not here', 'SecurityError'); }),
        'a newer database': () => {
            const open = indexedDB.open.bind(indexedDB);
            indexedDB.open = () => (open('newer', 3), open('newer', 2));
        },
        'a full disk': () =>
            (IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); }),
        'no answer to anything': () => {
            let later;
            indexedDB.open = () => {
                later ??= setTimeout;
                self.setTimeout = (act, ms) => later(act, ms / 20);
                return {};
            };
            navigator.locks.request = () => new Promise(() => {});
        },
    })) {
        const page = await openPage();
        await changeWorker(page, broken);
        const result = await page.evaluate(async (parthaul) => {
            const upload = parthaul.upload(new Blob([new Uint8Array(40 << 20)]), { name: 'x.bin', presignLimit: 0 });
            const warnings = [];
            upload.addEventListener('warning', (event) => warnings.push(event.detail.message));
            const receipt = await upload.done;
            const why = ({ code, resumable }) => ({ code, resumable });
            const discarded = await parthaul.discard('an id').catch(why);
            const resumed = await parthaul.resume('an id', new Blob(['a'])).catch(why);
            return { receipt, warnings, kept: upload.kept, list: await parthaul.unfinished(), discarded, resumed };
        }, await libraryOn(page, 'ivan'));
        assert.equal(result.receipt.verified, 'object', name);
        assert.equal(result.warnings.length, 1, `${name}: ${result.warnings}`);
        assert.match(result.warnings[0], /cannot be kept here: /);
        assert.equal(result.kept, undefined);
        assert.deepEqual(result.list, []);
        // Only where it can be read is it known that nothing is kept.
        const readable = name === 'a full disk';
        assert.deepEqual(result.resumed, { code: 'NOT_KEPT', resumable: !readable }, name);
        assert.equal(result.discarded?.resumable, readable ? undefined : true, name);
        await page.close();
    }
    assert.deepEqual(await uploadsLeft(), []);
});

test('where no lock is given, nothing is kept that other tabs could take', async () => {
    const page = await openPage();
    await changeWorker(page, () => (navigator.locks.request = () => new Promise(() => {})));
    await page.evaluate((parthaul) => {
        window.warnings = [];
        const options = { name: 'x.bin', presignLimit: 0, partSize: 5 << 20, maxRate: 5 << 20 }; // slow enough to be looked at
        window.upload = parthaul.upload(new Blob([new Uint8Array(20 << 20)]), options);
        upload.addEventListener('warning', ({ detail }) => window.warnings.push(detail.message));
    }, await libraryOn(page, 'olga'));
    await until(() => page.evaluate(() => window.upload.progress.stored > 0), 'a part');
    assert.deepEqual(await listedFor('olga'), []);
    const { receipt, kept, warnings } = await page.evaluate(async () => {
        const receipt = await window.upload.done;
        return { receipt, kept: window.upload.kept, warnings: window.warnings };
    });
    assert.equal(receipt.verified, 'object');
    assert.equal(kept, undefined);
    assert.equal(warnings.length, 1, warnings.join());
    assert.match(warnings[0], /cannot be kept here: /);
    await page.close();
});

test('what is first kept too late does not stay', async () => {
    const page = await openPage();
    await changeWorker(page, () => {
        const { put } = IDBObjectStore.prototype;
        IDBObjectStore.prototype.put = function (value) {
            IDBObjectStore.prototype.put = put;
            const { transaction } = this;
            transaction.addEventListener('complete', () => (self.written = true));
            const { setTimeout } = self;
            self.setTimeout = (act) => { // next, how long it may take
                self.setTimeout = setTimeout;
                return setTimeout(act, 100);
            };
            const begun = performance.now();
            const goOn = () => {
                if (performance.now() < begun + 1500) this.get('nothing').onsuccess = goOn;
            };
            goOn();
            return put.call(this, value);
        };
    });
    await page.evaluate(async (parthaul) => {
        const { done } = parthaul.upload(new Blob([new Uint8Array(20 << 20)]), { name: 'x.bin', presignLimit: 0 });
        await done;
    }, await libraryOn(page, 'nina'));
    const [worker] = page.workers();
    await until(() => worker.evaluate(() => self.written), 'it to be written');
    const stored = () =>
        page.evaluate(async () => {
            const open = indexedDB.open('parthaul');
            await new Promise((resolve) => (open.onsuccess = resolve));
            const count = open.result.transaction('uploads').objectStore('uploads').count();
            await new Promise((resolve) => (count.onsuccess = resolve));
            open.result.close();
            return count.result;
        });
    await until(async () => (await stored()) === 0, 'it to be removed', 10_000);
    await page.close();
});

await runTests();
await chromium.close();
reader.stop();
await demo.stop();
if (!process.exitCode) rmSync(work, { recursive: true, force: true });
