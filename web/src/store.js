// SPDX-License-Identifier: MIT
/**
 * store.js - what a browser keeps of uploads that have not ended: IndexedDB for the snapshots, Web
 * Locks so that one tab owns an upload, a BroadcastChannel so that the others hear of it.
 *
 * Nothing secret is kept, and nothing here may end an upload: where the browser refuses (a private
 * window, a full disk, a policy), the caller is told and goes on without.
 */

/** @import {Kept} from './types.d.ts' */

/** @typedef {{place: string, lacks: string[], learnedMs: number}} Server */

const NAME = 'parthaul';
/** A browser that does not answer is as good as one that refuses, and is not asked again for so long. */
const LIMIT_MS = 5000;
const SILENT_MS = 60_000;
/** A lock is free at once, or those who watch it have it for a moment. */
const LOCK_MS = 1000;

let silentUntil = 0;

/**
 * @template T
 * @param {() => Promise<T>} ask @param {string} what @param {() => void} [late] what to do if it answers too late
 * @returns {Promise<T>}
 */
function inTime(ask, what, late) {
    return new Promise((resolve, reject) => {
        const giveUp = () => {
            silentUntil = performance.now() + SILENT_MS;
            reject(new Error(`${what} takes too long`));
            asked.then(late, () => {});
        };
        if (performance.now() < silentUntil) throw new Error(`${what} took too long`);
        const asked = ask();
        const timer = setTimeout(giveUp, LIMIT_MS);
        asked.then(resolve, reject).finally(() => clearTimeout(timer));
    });
}

/** @param {IDBRequest<any>} request @returns {Promise<any>} */
const answer = (request) =>
    new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });

/** What this origin keeps. One for a worker. */
export class Store {
    /** @type {Promise<IDBDatabase> | undefined} */
    #opening;
    /** Releases of the locks that are held here, by id. @type {Map<string, () => void>} */
    #held = new Map();
    /** Uploads of other tabs that are waited for. @type {Set<string>} */
    #watched = new Set();
    /** @type {BroadcastChannel | undefined} */
    #channel;
    #onChange;

    /** @param {() => void} onChange called when another tab has kept, removed or let go of something */
    constructor(onChange) {
        this.#onChange = onChange;
        try {
            this.#channel = new BroadcastChannel(NAME);
            this.#channel.onmessage = () => onChange();
        } catch {
            // Old browsers have none, nor has Firefox where cookies are refused.
        }
    }

