// SPDX-License-Identifier: MIT
/**
 * parthaul.js - what a page imports: `new Parthaul(options).upload(file)`.
 *
 * Holds handles only. The engine, its requests and the credentials are in worker.js.
 */

import { VERSION } from './engine.js';
import { WEBKIT } from './transport.js';

/** @import {FromWorker, ToWorker, Update} from './types.d.ts' */
/** @typedef {Extract<FromWorker, {kind: "listed"}>["list"]} List what is kept, if it can be read */
// These are for importers too.
/** @typedef {import('./types.d.ts').Ask} Ask */
/** @typedef {import('./types.d.ts').Failure} Failure */
/** @typedef {import('./types.d.ts').FileOptions} FileOptions */
/** @typedef {import('./types.d.ts').ParthaulOptions} ParthaulOptions */
/** @typedef {import('./types.d.ts').Progress} Progress */
/** @typedef {import('./types.d.ts').Receipt} Receipt */
/** @typedef {import('./types.d.ts').Tables} Tables */
/** @typedef {import('./types.d.ts').Unfinished} Unfinished */
/** @typedef {import('./types.d.ts').UploadOptions} UploadOptions */

/** What the engine takes of the options, by type; the others are this file's.
 * @type {Record<string, (keyof UploadOptions)[]>} */
const ENGINE_OPTIONS = {
    string: ['bucket', 'key', 'region', 'endpoint', 'addressing', 'name', 'checksum', 'checksumType', 'payload'],
    number: ['partSize', 'concurrency', 'tries', 'patienceMs', 'maxRate', 'presignLimit'],
    boolean: ['dualstack', 'accelerate', 'polite', 'overwrite'],
    object: ['metadata', 'object'],
};

/** Up to this size the credentials API gives a presigned PUT, unless it is told otherwise. */
const PRESIGN_LIMIT = 100 << 20;
/** Speed is measured over so long: parts end in bursts. */
const SPEED_WINDOW_MS = 8000;
/** A worker that is at work and says nothing at so many questions, so far apart, is gone. */
const PING_MS = 10_000;
const PINGS = 6;
const SETTLE_MS = 100;
/** Browsers do not say why. */
const NO_WORKER = "the worker cannot be loaded: it must be JavaScript, of the page's origin, with its COEP";
/** A page can give a file any type, of megabytes too; and systems' own registers have some that are none. */
const MEDIA_TYPE = /^[^\s/][^/]*\/.*\S$/;
const LONGEST_TYPE = 255;

/**
 * Why an upload ended without an object.
 *
 * `code` is stable: one of `errors.def`; WORKER_FAILED when the worker or the engine could not be
 * loaded or crashed; BLOCKED_BY_CSP when a Content-Security-Policy blocks a request (the message says
 * what to add); for stored uploads, IN_USE (another tab owns it), NOT_KEPT (there is no such upload, or it
 * cannot be read now: `resumable`), FILE_NEEDED (the user has to choose the file again), and NOT_DISCARDED
 * (S3 may still have parts); CLOSED after close(), or when the page was left and is in WebKit's back/forward
 * cache. The message is meant for the user and contains no secret.
 */
export class UploadError extends Error {
    name = 'UploadError'; // by definition: Error's may be frozen

    /** @param {Failure} failure */
    constructor(failure) {
        const { operation, status, s3Code, requestId } = failure;
        const where = [operation, status, s3Code].filter(Boolean).join(' ');
        const id = requestId ? ` (request ${requestId})` : '';
        super(`${where && `${where}: `}${failure.message}${id}`);
        this.code = failure.code;
        /** The message alone, without operation and ids. */
        this.reason = failure.message;
        /** The HTTP status of the decisive response; absent when there was none. */
        this.status = status || undefined;
        /** The `<Code>` of S3, such as "AccessDenied". */
        this.s3Code = s3Code;
        this.requestId = requestId;
        this.hostId = failure.hostId;
        /** The S3 operation that failed, such as "UploadPart". */
        this.operation = operation;
        this.partNumber = failure.partNumber || undefined;
        /** The number of attempts of that request. */
        this.tries = failure.tries ?? 0;
        /** The same upload may succeed later. */
        this.retryable = failure.retryable ?? false;
        /** S3 still has the parts: parthaul.resume() can continue. */
        this.resumable = failure.resumable ?? false;
    }
}

