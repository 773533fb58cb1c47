// SPDX-License-Identifier: MIT
/**
 * engine.js - loads parthaul.wasm and gives its exports as plain calls with plain objects.
 *
 * One call here is one export there; nothing is decided here. wasm/README.md states the memory
 * rules, and which numbers and texts cross. Runs in a worker, on a page and in Node.
 */

/** @import {Action, EngineEvent, EngineProgress, Tables} from './types.d.ts' */

/** Of all files together: page, worker and module speak a language of their own. */
export const VERSION = '0.1.0';

/** A call that the engine refused. */
export class EngineError extends Error {
    /** @param {string} code as in `errors.def` @param {string} text */
    constructor(code, text) {
        super(text);
        this.name = 'EngineError';
        this.code = code;
    }
}

/**
 * What a module of this toolchain may ask of its host. The engine does no I/O: these are the C
 * library's leftovers, and an assertion that fails ends in proc_exit.
 * @type {Record<string, (...args: number[]) => number | void>}
 */
const HOST = {
    'env.emscripten_notify_memory_growth': () => {}, // views are made anew anyway
    'wasi_snapshot_preview1.proc_exit': (code) => {
        throw new Error(`the engine stopped with code ${code}`);
    },
    'wasi_snapshot_preview1.fd_write': () => 8, // EBADF, like the next two
    'wasi_snapshot_preview1.fd_seek': () => 8,
    'wasi_snapshot_preview1.fd_close': () => 8,
};

/** @param {WebAssembly.Module} module */
function importsOf(module) {
    /** @type {Record<string, Record<string, WebAssembly.ImportValue>>} */
    const imports = {};
    for (const { module: space, name } of WebAssembly.Module.imports(module)) {
        const value = HOST[`${space}.${name}`];
        if (!value) throw new Error(`the engine asks for ${space}.${name}, which no host has`);
        (imports[space] ??= {})[name] = value;
    }
    return imports;
}

/**
 * @param {string | URL | BufferSource | WebAssembly.Module} source
 * @returns {Promise<WebAssembly.Module>}
 */
async function compile(source) {
    if (source instanceof WebAssembly.Module) return source;
    if (typeof source !== 'string' && !(source instanceof URL)) return WebAssembly.compile(source);
    const response = await fetch(source);
    if (!response.ok) throw new Error(`${source}: HTTP ${response.status}`);
    // S3 gives a .wasm file the type binary/octet-stream unless told otherwise at its upload.
    return response.headers.get('content-type')?.startsWith('application/wasm')
        ? WebAssembly.compileStreaming(response)
        : WebAssembly.compile(await response.arrayBuffer());
}

/** A module with one instruction of SIMD: a function that gives a vector of zeros. */
const SIMD = [
    [0, 97, 115, 109, 1, 0, 0, 0], // a module of version 1
    [1, 5, 1, 96, 0, 1, 123], // one type: () -> v128
    [3, 2, 1, 0], // one function of that type
    [10, 8, 1, 6, 0, 65, 0, 253, 15, 11], // its code: i32.const 0, i8x16.splat, end
];

/** Whether parthaul.wasm runs here; where it does not, parthaul-scalar.wasm does. */
export const hasSimd = () => WebAssembly.validate(new Uint8Array(SIMD.flat()));

/**
 * Load the engine.
 * @param {string | URL | BufferSource | WebAssembly.Module} source where the .wasm is, or its bytes
 * @returns {Promise<Engine>}
 */
export async function loadEngine(source) {
    const module = await compile(source);
    const { exports } = await WebAssembly.instantiate(module, importsOf(module));
    /** @type {any} */ (exports)._initialize?.();
    return new Engine(exports);
}

/**
 * An action, from the numbers and the text that ph_step leaves, and the text of a request.
 * @param {Tables} tables @param {ArrayLike<number>} said @param {string} text @param {string} more
 * @returns {Action}
 */
