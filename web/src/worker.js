// SPDX-License-Identifier: MIT
/**
 * worker.js - the engine's host: lends it a network, a clock and the user's files.
 *
 * A dedicated worker, so that hashing never blocks the page and a hidden tab does not slow the
 * timers. Holds all uploads of a page in one loop, turn(): every upload takes its actions until it
 * has to wait; what was started reports back and calls for another turn. Uploads share a number of
 * connections and take turns in using them. Credentials are in this worker's memory only.
 */

import { EngineError, hasSimd, loadEngine, VERSION } from './engine.js';
import { Store } from './store.js';
import { CHROMIUM, textOf, viaFetch, viaXhr, WEBKIT } from './transport.js';

/** @import {ActionOf, Ask, Config, EngineEvent, Failure, FromWorker, Kept, Notice, OpenMessage,
 *  Question, ToWorker, Update} from './types.d.ts' */

/** @typedef {object} Job one upload
 * @property {number} id
 * @property {number} handle the engine's; 0 while what was kept is still read
 * @property {EngineEvent[]} early what was to be told before there was a handle
 * @property {Blob} file
 * @property {OpenMessage} request
 * @property {Kept} [kept] what the browser keeps of it
 * @property {boolean} storing the engine waits until that is done
 * @property {number} storedMs when it was last written
 * @property {Map<number, AbortController>} active requests and hashes under way, by the engine's id
 * @property {string} [uploadType] that the API chose for this file
 * @property {number} strangers how often another than the API answered its first question
 * @property {string} [origin] of whom it asked last
 * @property {number} untilMs of the engine's WAIT
 * @property {boolean} due it has more to say, or was told something since that
 * @property {boolean} held it was told that no connection is free
 * @property {boolean} paused
 * @property {boolean} rests nothing of it gets through
 * @property {boolean} read whether a byte of the file was ever read
 * @property {ArrayBuffer} [whole] a small file's bytes, from their digest to their request
 * @property {Map<number, number>} parts those that changed, by index
 * @property {Notice[]} notices
 * @property {boolean} dirty
 * @property {string} [warning] the last one
 */

/** Bytes of a file to read at a time: a read costs more than a millisecond, whatever its size. */
const READ = 4 << 20;
/** The same of a byte stream, through memory of ours. */
const READ_STREAM = 1 << 20;
/** Files up to this size are read once: the bytes that were digested are sent. */
const SMALL = 1 << 20;
/** Where digests go side by side, each with the next piece under way. */
const READ_OF_MANY = 2 << 20;
/** Room for hashes at a time. One by one, two: while one reads, the other digests. */
const ROOM = 8;
const ROOM_ALONE = 4;
const UPDATE_MS = 100;
/** A heartbeat that comes so late says that the machine slept, or that the browser froze the page. */
const BEAT_MS = 1000;
const FROZEN_MS = 10_000;
/** How often to note, for the list of unfinished uploads, how far one is. */
const NOTE_MS = 5000;
/** How often to see whether a file that is being sent is there yet. */
const GLANCE_MS = 1000;
/** How long that may take: a drive in a network may never answer. */
const GLANCE_LIMIT_MS = 5000;
/** A request without a file takes no connection of ours. Behind as many as there are, it may wait in the browser,
 * which lets few go to a host. */
const QUEUE_LIMIT_MS = 600_000;
const API_LIMIT_MS = 30_000;
/** The same for the page's getToken() or getCredentials(), which may have to ask elsewhere. */
const PAGE_LIMIT_MS = 60_000;
/** The same for the server of this page, which is asked what time it is. */
const CLOCK_LIMIT_MS = 5000;
/** No answer of a credentials API has more bytes. The engine would take a longer one for one that is wrong for good. */
const LONGEST_GRANT = 64 << 10;
/** How often a page that is not of an API that has answered may come to the first question of an upload: a firewall
 * may not like its name, and will not. */
const STRANGERS = 8;
/** Their words are the page's, or the API's, and go to who called only: what a JSON parser says quotes the secrets in a
 * document that it does not like. */
const DENIED = ['SIGN_IN', 'FORBIDDEN', 'NO_CREDENTIALS'];
/** No longer sentence goes to the engine. */
const LONGEST_WORD = 1000;
/** After a sleep: what came meanwhile is told before. */
const SETTLE_MS = 1000;
/** After a pause or an abort, which may be one of all: who is next in the queue may be the next to hear of it. */
const CALM_MS = 50;
/** How long all that run may rest before one more begins: each may have a reason of its own. So many more at most. */
const REST_MS = 60_000;
const MORE_AT_REST = 100;
/** How long to believe a browser that it is offline, and how long between looks. With VPNs and in virtual
 * machines some are wrong. */
const OFFLINE_MS = 10_000;
const LOOK_MS = 60_000;
/** How often to load the engine before it fails, and the pause between. */
const LOADS = 3;
const LOAD_PAUSE_MS = 500;
/** The smallest module: one that a policy forbids, it forbids at once. */
const NO_CODE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
const BLOCKED = 'BLOCKED_BY_CSP';
const POLICY = "the worker's Content-Security-Policy forbids it: add";
/** What a server did not know it may have learned since. */
const LEARNED_MS = 7 * 86_400_000;

/** @type {import('./engine.js').Engine} */
let engine;
/** @type {Config} */
let config;

/** Uploads that wait for their turn to begin: what to open. A Map keeps their order.
 * @type {Map<number, OpenMessage>} */
const waiting = new Map();
/** Uploads that the engine has, the one that sent last at the end. @type {Map<number, Job>} */
const running = new Map();
/** To S3, under way. @type {Set<AbortController>} */
const requests = new Set();