/** Let Parthaul, but nobody else, hand messages to an Upload.
 * @type {(upload: Upload, message: FromWorker | Failure, tables?: Tables) => void} */
let deliver;

/**
 * The upload of one file.
 *
 * @fires state when `state`, `paused` or `reason` changed
 * @fires progress when `progress` or `parts` changed, ten times a second at most
 * @fires part when the state of a part changed; detail: {partNumber, state}
 * @fires retry when a request failed and will be retried; detail: {partNumber, code, untilMs, message}
 * @fires warning for problems that a developer should know of; detail: {message, code?}
 * @fires done when `receipt` is set
 * @fires error when `error` is set
 */
export class Upload extends EventTarget {
    #send;
    /** @type {(receipt: Receipt) => void} */
    #resolve = () => {};
    /** @type {(error: UploadError) => void} */
    #reject = () => {};
    /** @type {{time: number, bytes: number}[]} */
    #samples = [];
    #progress = { sent: 0, stored: 0, partCount: 0, partsStored: 0, inFlight: 0 };

    /**
     * Made by Parthaul.upload().
     * @param {File | Blob} file @param {string} name
     * @param {(kind: "pause" | "resume" | "abort") => void} send
     */
    constructor(file, name, send) {
        super();
        deliver ??= (upload, message, tables) => upload.#deliver(message, tables); // Safari 16.0 knows no static block
        this.file = file;
        this.name = name;
        this.size = file.size;
        /** One of `tables.states`: new, creating, sending, listing, verifying, completing, checking,
         * aborting, done, failed. */
        this.state = 'new';
        this.paused = false;
        /** Why it paused by itself. SIGN_IN waits for the user and for resume(); any other code waits
         * for S3 to respond again, with the next attempt at `untilMs`.
         * @type {{code: string, message: string, untilMs?: number} | undefined} */
        this.reason = undefined;
        /** The state of each part: an index into `tables.partStates`. Empty until parts are known. */
        this.parts = new Uint8Array(0);
        /** Its id in parthaul.unfinished() while it is unfinished, for parthaul.resume().
         * @type {string | undefined} */
        this.kept = undefined;
        /** @type {Receipt | undefined} */
        this.receipt = undefined;
        /** @type {UploadError | undefined} */
        this.error = undefined;
        this.#send = send;
        /** Resolves with the receipt, rejects with an UploadError. @type {Promise<Receipt>} */
        this.done = new Promise((resolve, reject) => {
            this.#resolve = resolve;
            this.#reject = reject;
        });
        this.done.catch(() => {}); // who listens to events instead need not handle it
    }

    /** Stop sending; requests in flight are cancelled and sent again later. */
    pause() {
        this.#send('pause');
    }

    /** Continue after pause(). */
    resume() {
        this.#send('resume');
    }

    /** Abort the upload and delete its parts in S3. `done` rejects with the code ABORTED. */
    abort() {
        this.#send('abort');
    }

    /** Whether it has ended, successfully or not. */
    get ended() {
        return this.receipt !== undefined || this.error !== undefined;
    }

    /** @returns {Progress} */
    get progress() {
        const { sent, stored, partCount, partsStored, inFlight } = this.#progress;
        const bytes = this.receipt ? this.size : Math.min(stored + sent, this.size);
        const first = this.#samples[0];
        const seconds = first ? (performance.now() - first.time) / 1000 : 0;
        const speed = first && seconds > 0.2 ? Math.max(0, bytes - first.bytes) / seconds : 0;
        const secondsLeft = speed && !this.ended ? (this.size - bytes) / speed : undefined;
        const fraction = this.size ? bytes / this.size : Number(!!this.receipt);
        const rest = { speed, secondsLeft, partCount, partsStored, inFlight };
        return { bytes, total: this.size, fraction, stored, ...rest };
    }

