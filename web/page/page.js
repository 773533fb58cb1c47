// SPDX-License-Identifier: MIT
/**
 * page.js - the demo page: files in, rows of progress, receipts out.
 *
 * Everything about uploading is in the module that it imports; the only stand-in is the sign-in,
 * which asks the demo's server for the token that a real site's login would give. Rows are painted
 * at most ten times a second and only those that changed, so thousands of files do no harm.
 */

import { Parthaul } from './parthaul/parthaul.js';

/** @import {Receipt, Unfinished} from './parthaul/types.d.ts' */
/** @typedef {import('./parthaul/parthaul.js').Upload} Upload */

const PAINT_MS = 100;
/** Rows to add before the browser may paint. */
const BATCH = 50;

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);
const list = element('uploads');

/**
 * Show those of some buttons that can be pressed now. Who was at one that goes is led to another, so that
 * the keyboard does not begin at the top of the page again.
 * @param {HTMLElement[]} buttons @param {Record<string, boolean>} possible by class or id
 */
function offer(buttons, possible) {
    const at = buttons.find((button) => button === document.activeElement);
    for (const button of buttons) button.hidden = !possible[button.id || button.className];
    if (at?.hidden) (buttons.find((button) => !button.hidden) ?? element('files')).focus();
}

// ---- Words and numbers ------------------------------------------------------------------------------

const percent = new Intl.NumberFormat('en', { style: 'percent' });
const count = new Intl.NumberFormat('en');
const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'];
const sizes = UNITS.map(
    (unit, i) =>
        new Intl.NumberFormat('en', {
            style: 'unit',
            unit,
            unitDisplay: i ? 'short' : 'long',
            maximumFractionDigits: i > 1 ? 1 : 0,
        }),
);

/** @param {number} bytes */
function size(bytes) {
    const unit = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
    return sizes[unit].format(bytes / 1000 ** unit).replace(' ', '\u00a0'); // on one line
}

/** @param {number | undefined} seconds */
function time(seconds) {
    if (seconds === undefined || !(seconds < 86400 * 30)) return '';
    if (seconds < 60) return `${Math.ceil(seconds)} s left`;
    if (seconds < 3600) return `${Math.ceil(seconds / 60)} min left`;
    return `${Math.floor(seconds / 3600)} h ${Math.ceil((seconds % 3600) / 60)} min left`;
}

/** What a state is called here. @type {Record<string, string>} */
const WORDS = {
    new: 'Waiting',
    creating: 'Starting',
    sending: 'Uploading',
    listing: 'Listing parts in S3',
    verifying: 'Comparing with the parts in S3',
    completing: 'Finishing',
    checking: 'Checking',
    aborting: 'Cancelling',
};

/** Which colour a part's state has. @type {Record<string, string>} */
const COLOURS = {
    todo: 'waiting',
    hashing: 'hashing',
    ready: 'hashing',
    sending: 'sending',
    backoff: 'retrying',
    sent: 'done',
};

/** @type {Record<Receipt["verified"], (receipt: Receipt) => string>} */
const VERIFIED = {
    object: (r) =>
        `Verified by S3: its ${r.algorithm} checksum of the whole object matches the one computed here.`,
    parts: () => 'Verified by S3: its checksum of every part matches the one computed here.',
    sent: () => 'Checksums were sent with the data; the server did not confirm that it checked them.',
    size: () => 'Not verified: no checksum was sent, only the size was compared.',
};

const VOUCHED = ['object', 'parts'];
const UNSEEN = ' The server reported success, but the object could not be checked.';

/** What a server may not know. @type {Record<string, string>} */
const LACKS = {
    LACKS_CHECKSUM: 'checksum headers',
    LACKS_CONTENT_MD5: 'Content-MD5',
    LACKS_IF_NONE_MATCH: 'If-None-Match: an existing object would have been overwritten',
};

// ---- Signing in ---------------------------------------------------------------------------------------

let token = '';
let user = '';
let online = true;

/** @param {string} [text] */
function message(text = '') {
    element('message').textContent = text;
    element('message').hidden = !text;
}