/** @param {FromWorker} message */
const post = (message) => self.postMessage(message);

// ---- The clock --------------------------------------------------------------------------------

let latest = 0;
let correction = 0;

/** The time in ms since 1970, which goes on from where it was when somebody sets the clock back. */
function now() {
    const time = Date.now() + correction;
    if (time < latest) correction += latest - time;
    return (latest = Math.max(time, latest));
}

// ---- The loop ---------------------------------------------------------------------------------

let turnIsDue = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let alarm;

/** Ask for a turn soon; many events in a row are worth one. */
function wake() {
    if (turnIsDue) return;
    turnIsDue = true;
    queueMicrotask(turn);
}

/** Let every upload go on as far as it can. */
function turn() {
    turnIsDue = false;
    begin();
    // One new part each, then the next round: nobody takes all the connections.
    let sent;
    do {
        sent = false;
        const time = now();
        for (const job of [...running.values()]) {
            // Of thousands, as after a pause of all, only those are asked that may have something to do.
            const due = job.due || job.untilMs <= time || (job.held && requests.size < config.connections);
            if (!due || !advance(job)) continue;
            sent = true;
            running.delete(job.id);
            running.set(job.id, job);
        }
    } while (sent);
    clearTimeout(alarm);
    const until = Math.min(...[...running.values()].map((job) => job.untilMs));
    // A timer takes at most 2^31 ms; a turn too many does no harm.
    if (until < Infinity) alarm = setTimeout(wake, Math.min(until - now(), 1e9));
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let calm;

/** Begin no other upload for a moment. */
function calmDown() {
    clearTimeout(calm);
    calm = setTimeout(() => {
        calm = undefined;
        wake();
    }, CALM_MS);
}

/** When one more may begin, while all rest. */
let nextMs = Infinity;

/**
 * Open uploads while there is room. Twice as many as connections: some ask for credentials while
 * others send. Paused ones hold nothing up, and those that rest not for ever.
 */
function begin() {
    if (calm !== undefined) return;
    let room = 2 * config.connections;
    let moving = 0;
    for (const job of running.values()) {
        if (job.paused) continue;
        room--;
        if (!job.rests) moving++;
    }
    if (room > 0 || moving) nextMs = Infinity;
    else if (nextMs === Infinity) nextMs = now() + REST_MS;
    else if (nextMs <= now() && room > -MORE_AT_REST) room = 1; // the looks of those that rest bring the turns
    for (const request of waiting.values()) {
        if (room <= 0) return;
        if (request.paused) continue;
        open(request);
        room--;
    }
}

/**
 * Pause or resume an upload that has not begun: the engine need not know of it.
 * @param {OpenMessage} request @param {boolean} paused
 */
function hold(request, paused) {
    request.paused = paused;
    const { id, file } = request;
    const progress = { state: 'new', paused, size: file.size, sent: 0, stored: 0, partCount: 0, partsStored: 0, inFlight: 0 };
    post({ kind: 'updates', updates: [{ id, progress, parts: [], notices: [] }] });
}

/** @param {OpenMessage} request */
function open(request) {
    const { id, file } = request;
    waiting.delete(id);
    /** @type {Job} */
    const job = {
        id,
        handle: 0,
        early: online ? [] : [{ kind: 'offline' }],
        file,
        request,
        storing: false,
        storedMs: 0,
        strangers: 0,
        active: new Map(),
        untilMs: 0,
        due: true,
        held: false,
        paused: false,
        rests: false,
        read: false,
        parts: new Map(),
        notices: [],
        dirty: true,
    };
    running.set(id, job);
    if (request.kept) reopen(job, request.kept);
    else give(job, { keep: request.keep !== undefined });
}

/**
 * Give an upload to the engine.
 * @param {Job} job @param {Record<string, unknown>} more options
 */
function give(job, more) {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0];
    const size = job.request.discard ? job.kept?.size : job.file.size;
    try {
        const place = serverOf(job);
        const known = place === undefined ? undefined : servers.get(place);
        if (known && !isFresh(known)) servers.delete(known.place);
        const serverLacks = known && isFresh(known) ? known.lacks : undefined;
        job.handle = engine.open({ ...job.request.options, serverLacks, ...more, size, seed }, now());
        for (const event of job.early.splice(0)) report(job, event);
    } catch (error) {
        const failure = failureOf(error, job);
        // What is damaged, nobody can abort: it is only forgotten. What was refused for another reason may be next time.
        const spoilt = job.request.discard && failure.code === 'SNAPSHOT_DAMAGED';
        const last = spoilt ? { ...failure, code: 'ABORTED' } : unsure(job, failure);
        Promise.resolve(spoilt && forget(job)).then(() => end(job, { kind: 'failed', id: job.id, failure: last }));
    }
}

/**
 * Take an upload's actions until it has to wait.
 * @param {Job} job
 * @returns {boolean} whether it sent a part, and may have more to send
 */