    /** @param {FromWorker | Failure} message @param {Tables} [tables] */
    #deliver(message, tables) {
        if (this.ended) return;
        if (!('kind' in message)) {
            this.#fail(message);
        } else if (message.kind === 'updates') {
            for (const update of message.updates) this.#update(update, /** @type {Tables} */ (tables));
        } else if (message.kind === 'kept') {
            this.kept = message.kept;
        } else if (message.kind === 'done') {
            this.receipt = message.receipt;
            this.#setState('done', false);
            this.#tell('progress');
            this.#resolve(this.receipt);
            this.#tell('done', this.receipt);
        } else if (message.kind === 'failed') {
            this.#fail(message.failure);
        }
    }

    /** @param {Update} update @param {Tables} tables */
    #update({ progress, parts, notices }, { errors, partStates }) {
        if (this.parts.length !== progress.partCount) this.parts = new Uint8Array(progress.partCount);
        this.#progress = progress;
        this.#sample();
        for (let i = 0; i < parts.length; i += 2) {
            this.parts[parts[i]] = parts[i + 1];
            this.#tell('part', { partNumber: parts[i] + 1, state: partStates[parts[i + 1]] });
        }
        for (const notice of notices) {
            if (notice.kind !== 'state') {
                this.#tell(notice.kind, notice);
                continue;
            }
            const { code, untilMs } = notice;
            const message = notice.message ?? errors.find(({ name }) => name === code)?.text ?? '';
            const said = this.reason;
            this.reason = code && notice.paused ? { code, message, untilMs } : undefined;
            if (this.reason || said) this.#tell('state');
            this.#goTo(notice.state ?? this.state, !!notice.paused);
        }
        this.#goTo(progress.state, progress.paused);
        this.#tell('progress');
    }

    /** Keep what the speed is computed from; a pause begins anew. */
    #sample() {
        if (this.paused) this.#samples = [];
        const time = performance.now();
        this.#samples.push({ time, bytes: this.#progress.stored + this.#progress.sent });
        while (this.#samples.length > 2 && this.#samples[1].time < time - SPEED_WINDOW_MS) {
            this.#samples.shift();
        }
    }

    /**
     * The end has a message of its own, with the receipt or the failure.
     * @param {string} state @param {boolean} paused
     */
    #goTo(state, paused) {
        if (state !== 'done' && state !== 'failed') this.#setState(state, paused);
    }

    /** @param {string} state @param {boolean} paused */
    #setState(state, paused) {
        if (state === this.state && paused === this.paused) return;
        this.state = state;
        this.paused = paused;
        if (!paused) this.reason = undefined;
        this.#tell('state');
    }

    /** @param {Failure} failure */
    #fail(failure) {
        this.error = new UploadError(failure);
        this.#setState('failed', false);
        this.#reject(this.error);
        this.#tell('error', this.error);
    }

    /** @param {string} type @param {object} [detail] */
    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }
}

/**
 * The file that a handle leads to; undefined where the user does not allow it.
 * @param {any} handle its permissions are not everywhere
 * @returns {Promise<File | undefined>}
 */
async function fileOf(handle) {
    const mode = { mode: 'read' };
    try {
        const now = (await handle.queryPermission?.(mode)) ?? 'granted';
        if (now !== 'granted' && (await handle.requestPermission(mode)) !== 'granted') return undefined;
        return await handle.getFile();
    } catch {
        return undefined; // it was moved or deleted, or nobody clicked
    }
}

/** @param {string} code @param {string} message @param {boolean} [resumable] */
const refusal = (code, message, resumable = true) => new UploadError({ code, message, resumable });

/** @param {string} option @param {string} what */
const wrong = (option, what) => new TypeError(`Parthaul: ${option} is not ${what}`);

/** @param {any} value */
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