    /** @returns {Promise<IDBDatabase>} */
    #database() {
        this.#opening ??= inTime(() => this.#open(), 'opening the database');
        this.#opening.catch(() => (this.#opening = undefined)); // the next time may be a better one
        return this.#opening;
    }

    /** @returns {Promise<IDBDatabase>} */
    async #open() {
        const request = indexedDB.open(NAME, 2);
        request.onupgradeneeded = ({ oldVersion }) => {
            if (oldVersion < 1) request.result.createObjectStore('uploads', { keyPath: 'id' });
            request.result.createObjectStore('servers', { keyPath: 'place' });
        };
        const database = await answer(request);
        // Whoever clears the site's data, or upgrades it, does not have to wait for this tab.
        database.onversionchange = () => {
            database.close();
            this.#opening = undefined;
        };
        database.onclose = () => (this.#opening = undefined);
        return database;
    }

    /**
     * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<any>} use
     * @param {"uploads" | "servers"} name @param {() => void} [late]
     * @returns {Promise<any>}
     */
    async #run(mode, use, name = 'uploads', late) {
        const database = await this.#database();
        const [value] = await inTime(() => {
            // Strict: the disk has it, so that a machine that loses its power has it too.
            const transaction = database.transaction(name, mode, { durability: 'strict' });
            const written = new Promise((resolve, reject) => {
                transaction.oncomplete = resolve;
                transaction.onabort = () => reject(transaction.error ?? new Error('it was aborted'));
            });
            return Promise.all([answer(use(transaction.objectStore(name))), written]);
        }, 'the database', late);
        return value;
    }

    /**
     * Keep an upload, in place of what was kept of it. It is on disk when this resolves.
     * @param {Kept} kept @param {boolean} [first] nothing was kept of it
     */
    async save(kept, first) {
        /** @param {IDBObjectStore} uploads */
        const put = (uploads) => uploads.put(kept);
        // A first one that comes too late would be listed for ever, and nobody would own it.
        const undo = async () => {
            const database = await this.#database();
            database.transaction('uploads', 'readwrite').objectStore('uploads').delete(kept.id);
        };
        const late = first ? () => undo().catch(() => {}) : undefined;
        try {
            await this.#run('readwrite', put, 'uploads', late);
        } catch (error) {
            // A handle of a file is a convenience; not every browser can keep it.
            if (!kept.handle || /** @type {Error} */ (error).name !== 'DataCloneError') throw error;
            kept.handle = undefined;
            await this.#run('readwrite', put, 'uploads', late);
        }
    }

    /** @param {string} id */
    async remove(id) {
        await this.#run('readwrite', (uploads) => uploads.delete(id));
        this.tell();
    }

    /** @param {string} id @returns {Promise<Kept | undefined>} */
    get(id) {
        return this.#run('readonly', (uploads) => uploads.get(id));
    }

    /** @returns {Promise<Kept[]>} */
    list() {
        return this.#run('readonly', (uploads) => uploads.getAll());
    }

    /**
     * Remember what a server was found not to know.
     * @param {Server} server
     */
    async learn(server) {
        await this.#run('readwrite', (servers) => servers.put(server), 'servers');
    }

    /** @returns {Promise<Server[]>} */
    servers() {
        return this.#run('readonly', (servers) => servers.getAll(), 'servers');
    }

    /** Tell the other tabs that something changed. */
    tell() {
        this.#channel?.postMessage('changed');
    }

    // ---- Who owns an upload -----------------------------------------------------------------------

    /**
     * Own an upload until release(), or until this tab ends in any way. Browsers have no locks where
     * a page is not from a secure origin; there, nobody can be kept away.
     * @param {string} id
     * @returns {Promise<boolean>} false: another tab owns it
     */
    async own(id) {
        if (this.#held.has(id)) return false;
        if (!navigator.locks) return !!this.#held.set(id, () => {});
        const wait = new AbortController();
        return new Promise((resolve) => {
            const giveUp = () => {
                wait.abort();
                ended();
            };
            this.#held.set(id, giveUp);
            const timer = setTimeout(giveUp, LOCK_MS);
            const held = () =>
                new Promise((release) => {
                    clearTimeout(timer);
                    // Who let go of it before it came does not want it any more.
                    if (wait.signal.aborted) return release(undefined);
                    this.#held.set(id, () => release(undefined));
                    resolve(true);
                });
            const ended = () => {
                if (this.#held.get(id) === giveUp) this.#held.delete(id);
                resolve(false);
            };
            navigator.locks.request(`${NAME}:${id}`, { signal: wait.signal }, held).then(ended, ended);
        });
    }

    /** @param {string} id */
    release(id) {
        this.#held.get(id)?.();
        this.#held.delete(id);
        this.tell();
    }

    /** The ids of uploads that other tabs own. Each is watched, to hear when its tab ends or crashes. */
    async elsewhere() {
        const locks = navigator.locks ? (await inTime(() => navigator.locks.query(), 'a look at locks')).held ?? [] : [];
        const names = locks.map((lock) => lock.name ?? '').filter((name) => name.startsWith(`${NAME}:`));
        const ids = new Set(names.map((name) => name.slice(NAME.length + 1)));
        for (const id of this.#held.keys()) ids.delete(id);
        for (const id of ids) this.#watch(id);
        return ids;
    }

    /** @param {string} id */
    async #watch(id) {
        if (this.#watched.has(id)) return;
        this.#watched.add(id);
        await navigator.locks.request(`${NAME}:${id}`, { mode: 'shared' }, () => {}).catch(() => {});
        this.#watched.delete(id);
        this.#onChange();
    }
}