function advance(job) {
    if (!running.has(job.id) || !job.handle) return false;
    job.due = true; // until the engine waits
    try {
        while (!job.storing) {
            const free = requests.size < config.connections;
            const action = engine.step(job.handle, now(), free);
            switch (action.kind) {
                case 'request':
                    job.origin = originOf(action.request.url);
                    send(job, action);
                    if (action.request.file) return true;
                    break;
                case 'cancel':
                    job.active.get(action.id)?.abort('CANCEL');
                    job.active.delete(action.id);
                    break;
                case 'hash':
                    readers.push({
                        room: hasLanes(action.hash.algorithms) ? 1 : ROOM_ALONE,
                        run: () => hash(job, action),
                    });
                    job.active.set(action.id, new AbortController());
                    read();
                    break;
                case 'credentials':
                    grant(job, action);
                    break;
                case 'notice':
                    notice(job, action.notice);
                    break;
                case 'save':
                    keep(job, action.snapshot);
                    break;
                case 'forget':
                    forget(job);
                    break;
                case 'wait':
                    job.untilMs = action.untilMs ?? Infinity;
                    job.due = false;
                    job.held = !free;
                    return false;
                case 'done':
                    end(job, { kind: 'done', id: job.id, receipt: action.receipt });
                    return false;
                case 'failed':
                    end(job, { kind: 'failed', id: job.id, failure: unsure(job, action.failure) });
                    return false;
            }
        }
        job.untilMs = Infinity; // whoever stores wakes it
        return false;
    } catch (error) {
        end(job, { kind: 'failed', id: job.id, failure: failureOf(error, job) });
        return false;
    }
}

/**
 * Tell the engine what happened, unless it has ended meanwhile.
 * @param {Job} job @param {EngineEvent} event
 */
function report(job, event) {
    if (!running.has(job.id)) return;
    if (!job.handle) return void job.early.push(event);
    try {
        engine.report(job.handle, now(), event);
        job.due = job.dirty = true;
        showLater();
    } catch (error) {
        end(job, { kind: 'failed', id: job.id, failure: failureOf(error, job) });
    }
    wake();
}

/** @param {Job} job @param {FromWorker} last what the page is told */
function end(job, last) {
    job.dirty = true;
    show();
    running.delete(job.id);
    for (const controller of job.active.values()) controller.abort('CANCEL');
    if (job.handle) engine.close(job.handle);
    // What went on may have it from long ago, and has tried nothing itself.
    const learned = last.kind === 'done' && !job.request.kept && learn(job, last.receipt.serverLacks ?? []);
    // Whoever hears of the end may end this worker.
    Promise.all([learned, letGo(job, last)]).then(() => post(last));
    nextMs = 0; // it does not rest: the next need not wait
    wake(); // there is room for another
}

/**
 * What was to be discarded, and S3 may have parts of it.
 * @param {Job} job @param {Failure} failure @returns {Failure}
 */
const unsure = (job, failure) =>
    job.request.discard && failure.resumable
        ? { ...failure, code: 'NOT_DISCARDED', message: job.warning ?? failure.message }
        : failure;

/**
 * What an exception of the engine means; any other is our bug.
 * @param {unknown} error @param {Job} job @returns {Failure}
 */
function failureOf(error, job) {
    if (!(error instanceof EngineError)) throw error;
    return { code: error.code, message: error.message, resumable: !!job.kept };
}

// ---- What is kept -------------------------------------------------------------------------------

const store = new Store(() => post({ kind: 'changed' }));

/**
 * Keep a snapshot before the engine goes on. Where the browser cannot, the upload goes on all the same.
 * @param {Job} job @param {string} snapshot
 */
async function keep(job, snapshot) {
    const { file, request } = job;
    const first = !job.kept;
    /** @type {Kept} */
    const kept = job.kept ?? {
        id: crypto.randomUUID?.() ?? String(crypto.getRandomValues(new BigUint64Array(1))[0]),
        owner: '',
        name: '',
        lastModified: /** @type {File} */ (file).lastModified ?? 0,
        ...request.keep,
        api: config.api ?? '',
        size: file.size,
        stored: 0,
        begunMs: Date.now(),
        savedMs: 0,
        snapshot: '',
    };
    job.storing = true;
    try {
        // Others would take it for one that stopped, and go on with it or discard it.
        if (first && !(await store.own(kept.id))) throw new Error('a lock takes too long');
        await save(job, Object.assign(kept, { snapshot, failure: undefined }), first);
        if (first && !running.has(job.id)) {
            // It ended meanwhile, and nothing had begun.
            await store.remove(kept.id);
            store.release(kept.id);
        } else if (first) {
            job.kept = kept;
            post({ kind: 'kept', id: job.id, kept: kept.id });
            store.tell();
        }
    } catch (error) {
        if (first) store.release(kept.id);
        report(job, { kind: 'notSaved', message: /** @type {Error} */ (error).message });
    }
    job.storing = false;
    wake();
}

/** @param {Job} job @param {Kept} kept @param {boolean} [first] */
function save(job, kept, first) {
    kept.savedMs = job.storedMs = Date.now();
    if (job.handle && running.has(job.id)) kept.stored = engine.progress(job.handle).stored;
    return store.save(kept, first);
}

/** The engine has no use for it any more. @param {Job} job */
async function forget(job) {
    if (!job.kept) return;
    job.storing = true;
    const { id } = job.kept;
    try {
        await store.remove(id);
    } catch {
        // It stays in the list. Whoever resumes it finds out what became of it.
    }
    store.release(id);
    job.kept = undefined;
    post({ kind: 'kept', id: job.id });
    job.storing = false;
    wake();
}

/** Before the page hears of the end: others may go on with it. @param {Job} job @param {FromWorker} last */
async function letGo(job, last) {
    if (!job.kept) return;
    if (last.kind === 'failed' && !job.request.discard) {
        const { failure } = last;
        job.kept.failure = DENIED.includes(failure.code) ? { ...failure, message: textOfCode(failure.code) } : failure;
        await store.save(job.kept).catch(() => {});
    }
    store.release(job.kept.id);
}

/**
 * Go on with an upload that was kept, or give it up.
 * @param {Job} job @param {string} id
 */