/**
 * The options that the engine takes. What it could not read it would pass over in silence.
 * @param {any} all
 * @returns {Record<string, unknown>}
 */
function engineOptions(all) {
    /** @type {Record<string, unknown>} */
    const given = {};
    for (const [type, names] of Object.entries(ENGINE_OPTIONS)) {
        for (const name of names) {
            const value = all[name] ?? undefined;
            if (value === undefined) continue;
            if (type === 'number' ? !isCount(value) : typeof value !== type) {
                throw wrong(name, type === 'number' ? 'a whole number from 0 on' : `of type ${type}`);
            }
            if (type !== 'object') {
                given[name] = value;
                continue;
            }
            // Whose entries are no properties, as a Map's, would cross as {}.
            if (Symbol.iterator in value) throw wrong(name, 'a plain object');
            for (const [field, text] of Object.entries(value)) {
                if (text !== undefined && typeof text !== 'string') throw wrong(`${name}.${field}`, 'of type string');
            }
            given[name] = { ...value }; // a framework's Proxy cannot cross
        }
    }
    return given;
}

/** A name that UTF-8 can write: those of Windows may have half a character. No text has a NUL.
 * @param {string} name */
const wellFormed = (name) => name.replace(/[\0\ud800-\udfff]/gu, '\ufffd');

/**
 * Uploads files. One for a page is enough: its uploads share connections and a worker.
 *
 * @fires unfinished when unfinished() may have changed, also by another tab
 * @fires network when `online` changed
 * @fires warning when discard() could not tell whether S3 has something left; detail: {message, code?}
 */