/** @param {string} name the user's, or '' */
function signedIn(name) {
    user = name;
    held.clear();
    showKept();
    element('sign-in').hidden = !!name;
    element('signed-in').hidden = !name;
    element('who').textContent = name;
    element('hint').hidden = !!name;
}

element('sign-in').addEventListener('submit', async (/** @type {Event} */ event) => {
    event.preventDefault();
    const name = element('user').value.trim();
    try {
        const response = await fetch('/demo/token', {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ name }),
        });
        if (!response.ok) throw new Error(`the server answered ${response.status}`);
        token = (await response.json()).token;
        signedIn(name);
        element('files').focus();
        message();
        for (const row of rows) row.signedIn();
    } catch (error) {
        message(`Signing in failed: ${/** @type {Error} */ (error).message}`);
    }
});

element('sign-out').addEventListener('click', () => {
    token = '';
    signedIn('');
    element('user').focus();
});

// ---- Rows -----------------------------------------------------------------------------------------------

/**
 * Each user's engine: what one has begun never goes to another's folder.
 * @type {Map<string, Promise<Parthaul | undefined>>}
 */
const engines = new Map();
/** @type {any} */
let workerUrl;

/** The user's engine, started when it is first wanted; undefined where that fails, which is said. */
function parthaul() {
    const owner = user;
    const engine = engines.get(owner) ?? start(owner);
    engines.set(owner, engine);
    return engine;
}

/** @param {string} owner */
async function start(owner) {
    try {
        const { api } = await (await fetch('/demo/config.json')).json();
        const url = new URL('parthaul/worker.js', import.meta.url).href;
        // A page that demands Trusted Types names the one script that a worker may run.
        workerUrl ??= /** @type {any} */ (globalThis).trustedTypes
            ?.createPolicy('parthaul', { createScriptURL: () => url })
            .createScriptURL('');
        const getToken = () => {
            if (user === owner) return token;
            throw Object.assign(new Error('only who began it can go on with it'), { code: 'SIGN_IN' });
        };
        const parthaul = new Parthaul({
            api,
            getToken,
            owner,
            transport: 'xhr',
            confirmLeave: true,
            workerUrl: workerUrl ?? url,
        });
        parthaul.addEventListener('unfinished', showKeptLater);
        parthaul.addEventListener('network', () => network(parthaul.online));
        parthaul.addEventListener('warning', (event) => message(/** @type {CustomEvent} */ (event).detail.message));
        return parthaul;
    } catch (error) {
        engines.delete(owner);
        message(`The settings of the demo cannot be loaded: ${/** @type {Error} */ (error).message}`);
        return undefined;
    }
}

/** @type {Set<Row>} */
const rows = new Set();
/** @type {Set<Row>} */
const changed = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let painting;

/** @param {Row} row */
function paintLater(row) {
    changed.add(row);
    painting ??= setTimeout(paint, PAINT_MS);
}

function paint() {
    painting = undefined;
    for (const row of changed) row.paint();
    changed.clear();
    overview();
}

// Speed and time left go on to change when nothing moves.
setInterval(() => {
    for (const row of rows) if (row.upload.state === 'sending') paintLater(row);
}, 1000);

/** Pictures are kept for the rows in sight only. */
const inSight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
        const row = byElement.get(target);
        if (!row) continue;
        row.visible = isIntersecting;
        if (row.upload.parts.length) paintLater(row);
    }
});
/** @type {WeakMap<Element, Row>} */
const byElement = new WeakMap();

class Row {
    visible = false;
    warned = '';
    rested = false;
    ended = false;
    /** Whoever clicks twice means it once. */
    busy = false;

    /** @param {Parthaul} parthaul @param {Upload} upload @param {FileSystemFileHandle} [handle] */
    constructor(parthaul, upload, handle) {
        this.parthaul = parthaul;
        this.handle = handle;
        this.user = user;
        this.name = upload.name;
        this.li = element('row').content.firstElementChild.cloneNode(true);
        this.find('.name').textContent = this.name;
        this.find('.name').title = this.name;
        this.find('.size').textContent = size(upload.size);
        this.bar = this.find('progress');
        this.bar.setAttribute('aria-label', this.name);
        this.what = this.find('.what');
        this.rates = this.find('.rate');
        /** @type {HTMLButtonElement[]} */
        this.buttons = [...this.find('.actions').children];
        label(this.buttons, this.name);
        byElement.set(this.li, this);
        inSight.observe(this.li);
        rows.add(this);
        this.upload = upload;
        this.follow(upload);
    }