async function reopen(job, id) {
    /** @param {string} code @param {string} message @param {boolean} resumable */
    const refuse = (code, message, resumable) =>
        end(job, { kind: 'failed', id: job.id, failure: { code, message, resumable } });
    if (!(await store.own(id))) return refuse('IN_USE', 'it is running in another tab', true);
    try {
        job.kept = await store.get(id);
    } catch (error) {
        store.release(id);
        return refuse('NOT_KEPT', `what was kept cannot be read: ${/** @type {Error} */ (error).message}`, true);
    }
    if (!job.kept) {
        store.release(id);
        return refuse('NOT_KEPT', 'nothing is kept of this upload any more', false);
    }
    post({ kind: 'kept', id: job.id, kept: id });
    store.tell();
    job.uploadType = 'multipart'; // its key is chosen
    if (job.request.discard) job.early.push({ kind: 'abort' });
    give(job, { keep: true, snapshot: String(job.kept.snapshot) }); // what is none, the engine refuses
    wake();
}

/** @param {number} ask */
async function list(ask) {
    try {
        const [all, elsewhere] = await Promise.all([store.list(), store.elsewhere()]);
        const here = new Set([...running.values()].map((job) => job.kept?.id ?? job.request.kept));
        for (const request of waiting.values()) here.add(request.kept);
        const list = all.map(({ snapshot, ...kept }) => ({
            ...kept,
            running: here.has(kept.id) ? 'here' : elsewhere.has(kept.id) ? 'elsewhere' : undefined,
        }));
        post({ kind: 'listed', ask, list: /** @type {any} */ (list) });
    } catch {
        post({ kind: 'listed', ask });
    }
}

// ---- Requests -----------------------------------------------------------------------------------

const encoder = new TextEncoder();

/**
 * Which hosts there can be, browsers do not agree on: the engine lets some pass that one refuses.
 * @param {string} url
 */
function originOf(url) {
    try {
        return new URL(url).origin;
    } catch {
        throw new EngineError('BAD_ENDPOINT', textOfCode('BAD_ENDPOINT'));
    }
}

/** @param {string} code */
const textOfCode = (code) => engine.tables.errors.find(({ name }) => name === code)?.text ?? '';

/** @param {Job} job @param {ActionOf<"request">} action */
async function send(job, { id, request }) {
    const controller = new AbortController();
    job.active.set(id, controller);
    const older = [...requests];
    const waits = () => older.filter((one) => requests.has(one) && !one.signal.aborted).length >= config.connections;
    const { limitMs } = request;
    let endMs = Infinity; // of its own time, which begins when it waits no more
    const keepTime = () => {
        if (endMs === Infinity && !waits()) endMs = now() + limitMs;
        if (now() > endMs) controller.abort('TIMEOUT');
    };
    const timer = !request.file && waits() ? setInterval(keepTime, GLANCE_MS) : undefined;
    if (timer) request.limitMs = Math.max(limitMs, QUEUE_LIMIT_MS);
    requests.add(controller);
    place = request.url.split('?')[0];
    const origin = /** @type {string} */ (job.origin);
    // No type, and text as bytes: the browser must not add a content-type that nobody signed.
    const body = request.file
        ? takeWhole(job) ?? job.file.slice(request.file.offset, request.file.offset + request.file.length, '')
        : request.text === undefined
          ? undefined
          : encoder.encode(request.text);
    const transport = config.transport === 'xhr' ? viaXhr : viaFetch;
    // Of a file that changed Chromium's requests fail; in Firefox and WebKit they never end.
    const glance = async () => {
        if (await unreadable(job, /** @type {Blob} */ (body))) controller.abort('TIMEOUT');
    };
    const glances = !CHROMIUM && body instanceof Blob ? setInterval(glance, GLANCE_MS) : undefined;
    /** @type {EngineEvent} */
    let event;
    try {
        const answer = await transport(request, body, controller, (bytes) =>
            report(job, { kind: 'sent', id, bytes }),
        );
        heard.add(origin);
        event = { kind: 'response', id, ...answer };
    } catch {
        event = { kind: 'failed', id, code: controller.signal.aborted ? 'TIMEOUT' : 'NETWORK' };
        if (event.code === 'NETWORK') suspect(job, place);
        // A browser says no more than that it failed. A file that changed on disk looks the same.
        if (body instanceof Blob && controller.signal.reason !== 'CANCEL') {
            const code = await unreadable(job, body);
            if (code) event = { kind: 'unreadable', id, code };
        }
    }
    clearInterval(glances);
    clearInterval(timer);
    requests.delete(controller);
    job.active.delete(id);
    if (controller.signal.reason !== 'CANCEL') report(job, event);
    wake(); // the connection is free, even if the upload ended meanwhile
}

/**
 * Say why a slice cannot be read, if so and if that is known soon.
 * @param {Job} job @param {Blob} slice
 */
async function unreadable(job, slice) {
    const late = AbortSignal.timeout(GLANCE_LIMIT_MS);
    try {
        const byte = await unless(late, slice.slice(-1).arrayBuffer());
        return !byte || byte.byteLength === Math.min(slice.size, 1) ? undefined : 'FILE_CHANGED';
    } catch {
        return whyUnreadable(job);
    }
}

/**
 * What a promise gives, or undefined as soon as the signal is given: reading a file may never end.
 * @template T
 * @param {AbortSignal} signal @param {Promise<T>} promise
 * @returns {Promise<T | undefined>}
 */
function unless(signal, promise) {
    return new Promise((resolve, reject) => {
        const stop = () => resolve(undefined);
        signal.addEventListener('abort', stop);
        promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    });
}