export function readAction(tables, said, text, more) {
    const kind = tables.actions[said[0]];
    const id = said[1];
    switch (kind) {
        case 'request': {
            const fields = text.split('\0');
            /** @type {[string, string][]} */
            const headers = [];
            for (let i = 3; i < fields.length; i += 2) headers.push([fields[i], fields[i + 1]]);
            const [method, operation, url] = fields;
            /** @type {import('./types.d.ts').Request} */
            const request = { method, operation, url, headers, stallMs: said[6], answerMs: said[7], limitMs: said[8] };
            if (said[2]) request.file = { offset: said[3], length: said[4] };
            else if (said[9]) request.text = more;
            if (said[5]) request.partNumber = said[5];
            return { kind, id, request };
        }
        case 'hash': {
            /** @type {import('./types.d.ts').HashJob} */
            const hash = { offset: said[2], length: said[3], algorithms: [said[5], said[6]] };
            if (said[4]) hash.partNumber = said[4];
            return { kind, id, hash };
        }
        case 'notice': {
            /** @type {import('./types.d.ts').Notice} */
            const notice = { kind: tables.notices[said[2]], state: tables.states[said[3]], paused: said[4] > 0 };
            if (said[5]) notice.partNumber = said[5];
            if (notice.kind === 'part') notice.partState = tables.partStates[said[6]];
            if (said[7]) notice.code = tables.errors.find(({ number }) => number === said[7])?.name;
            if (said[8]) notice.untilMs = said[8];
            if (text) notice.message = text;
            return { kind, notice };
        }
        case 'wait':
            return said[2] < 0 ? { kind } : { kind, untilMs: said[2] };
        case 'save':
            return { kind, snapshot: text };
        case 'credentials':
            return { kind, id, ask: JSON.parse(text) };
        case 'done':
            return { kind, receipt: JSON.parse(text) };
        case 'failed':
            return { kind, failure: JSON.parse(text) };
        default: // cancel, forget
            return /** @type {Action} */ (id ? { kind, id } : { kind });
    }
}

/** @type {never[]} */
const NONE = [];

/**
 * An event, as ph_report takes it: numbers, and a text of `count` fields and whatever length behind.
 * @param {Tables} tables @param {any} event an EngineEvent
 */
export function writeEvent(tables, event) {
    const { kind, id = 0, status, bytes, code, headers = NONE, digests = NONE } = event;
    let text = '';
    for (const [name, value] of headers) text += `${name}\0${value}\0`;
    for (const digest of digests) text += `${digest}\0`;
    return {
        kind: tables.events.indexOf(kind),
        id,
        value: status ?? bytes ?? (code && tables.errors.find(({ name }) => name === code)?.number) ?? 0,
        count: 2 * headers.length + digests.length,
        text: text + (event.body ?? event.document ?? event.message ?? ''),
    };
}

/** Rows of the staging buffer, as wasm/README.md has it. */
const MAX_ROWS = 16;

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder();

/** The exports of one instance of the module. Every method may throw an EngineError. */
export class Engine {
    /** @type {any} */
    #wasm;
    #stage;
    #stageSize;
    #textMax;
    #fed;
    /** Views of memory: all, where texts go in, and what an action says. */
    #memory = new Uint8Array();
    #in = new Uint8Array();
    #said = new Float64Array();
    /** @type {Map<number, {name: string, text: string}>} */
    #errors = new Map();
    /** @type {Tables} */
    tables;