export class Parthaul extends EventTarget {
    #options;
    /** @type {Worker | undefined} */
    #worker;
    /** @type {Map<number, Upload>} */
    #uploads = new Map();
    #lastId = 0;
    #api = '';
    /** How often the worker was asked for a word since its last one. */
    #silence = 0;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    #pings;
    /** Who waits for lists of what is kept. @type {Map<number, (list: List) => void>} */
    #lists = new Map();
    /** The list for all who ask at the same time. @type {Promise<List> | undefined} */
    #listing;
    /** Workers do not hear of it in every browser. */
    #network = () => this.#post({ kind: 'network', online: navigator.onLine });
    /** @param {BeforeUnloadEvent} event */
    #leave = (event) => event.preventDefault();
    /** @param {PageTransitionEvent} event */
    #hide = ({ persisted }) => {
        // It keeps the page for a while; its worker stands still and lets no other tab have its uploads.
        if (persisted && WEBKIT) this.#end({ code: 'CLOSED', message: 'the page was left' });
    };
    /** What a policy forbade last, by its directive. @type {Record<string, string>} */
    #blocked = {};
    /** @param {SecurityPolicyViolationEvent} event */
    #violated = ({ disposition, effectiveDirective, blockedURI }) => {
        if (disposition === 'enforce') this.#blocked[effectiveDirective] = blockedURI;
    };
    /** Whether requests are sent: what the browser reports, unless a probe showed otherwise. */
    online = true;
    /** States, part states, errors and limits, once the engine is loaded. @type {Tables | undefined} */
    tables;

    /** @param {ParthaulOptions} options */
    constructor(options) {
        super();
        if (!options.getCredentials === !options.api) {
            throw new TypeError('Parthaul: give either api, with getToken, or getCredentials');
        }
        for (const giver of /** @type {const} */ (['getToken', 'getCredentials'])) {
            if (options[giver] && typeof options[giver] !== 'function') throw wrong(giver, 'a function');
        }
        const { connections = 1, transport = 'fetch' } = options;
        if (!isCount(connections) || !connections) throw wrong('connections', 'a whole number from 1 on');
        if (transport !== 'fetch' && transport !== 'xhr') throw wrong('transport', '"fetch" or "xhr"');
        engineOptions(options);
        this.#options = options;
        this.#start();
    }

    /**
     * Start to upload a file. It may have to wait for other uploads.
     * @param {File | Blob} file
     * @param {FileOptions} [options] besides those of the constructor
     * @returns {Upload}
     */
    upload(file, options = {}) {
        return this.#open(file, options, {});
    }

    /**
     * The unfinished uploads of this `owner` in this browser, newest first. Empty if the browser
     * stores nothing.
     * @returns {Promise<Unfinished[]>}
     */
    async unfinished() {
        return (await this.#list()) ?? [];
    }

    /** The same, but undefined if it cannot be read. */
    async #list() {
        this.#start();
        const owner = this.#owner();
        this.#listing ??= new Promise((resolve) => {
            const ask = ++this.#lastId;
            this.#lists.set(ask, resolve);
            this.#post({ kind: 'list', ask });
            queueMicrotask(() => (this.#listing = undefined)); // who asks later may know of a change
        });
        const all = await this.#listing;
        return all
            ?.filter((kept) => kept.owner === owner && kept.api === this.#api)
            .sort((a, b) => b.begunMs - a.begunMs);
    }

    /**
     * Resume an upload of unfinished(). Without `file`, the stored file handle is used; the browser
     * may prompt the user, so call it from a click handler. The file is read again and compared with
     * the parts in S3: a different file fails with FILE_CHANGED.
     * @param {string} id
     * @param {File | Blob | FileSystemFileHandle} [file]
     * @param {FileOptions} [options] destination and object properties cannot change; others take effect
     * @returns {Promise<Upload>} rejects with an UploadError: FILE_NEEDED, NOT_KEPT, IN_USE
     */
    async resume(id, file, options = {}) {
        const all = await this.#list();
        if (!all) throw refusal('NOT_KEPT', 'what was kept cannot be read');
        const kept = all.find((one) => one.id === id);
        if (!kept) throw refusal('NOT_KEPT', 'nothing is kept of this upload any more', false);
        if (kept.running) throw refusal('IN_USE', 'it is running already');
        const handle = file ? ('getFile' in file ? file : options.handle) : kept.handle;
        const blob = file && !('getFile' in file) ? file : handle && (await fileOf(handle));
        if (!blob) throw refusal('FILE_NEEDED', `choose ${kept.name} again`);
        return this.#open(blob, { ...options, name: kept.name, handle }, { kept: id });
    }

    /**
     * Discard an upload of unfinished(): abort it in S3 and delete its record in the browser.
     * Rejects with an UploadError if it could not be aborted; the record is kept then. One whose id is not
     * known, since the response to CreateMultipartUpload was lost, cannot be aborted: the event `warning` says so.
     * @param {string} id
     */
    async discard(id) {
        const upload = this.#open(new Blob(), {}, { kept: id, discard: true });
        upload.addEventListener('warning', (event) => {
            this.dispatchEvent(new CustomEvent('warning', { detail: /** @type {CustomEvent} */ (event).detail }));
        });
        await upload.done.catch((error) => {
            const gone = error.code === 'NOT_KEPT' && !error.resumable;
            if (error.code !== 'ABORTED' && !gone) throw error;
        });
    }

    /**
     * Begin an upload, or go on with one.
     * @param {File | Blob} file
     * @param {FileOptions} options
     * @param {{kept?: string, discard?: boolean}} how
     */
    #open(file, options, how) {
        if (typeof file?.size !== 'number' || typeof file.slice !== 'function') throw wrong('the file', 'a File or a Blob');
        const { signal } = options;
        if (signal && !(signal instanceof AbortSignal)) throw wrong('signal', 'an AbortSignal');
        const id = ++this.#lastId;
        const all = { ...this.#options, ...options };
        const given = engineOptions(all);
        const type = file.type.length <= LONGEST_TYPE && MEDIA_TYPE.test(file.type) ? file.type : '';
        given.object = { ...(type && { contentType: type }), .../** @type {object} */ (given.object) };
        const name = wellFormed(all.name ?? ('name' in file ? file.name : 'blob'));
        given.name = name;
        if (all.api) given.presignLimit ??= PRESIGN_LIMIT;
        const keep = { owner: this.#owner(), name, handle: options.handle };
        const upload = new Upload(file, name, (kind) => this.#post({ kind, id }));
        upload.kept = how.kept;
        this.#start();
        // First: what cannot cross to the worker throws here.
        this.#post({ kind: 'open', id, file, options: given, keep: all.keep === false ? undefined : keep, ...how });
        this.#uploads.set(id, upload);
        if (all.confirmLeave) addEventListener('beforeunload', this.#leave);
        const message = "the file's type is none that can be sent, and left out";
        const warn = () => upload.dispatchEvent(new CustomEvent('warning', { detail: { message } }));
        if (type !== file.type) setTimeout(warn); // so that who calls can listen first
        if (signal) {
            const abort = () => upload.abort();
            if (signal.aborted) abort();
            signal.addEventListener('abort', abort);
            const end = () => signal.removeEventListener('abort', abort); // it may live on, with the file
            upload.done.then(end, end);
        }
        return upload;
    }

    #owner() {
        const { owner } = this.#options;
        const name = (typeof owner === 'function' ? owner() : owner) ?? '';
        if (typeof name !== 'string') throw wrong('owner', 'of type string'); // which no list would find again
        return name;
    }

    /**
     * End the worker. Stored uploads can be resumed later; all others are aborted in S3 first.
     * The next call of upload() or unfinished() starts it again.
     */
    async close() {
        // Again for those that begin meanwhile.
        for (let uploads; (uploads = [...this.#uploads.values()].filter((upload) => !upload.kept)).length; ) {
            for (const upload of uploads) upload.abort();
            await Promise.allSettled(uploads.map((upload) => upload.done));
        }
        removeEventListener('online', this.#network);
        removeEventListener('offline', this.#network);
        removeEventListener('pagehide', this.#hide);
        document.removeEventListener('securitypolicyviolation', this.#violated);
        this.#end({ code: 'CLOSED', message: 'the uploader was closed' });
    }

    /** End the worker, and what runs with this failure: what is kept can go on. @param {Failure} failure */
    #end(failure) {
        clearInterval(this.#pings);
        this.#worker?.terminate();
        this.#worker = undefined;
        const uploads = [...this.#uploads.values()];
        this.#uploads.clear();
        removeEventListener('beforeunload', this.#leave);
        for (const resolve of this.#lists.values()) resolve(undefined);
        this.#lists.clear();
        // Last: who hears of it may begin anew.
        for (const upload of uploads) deliver(upload, { ...failure, resumable: !!upload.kept });
    }

    /** Have a worker: at the beginning, and again after a crash or close(). */
    #start() {
        if (this.#worker) return;
        addEventListener('online', this.#network);
        addEventListener('offline', this.#network);
        addEventListener('pagehide', this.#hide);
        document.addEventListener('securitypolicyviolation', this.#violated);
        const { api, connections = 6, transport = 'fetch', workerUrl, keep } = this.#options;
        const wasm = this.#options.wasmUrl ?? new URL('./parthaul.wasm', import.meta.url);
        const scalar = this.#options.scalarUrl ?? new URL('./parthaul-scalar.wasm', import.meta.url);
        const [wasmUrl, scalarUrl] = [wasm, scalar].map((url) => new URL(url, document.baseURI).href);
        this.#api = api ? new URL(api, document.baseURI).href.replace(/\/+$/, '') : '';
        let worker;
        try {
            // Written out like this, bundlers find both files.
            worker = workerUrl
                ? new Worker(/** @type {string} */ (workerUrl), { type: 'module' })
                : new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
        } catch (error) {
            if (/** @type {Error} */ (error).name !== 'SecurityError') throw error;
            setTimeout(() => this.#unloaded(String(error)), SETTLE_MS); // the policy's word comes later, in WebKit
            return;
        }
        worker.onmessage = ({ data }) => this.#listen(data);
        worker.onerror = ({ message }) => this.#unloaded(message || NO_WORKER);
        this.#worker = worker;
        this.#silence = 0;
        this.#pings = setInterval(() => this.#ping(), PING_MS);
        if (!this.online) {
            this.online = true; // a new worker believes so, and tells changes only
            queueMicrotask(() => this.dispatchEvent(new Event('network'))); // who hears it may close all this again
        }
        const config = { version: VERSION, wasmUrl, scalarUrl, api: this.#api || undefined, connections, transport, keep: keep !== false };
        this.#post({ kind: 'start', config });
        this.#network();
    }

    /** One that ended by itself, or that never began, tells nobody. */
    #ping() {
        if (!this.#uploads.size && !this.#lists.size) return void (this.#silence = 0);
        if (this.#silence++ < PINGS) this.#post({ kind: 'ping' });
        else this.#crash('the worker does not answer');
    }

    /** @param {ToWorker} message */
    #post(message) {
        this.#worker?.postMessage(message);
    }

    /** @param {FromWorker} message */
    #listen(message) {
        this.#silence = 0;
        switch (message.kind) {
            case 'pong':
                break;
            case 'ready':
                this.tables = message.tables;
                break;
            case 'crashed':
                this.#crash(message.message, message.code);
                break;
            case 'ask':
                this.#answer(message);
                break;
            case 'listed':
                this.#lists.get(message.ask)?.(message.list);
                this.#lists.delete(message.ask);
                break;
            case 'changed':
                this.dispatchEvent(new Event('unfinished'));
                break;
            case 'network':
                this.online = message.online;
                this.dispatchEvent(new Event('network'));
                break;
            case 'updates':
                for (const update of message.updates) {
                    const upload = this.#uploads.get(update.id);
                    if (upload) deliver(upload, { kind: 'updates', updates: [update] }, this.tables);
                }
                break;
            default: {
                const upload = this.#uploads.get(message.id);
                if (message.kind !== 'kept') this.#uploads.delete(message.id);
                if (!this.#uploads.size) removeEventListener('beforeunload', this.#leave);
                const kept = message.kind === 'kept' || upload?.kept;
                if (upload) deliver(upload, message);
                if (kept) this.dispatchEvent(new Event('unfinished'));
            }
        }
    }

    /** @param {string} url */
    async #isBlocked(url) {
        /** @type {RequestInit} */
        const question = { method: 'HEAD', mode: 'no-cors', credentials: 'omit', referrerPolicy: 'no-referrer' };
        await fetch(url, question).catch(() => {});
        return this.#blocked['connect-src']?.startsWith(new URL(url).origin) ? url : '';
    }

    /** @param {Extract<FromWorker, {kind: "ask"}>} question */
    async #answer({ ask, what, about }) {
        const { getToken, getCredentials } = this.#options;
        const worker = this.#worker; // the next one counts its questions anew
        /** @param {{value: string} | {code?: string, message: string}} answer */
        const say = (answer) => worker?.postMessage({ kind: 'answer', ask, ...answer });
        try {
            const value =
                what === 'policy'
                    ? await this.#isBlocked(about.url)
                    : await (what === 'token' ? getToken?.(about) : getCredentials?.(about));
            const text = typeof value === 'string' ? value : value ? JSON.stringify(value) : '';
            say({ value: text ?? '' });
        } catch (error) {
            // A `code` of SIGN_IN or FORBIDDEN ends the upload; anything else is tried again.
            try {
                const { code, message } = /** @type {any} */ (error ?? {});
                say({ code: String(code), message: String(message ?? error) });
            } catch {
                say({ message: 'what was thrown has no text' });
            }
        }
    }

    /** @param {string} message */
    #unloaded(message) {
        const url = this.#blocked['worker-src'];
        if (url) this.#crash(`the page's Content-Security-Policy forbids it: add ${url} to worker-src`, 'BLOCKED_BY_CSP');
        else this.#crash(message);
    }

    /** @param {string} message @param {string} [code] */
    #crash(message, code = 'WORKER_FAILED') {
        this.#end({ code, message, retryable: true });
    }
}