    /** @param {string} selector @returns {any} */
    find(selector) {
        return this.li.querySelector(selector);
    }

    /** Start again: with what S3 has, if it has anything. */
    async retry() {
        const { kept, file, error } = this.upload;
        if (!error || this.busy) return;
        this.busy = true;
        try {
            if (!this.user) [this.user, this.parthaul] = [user, (await parthaul()) ?? this.parthaul]; // nobody's yet
            const goesOn = error.resumable && kept;
            const { handle } = this;
            this.follow(goesOn ? await this.parthaul.resume(kept, file) : this.parthaul.upload(file, { handle }));
        } catch (refusal) {
            message(`${this.name}: ${/** @type {Error} */ (refusal).message}`);
        }
        this.busy = false;
    }

    /** Let S3 forget what it has. */
    async discard() {
        if (this.busy) return;
        this.busy = true;
        if (await discard(this.parthaul, this.upload.kept ?? '', this.name)) this.remove();
        this.busy = false;
    }

    /** Somebody signed in: what waited for that goes on, if it is the same user. */
    signedIn() {
        if (this.upload.reason?.code === 'SIGN_IN' && this.user === user) this.upload.resume();
    }

    /** @param {Upload} upload */
    follow(upload) {
        this.upload = upload;
        this.ended = this.rested = false;
        this.warned = '';
        this.find('.warning')?.remove();
        const later = () => this.upload === upload && paintLater(this);
        for (const type of ['progress', 'done']) upload.addEventListener(type, later);
        upload.addEventListener('warning', (event) => {
            this.warned = /** @type {CustomEvent} */ (event).detail.message;
        });
        for (const type of ['error', 'state']) {
            upload.addEventListener(type, () => {
                const why = upload.error ?? upload.reason;
                if (why?.code === 'SIGN_IN' && (!user || user === this.user)) {
                    token = '';
                    signedIn('');
                    message(`Sign in again: ${upload.error?.reason ?? upload.reason?.message}`);
                }
                later();
            });
        }
        paintLater(this);
    }

    remove() {
        const next = this.li.nextElementSibling ?? this.li.previousElementSibling;
        (next?.querySelector('.remove:not([hidden])') ?? element('files')).focus();
        inSight.unobserve(this.li);
        this.li.remove();
        rows.delete(this);
        paintLater(this);
        showKeptLater();
    }

    paint() {
        const { upload } = this;
        const { state, paused, error } = upload;
        const data = this.li.dataset;
        data.state = state;
        data.name = this.name;
        data.paused = String(paused);
        data.code = error?.code ?? '';
        data.reason = upload.reason?.code ?? '';
        const { fraction } = upload.progress;
        this.bar.value = fraction;
        this.bar.setAttribute('aria-valuetext', `${percent.format(fraction)}, ${this.words()}`);
        this.what.textContent = this.words();
        this.rates.textContent = upload.ended ? '' : this.rate();
        offer(this.buttons, {
            pause: !upload.ended && !paused && state !== 'aborting',
            resume: !upload.ended && paused,
            cancel: !upload.ended && state !== 'aborting',
            retry: !!error,
            discard: !!error?.resumable && !!upload.kept,
            remove: upload.ended,
        });
        if (this.warned && !this.find('.warning')) {
            const p = document.createElement('p');
            p.className = 'warning';
            p.textContent = this.warned;
            this.li.append(p);
        }
        this.picture();
        if (upload.ended && !this.ended) this.end();
        const { code, message } = upload.reason ?? {};
        if (!code || code === 'SIGN_IN' || this.rested) return; // each look ends a rest, and most begin another
        this.rested = true;
        announce(this.name, `resting, ${message}`);
    }