    /** @param {WebAssembly.Exports} exports */
    constructor(exports) {
        this.#wasm = exports;
        this.#stage = this.#wasm.ph_stage() >>> 0;
        this.#stageSize = this.#wasm.ph_stage_size();
        this.#textMax = this.#wasm.ph_text_max();
        this.#fed = this.#wasm.ph_fed() >>> 0;
        this.tables = JSON.parse(this.#text(this.#wasm.ph_tables()));
        for (const error of this.tables.errors) this.#errors.set(error.number, error);
    }

    /**
     * Start an upload.
     * @param {object} options see wasm/README.md
     * @param {number} now
     * @returns {number} its handle
     */
    open(options, now) {
        return this.#check(this.#wasm.ph_open(this.#give(JSON.stringify(options)), now));
    }

    /** @param {number} upload */
    close(upload) {
        this.#wasm.ph_close(upload);
    }

    /**
     * @param {number} upload @param {number} now @param {boolean} maySend
     * @returns {Action}
     */
    step(upload, now, maySend) {
        const text = this.#text(this.#wasm.ph_step(upload, now, maySend ? 1 : 0));
        const said = this.#said;
        return readAction(this.tables, said, text, said[11] ? this.#decode(said[10], said[11]) : '');
    }

    /**
     * An answer that cannot cross (over 1 MiB, with bytes that no text has, too large for memory) is
     * none of S3's: the engine hears that there was none, and tries again.
     * @param {number} upload @param {number} now @param {EngineEvent} event
     */
    report(upload, now, event) {
        try {
            this.#tell(upload, now, event);
        } catch (error) {
            if (event.kind !== 'response' || !(error instanceof EngineError)) throw error;
            this.#tell(upload, now, { kind: 'failed', id: event.id, code: 'NETWORK' });
        }
    }

    /** @param {number} upload @param {number} now @param {EngineEvent} event */
    #tell(upload, now, event) {
        const { kind, id, value, count, text } = writeEvent(this.tables, event);
        this.#check(this.#wasm.ph_report(upload, now, kind, id, value, count, this.#give(text)));
    }

    /** @param {number} upload @returns {EngineProgress} */
    progress(upload) {
        return JSON.parse(this.#text(this.#wasm.ph_progress_of(upload)));
    }

    /**
     * Start a digest in one or two algorithms; 0 stands for none.
     * @param {number} first @param {number} second
     * @returns {number} its handle, which hashClose releases
     */
    hashOpen(first, second) {
        return this.#check(this.#wasm.ph_hash_open(first, second));
    }

    /** @param {number} hash @param {Uint8Array} bytes any number of them */
    hashFeed(hash, bytes) {
        this.hashFeedAll([{ hash, bytes }]);
    }

    /**
     * Go on with several digests together, which with SHA and MD5 costs little more than with one.
     * @param {{hash: number, bytes: Uint8Array}[]} all no digest twice
     */
    hashFeedAll(all) {
        for (let first = MAX_ROWS; first < all.length; first += MAX_ROWS) {
            this.hashFeedAll(all.slice(first, first + MAX_ROWS));
        }
        for (let at = 0; ; ) {
            const rows = all.slice(0, MAX_ROWS).filter(({ bytes }) => bytes.length > at);
            if (!rows.length) return;
            const room = Math.floor(this.#stageSize / rows.length / 64) * 64;
            const length = Math.min(room, ...rows.map(({ bytes }) => bytes.length - at));
            this.#renew();
            const memory = this.#memory;
            const list = new Uint32Array(memory.buffer, this.#fed, rows.length);
            rows.forEach(({ hash, bytes }, i) => {
                list[i] = hash;
                memory.set(bytes.subarray(at, at + length), this.#stage + i * length);
            });
            this.#check(this.#wasm.ph_hash_feed(rows.length, length));
            at += length;
        }
    }

    /**
     * Digest something: a kernel's first calls are slow, until the browser has compiled it well.
     * @param {number} algorithm
     */
    warmUp(algorithm) {
        const rows = this.tables.algorithms.find(({ number }) => number === algorithm)?.lanes ? 8 : 1;
        const bytes = new Uint8Array(65536 / rows);
        const all = Array.from({ length: rows }, () => ({ hash: this.hashOpen(algorithm, 0), bytes }));
        for (let i = 0; i < 4; i++) this.hashFeedAll(all);
        for (const { hash } of all) this.hashClose(hash);
    }

    /** @param {number} hash @returns {string[]} the digests in base64 */
    hashClose(hash) {
        return this.#text(this.#wasm.ph_hash_close(hash)).split('\0');
    }

    /** See memory as it is now: a call may have moved it, and what was seen of it is then empty. */
    #renew() {
        if (this.#memory.length) return;
        const { buffer } = this.#wasm.memory;
        this.#memory = new Uint8Array(buffer);
        this.#in = new Uint8Array(buffer, this.#stage, this.#textMax);
        this.#said = new Float64Array(buffer, this.#wasm.ph_said() >>> 0, 12);
    }

    /** @param {number} result */
    #check(result) {
        if (result >= 0) return result;
        const error = this.#errors.get(result);
        throw new EngineError(error?.name ?? String(result), error?.text ?? `error ${result}`);
    }

    /** The text that a call left. @param {number} length */
    #text(length) {
        this.#check(length);
        this.#renew();
        return length ? this.#decode(this.#wasm.ph_out() >>> 0, length) : '';
    }

    /** @param {number} at @param {number} length */
    #decode(at, length) {
        return decoder.decode(this.#memory.subarray(at, at + length));
    }

    /** Put a text where the next call looks for it, and wipes it. @param {string} text */
    #give(text) {
        this.#renew();
        // Most texts are short and ASCII, and the encoder's way is long.
        for (let i = 0; text.length < 100; i++) {
            if (i === text.length) return i;
            const unit = text.charCodeAt(i);
            if (unit > 127) break;
            this.#in[i] = unit;
        }
        const { read, written } = encoder.encodeInto(text, this.#in);
        if (read === text.length) return written;
        this.#in.fill(0);
        throw new EngineError('TOO_LONG', 'a text is too long to cross');
    }
}