/**
 * A file that may not be read, one that is gone and one that was changed after it was chosen: the
 * browsers' errors for them are not told apart. Once a byte came, it is no longer the file it was.
 * @param {Job} job
 */
const whyUnreadable = (job) => (job.read ? 'FILE_CHANGED' : 'FILE_UNREADABLE');

// ---- Hashes -------------------------------------------------------------------------------------

/**
 * Whoever sends a buffer here gives its memory back at once. Left to the collector, 200 MiB pile up
 * before it comes; and after buffer.transfer(0) Chromium's never comes, since it counts no bytes.
 */
const { port1: nowhere, port2 } = new MessageChannel();
port2.close();

/** Hashes to do, in order, and how much of the room for reads each takes.
 * @type {{room: number, run: () => Promise<void>}[]} */
const readers = [];
let room = ROOM;

function read() {
    for (let next = readers[0]; next && next.room <= room; next = readers[0]) {
        readers.shift();
        const taken = next.room;
        room -= taken;
        next.run().finally(() => {
            room += taken;
            read();
        });
    }
}

/** Pieces that were read, and wait for those of the other digests that cost little more together.
 * @type {{hash: number, bytes: Uint8Array, done: () => void}[]} */
let pieces = [];
let together = 0; // such digests that are open

function digestPieces() {
    if (!pieces.length || pieces.length < together) return;
    const all = pieces;
    pieces = [];
    engine.hashFeedAll(all);
    for (const { done } of all) done();
}

/** Algorithms whose kernels are warm. @type {Set<number>} */
const warm = new Set();

/** @param {number[]} algorithms @returns {boolean} whether several digests go side by side */
function hasLanes(algorithms) {
    return engine.tables.algorithms.some(({ number, lanes }) => lanes && algorithms.includes(number));
}

/** @param {Job} job @param {ActionOf<"hash">} action */
async function hash(job, { id, hash: { offset, length, algorithms } }) {
    const signal = job.active.get(id)?.signal;
    if (!signal || signal.aborted) return; // it was cancelled before it began
    for (const algorithm of algorithms.filter((one) => one && !warm.has(one))) {
        warm.add(algorithm);
        engine.warmUp(algorithm);
    }
    const handle = engine.hashOpen(...algorithms);
    const lanes = hasLanes(algorithms);
    const last = offset + length;
    /** @param {number} at */
    const readOne = async (at) => {
        const end = Math.min(at + (lanes ? READ_OF_MANY : READ), last);
        // A file that was deleted says that it is empty; only reading it all says that it is gone.
        const buffer = await (job.file.size ? job.file.slice(at, end) : job.file).arrayBuffer();
        // Some browsers give fewer bytes of a file that shrank, and no error.
        return { buffer, end, short: buffer.byteLength !== end - at };
    };
    /** @param {number} at */
    const readAt = (at) => {
        const piece = readOne(at);
        piece.catch(() => {}); // whoever is cancelled meanwhile does not await it
        return piece;
    };
    /** @type {string | undefined} */
    let broken;
    /** @type {ReturnType<typeof readAt> | undefined} */
    let next;
    if (STREAMS && !lanes && length > SMALL) {
        try {
            const got = await digestStream(job, handle, offset, length, signal);
            if (got !== length && !signal.aborted) broken = 'FILE_CHANGED';
        } catch (error) {
            if (error instanceof EngineError) throw error;
            broken = whyUnreadable(job);
        }
    } else {
        next = readAt(offset);
    }
    if (lanes) together++;
    while (next && !broken && !signal.aborted) {
        try {
            const piece = await unless(signal, next);
            if (!piece) break;
            const { buffer, end, short } = piece;
            const bytes = new Uint8Array(buffer);
            job.read = true;
            next = undefined;
            if (short) {
                broken = 'FILE_CHANGED';
            } else if (lanes) {
                if (end < last) next = readAt(end); // it is read while the others' pieces come
                await new Promise((/** @type {(nothing?: any) => void} */ done) => {
                    pieces.push({ hash: handle, bytes, done });
                    digestPieces();
                });
            } else {
                engine.hashFeed(handle, bytes);
                if (end < last) next = readAt(end);
            }
            if (job.file.size <= SMALL && !job.paused) job.whole = buffer;
            else nowhere.postMessage(buffer, [buffer]);
        } catch (error) {
            if (error instanceof EngineError) throw error;
            broken = whyUnreadable(job);
        }
    }
    if (lanes) {
        together--;
        digestPieces();
    }
    const digests = engine.hashClose(handle);
    job.active.delete(id);
    if (signal.aborted) return;
    report(
        job,
        broken ? { kind: 'unreadable', id, code: broken } : { kind: 'hashed', id, digests },
    );
}

/** Whether a file's stream reads into memory that it is given: WebKit's does not. */
const STREAMS = (() => {
    try {
        return !!new Blob(['a byte']).stream().getReader({ mode: 'byob' });
    } catch {
        return false;
    }
})();
/** Chromium collects a reader that nothing but its pending read refers to; that read never ends. */
const streams = new Set();
/** Memory to read into. @type {ArrayBuffer[]} */
const memories = [];

/**
 * Feed a part of a file to a digest, with half the CPU of reading slices (tests/bench/pipeline.mjs).
 * @param {Job} job @param {number} handle @param {number} offset @param {number} length
 * @param {AbortSignal} signal
 * @returns {Promise<number>} how many bytes came
 */