    words() {
        const { state, paused, error, receipt } = this.upload;
        if (receipt) return VOUCHED.includes(receipt.verified) && !receipt.unseen ? 'Done, verified by S3' : 'Done';
        if (error?.code === 'ABORTED') return 'Cancelled';
        if (error) return `${error.code}: ${error.message}`;
        if (paused) return this.upload.reason ? resting(this.upload.reason) : 'Paused';
        if (!online && state !== 'aborting') return 'Waiting for the network';
        return WORDS[state] ?? state;
    }

    rate() {
        const { bytes, total, fraction, speed, secondsLeft } = this.upload.progress;
        const moving = this.upload.state === 'sending' && !this.upload.paused;
        const parts = [percent.format(fraction), `${size(bytes)} of ${size(total)}`];
        if (moving && speed) parts.push(`${size(speed)}/s`, time(secondsLeft));
        return parts.filter(Boolean).join(' · ');
    }

    /** What is painted once, at the end. */
    end() {
        this.ended = true;
        const { receipt, error } = this.upload;
        announce(this.name, receipt ? 'stored' : error?.code === 'ABORTED' ? 'cancelled' : `failed, ${error?.reason}`);
        if (!receipt) return;
        const { bucket, key, etag = '', checksum = '', algorithm = '', verified } = receipt;
        Object.assign(this.li.dataset, { bucket, key, etag, checksum, algorithm, verified });
        const details = element('receipt').content.firstElementChild.cloneNode(true);
        details.querySelector('summary').textContent = 'Receipt';
        details.addEventListener('toggle', () => fill(details, receipt), { once: true });
        this.li.append(details);
    }

    /** Draw the parts. */
    picture() {
        const { parts } = this.upload;
        let canvas = this.find('.parts');
        const wanted = this.visible && parts.length && !(this.upload.ended && parts.length === 1);
        if (!wanted) {
            canvas?.remove();
            return;
        }
        if (!canvas) {
            canvas = document.createElement('canvas');
            canvas.className = 'parts';
            canvas.setAttribute('role', 'img');
            this.find('.status').after(canvas);
        }
        draw(canvas, parts, this.parthaul.tables?.partStates ?? []);
    }
}

// A page that was left and comes back.
addEventListener('pageshow', () => {
    for (const row of rows) if (row.upload.error?.code === 'CLOSED') row.retry();
});

/** What the buttons of a row do, by their class. @type {Record<string, (row: Row) => void>} */
const ACTIONS = {
    pause: (row) => row.upload.pause(),
    resume: (row) => row.upload.resume(),
    cancel: (row) => row.upload.abort(),
    retry: (row) => row.retry(),
    discard: (row) => row.discard(),
    remove: (row) => row.remove(),
};
list.addEventListener('click', (/** @type {any} */ event) => {
    const row = byElement.get(event.target.closest('li'));
    if (row) ACTIONS[event.target.className]?.(row);
});

/** Why it waits, and until when. @param {{code: string, message: string, untilMs?: number}} reason */
function resting({ code, message, untilMs }) {
    if (code === 'SIGN_IN') return 'Waiting for you to sign in again';
    const time = untilMs && new Date(untilMs).toLocaleTimeString('en-GB');
    return `Waiting for S3: ${message}${time ? `; next attempt at ${time}` : ''}`;
}

/** Say of which file each button is. @param {HTMLButtonElement[]} buttons @param {string} name */
function label(buttons, name) {
    for (const button of buttons) button.setAttribute('aria-label', `${button.textContent} ${name}`);
}

