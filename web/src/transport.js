// SPDX-License-Identifier: MIT
/**
 * transport.js - sends one request of the engine, by fetch() or by XMLHttpRequest.
 *
 * Both give the same answer and take the same body: a Blob, which the browser streams from disk
 * itself, so memory stays flat (a body of bytes costs several copies of it). `fetch` is the default;
 * XMLHttpRequest also tells how many bytes are out and so notices at once when none moves any more.
 */

/** @import {Request} from './types.d.ts' */
/** @typedef {{status: number, headers: [string, string][], body: string}} Answer */

/**
 * Resolves with the answer, whatever its status; rejects when there is none. Who aborts the
 * controller finds the reason in its signal: 'TIMEOUT' comes from here.
 * @typedef {(request: Request, body: BodyInit | undefined, controller: AbortController,
 *   onSent: (bytes: number) => void) => Promise<Answer>} Transport
 */

/**
 * The answer that stands for a redirect. Its target is not followed: the signature holds for this
 * host only, and the file is nobody else's business. The engine makes a clear error of it.
 * @type {Answer}
 */
const REDIRECT = { status: 307, headers: [], body: '' };

/** A page's server, which has no navigator, may import what uses this. */
const agent = globalThis.navigator?.userAgent ?? '';
export const CHROMIUM = /Chrom/.test(agent);
export const WEBKIT = /AppleWebKit/.test(agent) && !CHROMIUM;

/** S3's longest answers list a thousand parts. Whoever sends more than this is not S3. */
const LONGEST = 8 << 20;
/** Who takes fewer bytes than this in the time for silence is silent. */
const CREEP = 4096;

/** @param {Request} request @param {string} header */
const has = (request, header) => request.headers.some(([name]) => name === header);

/**
 * An answer's text, unless it has no end.
 * @param {Response} response
 */
export async function textOf(response) {
    // What is packed may be longer than its length says, by far.
    if (!response.body || response.headers.get('content-length') === '0') return '';
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (let left = LONGEST; left >= 0; ) {
        const { done, value } = await reader.read();
        if (done) return text + decoder.decode();
        text += decoder.decode(value, { stream: true });
        left -= value.length;
    }
    reader.cancel().catch(() => {});
    throw new TypeError('the answer is too long');
}

/** @type {Transport} */
export async function viaFetch(request, body, controller) {
    // fetch() does not tell when bytes move or when the body is out: the limit is of the whole.
    const timer = setTimeout(() => controller.abort('TIMEOUT'), Math.min(request.limitMs, 2 ** 31 - 1));
    try {
        const response = await fetch(request.url, {
            method: request.method,
            headers: request.headers,
            body,
            mode: 'cors',
            credentials: 'omit',
            // S3 keeps a PUT's cache-control with the object, and this is the one mode in which no
            // browser adds its own, to If-None-Match neither. Answers are not cached: they are to PUT
            // and POST. Only what could come out of a cache needs no-store.
            cache: request.method === 'GET' || request.method === 'HEAD' ? 'no-store' : 'force-cache',
            redirect: 'manual',
            referrerPolicy: 'no-referrer',
            signal: controller.signal,
        });
        if (response.type === 'opaqueredirect') return REDIRECT;
        return {
            status: response.status,
            headers: [...response.headers],
            body: await textOf(response),
        };
    } finally {
        clearTimeout(timer);
    }
}

/** Whether somebody sent an XMLHttpRequest elsewhere. */
let redirected = false;

/** @type {Transport} */
export function viaXhr(request, body, controller, onSent) {
    const conditional = request.method === 'PUT' && has(request, 'if-none-match');
    // WebKit adds "cache-control: no-cache" to an XMLHttpRequest with If-None-Match, as the standard says
    // and nobody else does, and S3 would keep it. There is no other way to know.
    const marked = WEBKIT && conditional && !has(request, 'cache-control');
    // It follows redirects and asks caches, and nothing can be said against either: what needs no progress
    // goes without it, and so does all that follows when somebody redirects.
    if (marked || redirected || !request.file) return viaFetch(request, body, controller, onSent);
    const xhr = new XMLHttpRequest();
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    /** @param {number} ms */
    const limit = (ms) => {
        clearTimeout(timer);
        timer = setTimeout(() => controller.abort('TIMEOUT'), ms);
    };
    return new Promise((resolve, reject) => {
        xhr.open(request.method, request.url);
        for (const [name, value] of request.headers) xhr.setRequestHeader(name, value);
        let moved = 0;
        xhr.upload.onprogress = ({ loaded }) => {
            if (loaded >= moved + CREEP) {
                moved = loaded;
                limit(request.stallMs);
            }
            onSent(loaded);
        };
        xhr.onprogress = ({ loaded }) => {
            // What was packed Firefox counts as it came.
            if (Math.max(loaded, xhr.responseText.length) <= LONGEST) return;
            reject(new TypeError('the answer is too long')); // first: WebKit calls onload all the same
            xhr.abort();
        };
        xhr.upload.onload = () => limit(request.answerMs);
        xhr.onload = () => {
            const elsewhere = xhr.responseURL !== new URL(request.url).href;
            redirected ||= elsewhere;
            resolve(elsewhere ? REDIRECT : { status: xhr.status, headers: headersOf(xhr), body: xhr.responseText });
        };
        xhr.onerror = xhr.onabort = () => reject(new TypeError('no answer'));
        controller.signal.addEventListener('abort', () => xhr.abort());
        // Until the first byte moves, the request may well be waiting for one of the few connections
        // that the browser allows to a host, and other tabs use them too.
        limit(request.answerMs);
        xhr.send(/** @type {XMLHttpRequestBodyInit | undefined} */ (body));
    }).finally(() => clearTimeout(timer));
}

/** @param {XMLHttpRequest} xhr @returns {[string, string][]} */
function headersOf(xhr) {
    const lines = xhr.getAllResponseHeaders().split('\r\n').filter(Boolean);
    return lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
}