async function digestStream(job, handle, offset, length, signal) {
    const reader = job.file.slice(offset, offset + length).stream().getReader({ mode: 'byob' });
    streams.add(reader);
    let memory = memories.pop() ?? new ArrayBuffer(READ_STREAM);
    let got = 0;
    try {
        while (!signal.aborted) {
            const { done, value } = (await unless(signal, reader.read(new Uint8Array(memory)))) ?? {};
            if (value) memory = value.buffer;
            if (done || !value) break;
            job.read = true;
            engine.hashFeed(handle, value);
            got += value.length;
        }
        if (memory.byteLength) memories.push(memory); // else a read that has not ended has it
        if (signal.aborted) reader.cancel().catch(() => {});
    } finally {
        streams.delete(reader);
    }
    return got;
}

/** A small file's bytes, once: whoever sends it again reads it again. @param {Job} job */
function takeWhole(job) {
    const { whole } = job;
    job.whole = undefined;
    return whole;
}

// ---- Credentials --------------------------------------------------------------------------------

/** Questions to the page that it has not answered. @type {Map<number, (answer: any) => void>} */
const asked = new Map();
let questions = 0;
let lent = false; // the API has given something: its address is right

/** A grant that was refused, as the engine has it. */
class Denied extends Error {
    /** @param {string | undefined} code @param {string | undefined} message */
    constructor(code, message) {
        super((message || 'no reason given').slice(0, LONGEST_WORD).replaceAll('\0', ''));
        this.code = code === 'SIGN_IN' || code === 'FORBIDDEN' ? code : 'NO_CREDENTIALS';
    }
}

/** @param {Job} job @param {ActionOf<"credentials">} action */
async function grant(job, { id, ask }) {
    try {
        const document = config.api
            ? await askApi(job, ask, await askPage(job, { what: 'token', about: ask }))
            : await withTime(await askPage(job, { what: 'credentials', about: ask }), ask);
        if (encoder.encode(document).length > LONGEST_GRANT) throw new Denied('', 'the answer is too long for credentials');
        report(job, { kind: 'granted', id, document });
    } catch (error) {
        const { code, message } = error instanceof Denied ? error : new Denied('', String(error));
        report(job, { kind: 'denied', id, code, message });
    }
}

/**
 * Call the page's getToken() or getCredentials(), or let it try what its policy says of a URL.
 * @param {Job} job @param {Question} question
 * @returns {Promise<string>}
 */
async function askPage(job, question) {
    const ask = ++questions;
    const answer = await new Promise((resolve) => {
        const message = `${question.what === 'token' ? 'getToken' : 'getCredentials'}() has not answered for a minute`;
        const timer = setTimeout(() => resolve({ message }), PAGE_LIMIT_MS);
        asked.set(ask, (/** @type {any} */ answer) => {
            clearTimeout(timer);
            resolve(answer);
        });
        post({ kind: 'ask', ask, id: job.id, ...question });
    });
    asked.delete(ask);
    if (answer.value === undefined) throw new Denied(answer.code, answer.message);
    return answer.value;
}

/**
 * Credentials are asked for again where requests fail and nobody knows why. That may be the clock: some
 * servers refuse what is signed at a wrong time in a way that no page may read. Where the document does
 * not say what time it is, the server of this page does.
 * @param {string} document @param {Ask} ask
 */
async function withTime(document, { why }) {
    if (why !== 'expiring' || document.includes('"serverTime"')) return document;
    try {
        const signal = AbortSignal.timeout(CLOCK_LIMIT_MS);
        const { headers } = await fetch(config.wasmUrl, { method: 'HEAD', cache: 'no-store', signal });
        // What comes out of a cache on the way says how long it was there.
        const time = Date.parse(headers.get('date') ?? '') + 1000 * Number(headers.get('age') ?? 0);
        const serverTime = new Date(time).toISOString().replace(/\.\d+/, '');
        return JSON.stringify({ ...JSON.parse(document), serverTime });
    } catch {
        return document; // nobody knows
    }
}

/**
 * Ask the credentials API: first for the upload type of this file, later for fresh credentials.
 * @param {Job} job @param {Ask} ask @param {string} token
 * @returns {Promise<string>} the document, as it came
 */
async function askApi(job, ask, token) {
    // Who asks first has no key, whatever an answer said that came too late for the engine; one that was kept has.
    const again = job.uploadType === 'multipart' && (ask.why !== 'first' || !!job.request.kept);
    const headers = new Headers();
    try {
        if (token) headers.set('authorization', `Bearer ${token}`);
    } catch {
        throw new Denied('SIGN_IN', 'getToken() gave what no header can carry'); // which a browser would quote
    }
    if (!again) headers.set('content-type', 'application/json');
    const { name, size, contentType: type, checksum } = ask;
    // Only those for one key may read it.
    const only = ask.why === 'look' && ask.key ? `?key=${encodeURIComponent(ask.key)}` : '';
    const url = `${config.api}${again ? `/v1/credentials${only}` : '/v1/uploads'}`;
    job.origin = new URL(url).origin;
    const response = await fetch(url, {
        method: again ? 'GET' : 'POST',
        headers,
        body: again ? undefined : JSON.stringify({ name, size, type, checksum }),
        credentials: 'omit',
        cache: 'no-store',
        redirect: 'error',
        referrerPolicy: 'no-referrer',
        signal: AbortSignal.timeout(API_LIMIT_MS),
    }).catch((error) => {
        suspect(job, url);
        throw new Denied('', `the credentials API cannot be reached: ${error.message}`);
    });
    heard.add(job.origin);
    const text = await textOf(response).catch(() => {
        throw new Denied('', "the credentials API's answer broke off, or was too long");
    });
    let said;
    try {
        said = JSON.parse(text);
    } catch {
        // Not ours, as of a proxy on the way. The parser's words would quote it, and it may be a secret.
    }
    if (response.ok) {
        if (!said) throw new Denied('', "the credentials API's answer is not JSON");
        job.uploadType ??= said.uploadType;
        lent = true;
        return text;
    }
    const { detail: words } = said ?? {};
    // Some gateways quote the header that they do not like.
    const fit = typeof words === 'string' && words && !(token && words.includes(token));
    const detail = fit ? words : `the credentials API answered ${response.status}`;
    if (response.status === 401) throw new Denied('SIGN_IN', detail);
    // Once the API has answered, what is not JSON is none of its words, as of a balancer while the API is deployed.
    // Before, it may be a wrong address.
    const foreign = !said && (job.uploadType || (lent && ++job.strangers < STRANGERS));
    const passing = foreign || response.status >= 500 || response.status === 408 || response.status === 429;
    throw new Denied(passing ? 'NO_CREDENTIALS' : 'FORBIDDEN', detail);
}