/** A receipt's fields, when somebody opens it. @param {HTMLElement} details @param {Receipt} receipt */
function fill(details, receipt) {
    const fields = {
        Bucket: receipt.bucket,
        Key: receipt.key,
        'Version id': receipt.versionId,
        Size: `${count.format(receipt.size)} bytes`,
        ETag: receipt.etag ?? 'hidden by the server',
        Parts: receipt.partCount ? `${receipt.partCount} × ${+(receipt.partSize / 2 ** 20).toFixed(1)} MiB` : 'one request',
        Checksum: receipt.checksum && `${receipt.checksum} (${receipt.algorithm}, ${receipt.type})`,
        'Server lacks': receipt.serverLacks?.map((code) => LACKS[code] ?? code).join(', '),
        'Sent again': receipt.retries ? `${receipt.retries} requests` : undefined,
    };
    const dl = /** @type {HTMLElement} */ (details.querySelector('dl'));
    for (const [name, value] of Object.entries(fields)) {
        if (!value) continue;
        dl.append(document.createElement('dt'), document.createElement('dd'));
        /** @type {HTMLElement} */ (dl.lastElementChild?.previousElementSibling).textContent = name;
        /** @type {HTMLElement} */ (dl.lastElementChild).textContent = value;
    }
    /** @type {HTMLElement} */ (details.querySelector('.verified')).textContent =
        VERIFIED[receipt.verified](receipt) + (receipt.unseen ? UNSEEN : '');
    const copy = /** @type {HTMLElement} */ (details.querySelector('.copy'));
    copy.addEventListener('click', async () => {
        try {
            await navigator.clipboard.writeText(JSON.stringify(receipt, null, 2));
            copy.textContent = 'Copied';
        } catch {
            copy.textContent = 'The browser does not let it be copied'; // nor is there a clipboard by plain HTTP
        }
        setTimeout(() => (copy.textContent = 'Copy as JSON'), 2000);
    });
}

// ---- What was begun and not finished ---------------------------------------------------------------------

/** @type {Unfinished[]} */
let unfinished = [];
/** Files that another tab has begun, and that go on here when it is closed. @type {Map<string, Coming>} */
const held = new Map();
/** Those whose handle leads to no file any more: the next click lets the user choose. @type {Set<string>} */
const lost = new Set();
/** Those that are just being started again. @type {Set<string>} */
const goingOn = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let showing;
const ago = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

function showKeptLater() {
    showing ??= setTimeout(showKept, PAINT_MS);
}

/** @param {number} time in ms since 1970 */
function since(time) {
    const minutes = Math.round((time - Date.now()) / 60_000);
    if (minutes > -1) return 'just now';
    if (minutes > -60) return ago.format(minutes, 'minute');
    if (minutes > -60 * 36) return ago.format(Math.round(minutes / 60), 'hour');
    return ago.format(Math.round(minutes / 1440), 'day');
}

/** List them, but for those that have a row below. */
async function showKept() {
    clearTimeout(showing);
    showing = undefined;
    const mine = user;
    const worker = token ? await parthaul() : undefined;
    const all = (await worker?.unfinished()) ?? [];
    if (user !== mine) return; // whose own list is on its way
    for (const kept of all) if (lost.has(kept.id)) kept.handle = undefined;
    const shown = new Set([...rows].map(({ upload }) => upload.kept));
    unfinished = all.filter(({ id, running }) => !shown.has(id) && running !== 'here');
    for (const [id, { file, handle }] of held) {
        const kept = all.find((one) => one.id === id);
        if (kept?.running === 'elsewhere') continue;
        held.delete(id);
        goOn(kept ?? { id, name: file.name }, file, handle); // or hear that it ended
    }
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const id = focused?.closest('li')?.id;
    const which = focused?.className;
    element('kept').replaceChildren(...unfinished.map(keptRow));
    element('unfinished').hidden = !unfinished.length;
    if (id && which) element(id)?.querySelector(`.${which}`)?.focus(); // who was there stays there
}

/** @param {Unfinished} kept @returns {HTMLLIElement} */
function keptRow(kept) {
    const li = element('kept-row').content.firstElementChild.cloneNode(true);
    const find = (/** @type {string} */ selector) => li.querySelector(selector);
    const elsewhere = kept.running === 'elsewhere';
    const fraction = kept.size ? kept.stored / kept.size : 0;
    li.id = `kept-${kept.id}`;
    li.dataset.name = kept.name;
    li.dataset.running = kept.running ?? '';
    find('.name').textContent = find('.name').title = kept.name;
    find('.size').textContent = size(kept.size);
    find('progress').value = fraction;
    find('progress').setAttribute('aria-label', kept.name);
    const { failure } = kept;
    const why = failure ? `: ${failure.message}` : '';
    const again = kept.handle ? '' : ', with the same file';
    find('.what').textContent = elsewhere
        ? `Running in another tab${held.has(kept.id) ? '; it goes on here when that one is closed' : ''}`
        : `Stopped ${since(kept.savedMs)}${why}. It can go on${again}.`;
    find('.rate').textContent = `${percent.format(fraction)} · ${size(kept.stored)} of ${size(kept.size)}`;
    const buttons = [find('.go-on'), find('.discard')];
    label(buttons, kept.name);
    for (const button of buttons) button.hidden = elsewhere;
    buttons[0].addEventListener('click', () => (kept.handle ? goOn(kept) : choose(kept)));
    buttons[1].addEventListener('click', async () => {
        const worker = await parthaul();
        if (worker) discard(worker, kept.id, kept.name);
    });
    return li;
}

/** Where the browser kept no way to the file, the user shows it. @param {Unfinished} kept */
function choose(kept) {
    const input = element('again');
    input.onchange = () => {
        const [file] = input.files;
        input.value = '';
        if (file.size === kept.size) goOn(kept, file);
        else message(`${file.name} is another file: ${kept.name} has ${count.format(kept.size)} bytes.`);
    };
    input.click();
}

/** @param {Pick<Unfinished, "id" | "name">} kept @param {File} [file] @param {FileSystemFileHandle} [handle] */
async function goOn(kept, file, handle) {
    const worker = await parthaul();
    if (!worker || goingOn.has(kept.id)) return;
    goingOn.add(kept.id);
    let unread = false;
    try {
        const upload = await worker.resume(kept.id, file, { handle });
        message();
        list.append(new Row(worker, upload, handle).li);
    } catch (error) {
        const { code, message: text, resumable } = /** @type {any} */ (error);
        const here = [...rows].some(({ upload }) => upload.kept === kept.id);
        unread = code === 'NOT_KEPT' && resumable;
        if (file && (unread || (code === 'IN_USE' && !here))) held.set(kept.id, { file, handle });
        else if (code === 'NOT_KEPT' && !unread) announce(kept.name, 'ended in another tab');
        else message(`${kept.name}: ${text}`);
        if (code === 'FILE_NEEDED') lost.add(kept.id);
    }
    goingOn.delete(kept.id);
    if (!unread) showKeptLater(); // else when there is news of it
}

/** @param {Parthaul} parthaul @param {string} id @param {string} name */
async function discard(parthaul, id, name) {
    try {
        await parthaul.discard(id);
        announce(name, 'discarded');
        return true;
    } catch (error) {
        message(`${name} could not be discarded: ${/** @type {Error} */ (error).message}`);
        return false;
    } finally {
        showKeptLater();
    }
}

// ---- The picture of the parts ---------------------------------------------------------------------------

const PICTURE_HEIGHT = 104;

/**
 * How big a cell is: a bar cut in pieces while they fit in one row, then a grid of squares that
 * shrink until all of them fit.
 * @param {number} parts @param {number} width
 */
function cells(parts, width) {
    if (parts * 14 <= width) return { columns: parts, width: width / parts, height: 12, gap: 2 };
    let side = 13;
    const rows = () => Math.ceil(parts / Math.floor(width / side));
    while (side > 2 && rows() * side > PICTURE_HEIGHT) side--;
    return { columns: Math.floor(width / side), width: side, height: side, gap: side > 2 ? 1 : 0 };
}

/** @param {HTMLCanvasElement} canvas @param {Uint8Array} parts @param {string[]} names */
function draw(canvas, parts, names) {
    const style = getComputedStyle(canvas);
    const width = canvas.clientWidth || 300;
    const cell = cells(parts.length, width);
    const height = Math.ceil(parts.length / cell.columns) * cell.height;
    const scale = devicePixelRatio;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    const pixels = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
        [canvas.width, canvas.height] = pixels; // new memory, even if it is the same size
        canvas.style.height = `${height}px`;
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    /** @type {Record<string, number>} */
    const totals = {};
    // By colour, not by place: setting the colour costs more than a rectangle.
    names.forEach((name, state) => {
        context.fillStyle = style.getPropertyValue(`--part-${COLOURS[name]}`);
        for (let i = parts.indexOf(state); i >= 0; i = parts.indexOf(state, i + 1)) {
            const x = (i % cell.columns) * cell.width;
            const y = Math.floor(i / cell.columns) * cell.height;
            context.fillRect(x, y, cell.width - cell.gap, cell.height - Math.min(cell.gap, 1));
            totals[COLOURS[name]] = (totals[COLOURS[name]] ?? 0) + 1;
        }
    });
    const said = Object.entries(totals).map(([name, n]) => `${n} ${name}`);
    canvas.setAttribute('aria-label', `${parts.length} parts: ${said.join(', ')}`);
}