// ---- What the page is told ------------------------------------------------------------------------

/** @type {ReturnType<typeof setTimeout> | undefined} */
let updates;

/** Tell the page soon: ten times a second at most, whatever happens. */
function showLater() {
    updates ??= setTimeout(show, UPDATE_MS);
}

function show() {
    clearTimeout(updates);
    updates = undefined;
    /** @type {Update[]} */
    const list = [];
    for (const job of running.values()) {
        if (!job.dirty || !job.handle) continue;
        if (job.kept && !job.storing && Date.now() - job.storedMs > NOTE_MS) save(job, job.kept).catch(() => {});
        const { id, notices } = job;
        list.push({ id, progress: engine.progress(job.handle), parts: [...job.parts].flat(), notices });
        job.parts.clear();
        job.notices = [];
        job.dirty = false;
    }
    if (list.length) post({ kind: 'updates', updates: list });
}

/** What servers were found not to know. @type {Map<string, import('./store.js').Server>} */
const servers = new Map();
/**
 * Whom that is said of. Credentials may come with the endpoint of any server: what one lacks is no reason to
 * overwrite objects of another.
 * @param {Job} job @returns {string | undefined}
 */
const serverOf = (job) => config.api ?? /** @type {any} */ (job.request.options).endpoint;

/**
 * Only what an upload succeeded without: where a server names nothing it is a guess, and may be wrong.
 * @param {Job} job @param {string[]} codes
 */
async function learn(job, codes) {
    const place = serverOf(job);
    if (place === undefined) return;
    /** @type {import('./store.js').Server} */
    const { lacks, learnedMs } = servers.get(place) ?? { place, lacks: [], learnedMs: Date.now() };
    const found = codes.filter((code) => !lacks.includes(code));
    if (!found.length) return;
    const server = { place, lacks: [...lacks, ...found], learnedMs };
    servers.set(place, server);
    if (config.keep) await store.learn(server).catch(() => {}); // then this page alone knows it
}

/** @param {import('./store.js').Server} server */
function isFresh({ learnedMs }) {
    const age = Date.now() - learnedMs;
    return age >= 0 && age < LEARNED_MS;
}

async function recall() {
    const known = config.keep ? await store.servers().catch(() => []) : [];
    for (const server of known) {
        if (!isFresh(server) || !Array.isArray(server.lacks)) continue;
        // Only what this code writes: any other text could make the engine refuse the options of every upload.
        const lacks = server.lacks.filter((code) => /^LACKS_[A-Z_]{1,40}$/.test(code)).slice(0, 40);
        servers.set(server.place, { ...server, lacks });
    }
}

/** @param {Job} job @param {Notice} notice */
function notice(job, notice) {
    if (notice.kind === 'part' && notice.partNumber && notice.partState) {
        // Only the newest state of each part matters.
        job.parts.set(notice.partNumber - 1, engine.tables.partStates.indexOf(notice.partState));
    } else {
        job.notices.push(notice);
    }
    if (notice.kind === 'warning') job.warning = notice.message;
    // One that rests, since nothing gets through, keeps its place: the next would hardly fare better.
    // Only those of states say why it rests; the others' codes are of something else.
    if (notice.kind === 'state') {
        job.paused = !!notice.paused && !notice.code;
        job.rests = !!notice.paused && !!notice.code && notice.code !== 'SIGN_IN';
    }
    // By now the file was compared with what S3 has: its handle takes the place of the one that was kept.
    const handle = job.request.kept && job.request.keep?.handle;
    if (notice.kind === 'state' && notice.state === 'sending' && job.kept && handle && job.kept.handle !== handle) {
        job.kept.handle = handle;
        job.storedMs = 0; // it is written soon
    }
    if (job.paused) takeWhole(job); // thousands may be paused
    job.dirty = true;
    showLater();
}

let beat = Date.now();
setInterval(() => {
    const gap = Date.now() - beat;
    beat = Date.now();
    if (gap < FROZEN_MS) return;
    setTimeout(() => {
        for (const job of running.values()) if (job.handle) report(job, { kind: 'woke' });
    }, SETTLE_MS);
}, BEAT_MS);

// ---- Online or not ---------------------------------------------------------------------------------

let online = true;
/** Where S3 was asked for something last. */
let place = '';
/** Who has answered. @type {Set<string>} */
const heard = new Set();
/** @type {Set<string>} */
const suspected = new Set();

/**
 * A policy's refusal looks like a network that is away, but does not pass. Who has answered is not meant:
 * that may be a redirect, which XMLHttpRequest follows, by whoever is between for now.
 * @param {string} origin
 */