new ResizeObserver(() => {
    for (const row of rows) if (row.visible) paintLater(row);
}).observe(list);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    for (const row of rows) if (row.visible) paintLater(row);
});

// ---- All together -------------------------------------------------------------------------------------

/** What the speed of all together is computed from. @type {{time: number, bytes: number, done: number}[]} */
const samples = [];

/** @param {number} bytes @param {number} done files @param {number} total bytes */
function pace(bytes, done, total) {
    const time = performance.now();
    if (bytes < (samples.at(-1)?.bytes ?? 0)) samples.length = 0; // rows were removed
    samples.push({ time, bytes, done });
    while (samples[0].time < time - 10_000) samples.shift();
    const seconds = (time - samples[0].time) / 1000;
    if (seconds < 1) return { speed: 0, secondsLeft: undefined };
    const speed = (bytes - samples[0].bytes) / seconds;
    const files = (done - samples[0].done) / seconds;
    // Small files cost requests rather than bytes: whatever takes longer.
    const byFiles = files ? (rows.size - done) / files : 0;
    return { speed, secondsLeft: speed ? Math.max((total - bytes) / speed, byFiles) : undefined };
}

function overview() {
    const sums = { done: 0, failed: 0, cancelled: 0, paused: 0, bytes: 0, total: 0 };
    for (const { upload } of rows) {
        const { receipt, error, size } = upload;
        if (error) {
            if (error.code === 'ABORTED') sums.cancelled++;
            else sums.failed++;
            continue;
        }
        if (receipt) sums.done++;
        else if (upload.paused) sums.paused++;
        sums.bytes += receipt ? size : upload.progress.bytes;
        sums.total += size;
    }
    const { done, failed, cancelled, paused, bytes, total } = sums;
    const running = rows.size - done - failed - cancelled;
    const words = [`${count.format(done)} of ${count.format(rows.size)} files done`];
    if (failed) words.push(`${count.format(failed)} failed`);
    if (cancelled) words.push(`${count.format(cancelled)} cancelled`);
    if (total) words.push(`${size(bytes)} of ${size(total)}`);
    const { speed, secondsLeft } = pace(bytes, done, total);
    if (running > paused && speed) words.push(`${size(speed)}/s`, time(secondsLeft));
    element('overview').hidden = !rows.size;
    element('totals').textContent = words.filter(Boolean).join(' · ');
    offer(['pause-all', 'resume-all', 'retry-all', 'clear'].map(element), {
        'pause-all': running > paused,
        'resume-all': paused > 0,
        'retry-all': failed > 0,
        clear: running < rows.size,
    });
    document.title = running ? `${percent.format(total ? bytes / total : 0)} · Parthaul` : 'Parthaul';
}

/** @param {string} id @param {(row: Row) => void} action */
function onAll(id, action) {
    element(id).addEventListener('click', () => {
        for (const row of rows) action(row);
    });
}
onAll('pause-all', (row) => row.upload.ended || row.upload.pause());
onAll('resume-all', (row) => row.upload.paused && row.upload.resume());
onAll('retry-all', (row) => row.upload.error && row.upload.error.code !== 'ABORTED' && row.retry());
onAll('clear', (row) => row.upload.ended && row.remove());

/** What ended since it was last said. @type {{name: string, how: string}[]} */
let news = [];

/** Tell those who cannot see it, in one sentence for many files. @param {string} name @param {string} how */
function announce(name, how) {
    if (news.push({ name, how }) > 1) return;
    setTimeout(() => {
        const by = Map.groupBy ? Map.groupBy(news, (item) => item.how) : new Map([['ended', news]]);
        element('live').textContent = [...by]
            .map(([word, items]) => `${items.length > 1 ? `${items.length} files` : items[0].name}: ${word}`)
            .join('. ');
        news = [];
    }, 1500);
}

// ---- Files come in --------------------------------------------------------------------------------------

/**
 * A handle, where the browser has such, is a way to the file that outlasts the page.
 * @typedef {{file: File, handle?: FileSystemFileHandle}} Coming
 */

/** Whether it is the same one, as far as can be told. @param {any} file a File, or what is kept of one */
const identity = ({ name, size, lastModified }) => [name, size, lastModified].join('/');

/** @type {Promise<void>} */
let adding = Promise.resolve();

/** One after the other: each has to know what the one before has begun. @param {Coming[]} files */
function add(files) {
    adding = adding.then(() => addNow(files)).catch((error) => message(error.message));
}

/**
 * A file that was begun goes on; one that is on its way, or that failed and has a row, is not begun a
 * second time; any other begins.
 * @param {Coming[]} files
 */
async function addNow(files) {
    const worker = await parthaul();
    if (!worker) return;
    if (token) await showKept(); // it may not be known yet what was begun
    const begun = new Map(unfinished.map((kept) => [identity(kept), kept]));
    const here = new Map([...rows].filter((row) => row.user === user).map((row) => [identity(row.upload.file), row]));
    for (let i = 0; i < files.length; i += BATCH) {
        const fragment = document.createDocumentFragment();
        for (const { file, handle } of files.slice(i, i + BATCH)) {
            const kept = begun.get(identity(file));
            const row = here.get(identity(file));
            if (kept?.running) held.set(kept.id, { file, handle });
            else if (kept) await goOn(kept, file, handle);
            else if (row && !row.upload.ended) message(`${file.name} is on its way already.`);
            else if (row?.upload.error?.resumable) row.retry();
            else fragment.append(new Row(worker, worker.upload(file, { handle }), handle).li);
        }
        list.append(fragment);
        showKeptLater();
        await new Promise((resolve) => setTimeout(resolve));
    }
}

element('files').addEventListener('change', (/** @type {any} */ event) => {
    add([...event.target.files].map((file) => ({ file })));
    event.target.value = ''; // the same file can be chosen again
});

/** Chromium's other way to choose files gives handles. */
element('files').addEventListener('click', async (/** @type {Event} */ event) => {
    const { showOpenFilePicker } = /** @type {any} */ (window);
    if (!showOpenFilePicker) return;
    event.preventDefault();
    try {
        /** @type {FileSystemFileHandle[]} */
        const handles = await showOpenFilePicker({ multiple: true });
        add(await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), handle }))));
    } catch (error) {
        const { name, message: text } = /** @type {Error} */ (error);
        if (name !== 'AbortError') message(`The files cannot be read: ${text}`);
    }
});

/** The page takes files wherever they are dropped; else the browser would go to them. */
let inside = 0;
addEventListener('dragenter', () => document.body.classList.toggle('dragging', ++inside > 0));
addEventListener('dragleave', () => document.body.classList.toggle('dragging', --inside > 0));
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', async (event) => {
    event.preventDefault();
    inside = 0;
    document.body.classList.remove('dragging');
    const dropped = [...(event.dataTransfer?.items ?? [])].filter((item) => item.kind === 'file');
    const files = dropped.filter((item) => !item.webkitGetAsEntry()?.isDirectory);
    if (files.length < dropped.length) message('Folders are not taken: choose the files in them.');
    // All are asked for at once: what was dropped is there for as long as this call lasts.
    const coming = files.map((item) => ({
        file: item.getAsFile(),
        handle: /** @type {any} */ (item).getAsFileSystemHandle?.().catch(() => {}),
    }));
    for (const one of coming) one.handle = await one.handle;
    add(/** @type {Coming[]} */ (coming.filter(({ file }) => file)));
});

/** @param {boolean} is */
function network(is) {
    online = is;
    element('offline').hidden = is;
    for (const row of rows) if (!row.upload.ended) paintLater(row);
}
for (const said of ['online', 'offline']) addEventListener(said, () => network(navigator.onLine));
network(navigator.onLine);