function forbid(origin) {
    const message = `${POLICY} ${origin} to connect-src`;
    if (early) post({ kind: 'crashed', code: BLOCKED, message });
    for (const job of heard.has(origin) ? [] : [...running.values()]) {
        if (job.origin !== origin) continue;
        end(job, { kind: 'failed', id: job.id, failure: { code: BLOCKED, message, resumable: !!job.kept } });
    }
}

self.addEventListener('securitypolicyviolation', ({ disposition, effectiveDirective, blockedURI }) => {
    if (disposition === 'enforce' && effectiveDirective === 'connect-src') forbid(new URL(blockedURI).origin);
});

/** WebKit does not tell a worker, but the page. @param {Job} job @param {string} url */
async function suspect(job, url) {
    const { origin } = new URL(url);
    if (!WEBKIT || heard.has(origin) || suspected.has(origin)) return;
    suspected.add(origin);
    if (await askPage(job, { what: 'policy', about: { url } }).catch(() => '')) forbid(origin);
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let looking;

/** @param {boolean} is */
function setOnline(is) {
    if (is !== online) post({ kind: 'network', online: is });
    online = is;
    for (const job of running.values()) report(job, { kind: is ? 'online' : 'offline' });
    wake();
}

/** What the browser said last. */
let said = true;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let hearing;

/**
 * The browser says so. A network that flaps is heard once a second: each time it is back, all that waits
 * is sent at once.
 * @param {boolean} is
 */
function hear(is) {
    said = is;
    if (!hearing && (is || online)) settle();
}

function settle() {
    hearing = setTimeout(() => {
        hearing = undefined;
        if (said !== online) settle();
    }, SETTLE_MS);
    clearTimeout(looking);
    looking = undefined; // a look under way has nothing to say any more
    setOnline(said);
    if (!said) look(OFFLINE_MS);
}

/** Believe it for so long, then see whether anybody answers, whatever. @param {number} ms */
function look(ms) {
    const mine = setTimeout(async () => {
        /** @type {RequestInit} */
        const question = { method: 'HEAD', mode: 'no-cors', credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer' };
        const signal = AbortSignal.timeout(API_LIMIT_MS);
        const answer = running.size && fetch(place || config.api || location.origin, { ...question, signal });
        const answered = await Promise.resolve(answer).catch(() => undefined);
        if (mine !== looking) return; // the browser has said something since
        if (answered) setOnline(true);
        else look(running.size ? Math.min(2 * ms, LOOK_MS) : ms);
    }, ms);
    looking = mine;
}

// ---- What the page and the browser say ------------------------------------------------------------

/** What came before the engine was there. @type {ToWorker[] | undefined} */
let early = [];

/** A line that broke is no reason to give up. */
async function load() {
    await WebAssembly.instantiate(NO_CODE).catch(() => {
        throw Object.assign(new Error(`${POLICY} 'wasm-unsafe-eval' to script-src`), { code: BLOCKED });
    });
    const url = hasSimd() ? config.wasmUrl : config.scalarUrl;
    for (let tries = 1; tries < LOADS; tries++) {
        try {
            return await loadEngine(url);
        } catch {
            await new Promise((resolve) => setTimeout(resolve, LOAD_PAUSE_MS));
        }
    }
    return loadEngine(url);
}

/** @param {Config} given */
async function start(given) {
    config = given;
    try {
        [engine] = await Promise.all([load(), recall()]);
        const all = { page: config.version, worker: VERSION, module: engine.tables.version };
        if (all.page !== VERSION || all.module !== VERSION) {
            throw new Error(`its files are of different versions (${JSON.stringify(all)}), maybe from a cache: load the page again`);
        }
    } catch (error) {
        // A browser's own errors have codes, too: numbers.
        const code = /** @type {any} */ (error).code === BLOCKED ? BLOCKED : undefined;
        post({ kind: 'crashed', message: `the engine cannot be loaded: ${error}`, code });
        return;
    }
    post({ kind: 'ready', tables: engine.tables });
    const messages = early ?? [];
    early = undefined;
    messages.forEach(listen);
}

/** @param {ToWorker} message */
function listen(message) {
    switch (message.kind) {
        case 'start':
            start(message.config);
            return;
        case 'open':
            // Who discards waits for it, and those that run may take hours.
            if (message.discard) open(message);
            else waiting.set(message.id, message);
            break;
        case 'list':
            list(message.ask);
            return;
        case 'answer':
            asked.get(message.ask)?.(message);
            return;
        case 'network':
            hear(message.online);
            return;
        case 'ping':
            post({ kind: 'pong' });
            return;
        default: {
            if (message.kind !== 'resume') calmDown();
            const request = waiting.get(message.id);
            if (request && message.kind !== 'abort') {
                hold(request, message.kind === 'pause');
                break;
            }
            if (request) open(request); // to be aborted like any other
            const job = running.get(message.id);
            if (!job) break;
            // For the engine it is paused already where it waits for somebody to sign in.
            if (message.kind === 'pause') job.paused = true;
            report(job, { kind: message.kind });
        }
    }
    wake();
}

self.onmessage = ({ data }) => {
    if (early && data.kind !== 'start') early.push(data);
    else listen(data);
};
// Firefox lets no file's handle into a worker of a data: URL: what came with it would never begin.
self.onmessageerror = () => post({ kind: 'crashed', message: "the worker cannot read what the page sends: it must be of the page's origin" });
// Whatever goes wrong in here for good, the page hears of it.
self.onunhandledrejection = ({ reason }) => post({ kind: 'crashed', message: String(reason) });
