// SPDX-License-Identifier: MIT
/**
 * world.mjs - uploads in random worlds: answers in any order, lost, late, wrong or none at all; a
 * user who pauses and aborts; a network that comes and goes; a host that is killed and goes on from
 * what it kept. S3 is a model of a few lines. Whatever happens, an upload ends, leaves nothing behind
 * that nobody knows of, and what it calls done is the file.
 */
import { File, digestOf } from './digest.mjs';
import { Mismatch, Session } from './session.mjs';

const MiB = 2 ** 20;
const PART = 5 * MiB;
const SIZES = [0, 1, PART, PART + 1, 2 * PART + 7, 5 * PART + 3];
const ALGORITHMS = ['CRC64NVME', 'CRC64NVME', 'CRC32C', 'CRC32', 'SHA256', 'SHA1', 'MD5', 'NONE'];
const START = Date.UTC(2026, 0, 1);
const MOST_STEPS = 3000;

const errorXml = (code, more = '') => `<Error><Code>${code}</Code>${more}</Error>`;
const REFUSALS = [
    [503, 'SlowDown'],
    [500, 'InternalError'],
    [429, 'TooManyRequests'],
    [400, 'RequestTimeout'],
    [502, ''],
    [400, 'ExpiredToken'],
    [403, 'RequestTimeTooSkewed'],
    [400, 'BadDigest'],
    [403, 'AccessDenied'],
];

function demand(condition, message) {
    if (!condition) throw new Mismatch(message);
}

/** Numbers that look random: `random(n)` is below n, `random.one(list)` one of a list. */
function randomFrom(seed) {
    let state = seed;
    const random = (n) => {
        state = (state + 0x9e3779b9) | 0;
        let z = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
        z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
        return ((z ^ (z >>> 16)) >>> 0) % n;
    };
    random.one = (list) => list[random(list.length)];
    return random;
}

/** One bucket with one key. */
class Bucket {
    uploads = new Map();
    object; // {etag, checksum}, or {foreign: true}
    late = 0; // how many Aborts come too early
    #file;
    #algorithm;
    #created = 0;

    constructor(file, algorithm, foreign, states) {
        this.states = states; // does ListParts state checksums?
        this.#file = file;
        this.#algorithm = algorithm === 'NONE' || algorithm === 'MD5' ? undefined : algorithm;
        if (foreign) this.object = { foreign, etag: 'foreign', size: 3, checksum: 'AAAA' };
    }

    #header() {
        return `x-amz-checksum-${this.#algorithm?.toLowerCase()}`;
    }

    /** Do what a request asks; the answer. */
    do(request) {
        const headers = new Map(request.headers);
        const query = new URL(request.url).searchParams;
        const id = query.get('uploadId');
        const upload = this.uploads.get(id);
        const taken = headers.get('if-none-match') === '*' && this.object;
        const missing = { status: 404, body: errorXml('NoSuchUpload') };
        switch (request.operation) {
            case 'CreateMultipartUpload': {
                const created = `U${++this.#created}`;
                this.uploads.set(created, new Map());
                const body = `<UploadId>${created}</UploadId>`;
                return { status: 200, created, body: wrap('InitiateMultipartUpload', body) };
            }
            case 'UploadPart': {
                if (!upload) return missing;
                const part = this.#store(request.file, headers);
                upload.set(Number(query.get('partNumber')), part);
                return { status: 200, headers: this.#facts(part) };
            }
            case 'PutObject':
                if (taken) return { status: 412, body: errorXml('PreconditionFailed') };
                this.object = { ...this.#store(request.file, headers), size: request.file.length };
                return { status: 200, headers: this.#facts(this.object) };
            case 'CompleteMultipartUpload':
                if (!upload) return missing;
                if (taken) return { status: 412, body: errorXml('PreconditionFailed') };
                this.#complete(upload, headers, request.text);
                this.uploads.delete(id);
                return { status: 200, body: this.#result() };
            case 'AbortMultipartUpload':
                // A part in flight arrives just then, and the upload stays.
                if (upload && this.late-- > 0) return { status: 204 };
                return this.uploads.delete(id) ? { status: 204 } : missing;
            case 'ListParts':
                return upload ? { status: 200, body: this.#list(upload, query) } : missing;
            default:
                if (!this.object) return { status: 404 };
                return {
                    status: 200,
                    headers: [...this.#facts(this.object), ['content-length', String(this.object.size)]],
                };
        }
    }

    #store({ offset, length }, headers) {
        const digest = (algorithm) => this.#file.digest(algorithm, offset, length).toString('base64');
        const checksum = this.#algorithm && digest(this.#algorithm);
        demand(headers.get(this.#header()) === checksum, 'a part with another checksum');
        const md5 = headers.get('content-md5');
        demand(!md5 || md5 === digest('MD5'), 'a part with another MD5');
        const etag = this.#file.digest('MD5', offset, length).toString('hex');
        return { etag, checksum, offset, length };
    }

    #facts({ etag, checksum }) {
        return [['etag', `"${etag}"`], ...(checksum ? [[this.#header(), checksum]] : [])];
    }

    #complete(upload, headers, text) {
        const listed = [...text.matchAll(/<Part>.*?<\/Part>/g)].map(([part]) => part);
        let end = 0;
        for (const [index, part] of listed.entries()) {
            const stored = upload.get(index + 1);
            demand(part.includes(`<PartNumber>${index + 1}<`), 'parts out of order');
            demand(part.includes(`"${stored?.etag}"`), `part ${index + 1} is another`);
            demand(!stored.checksum || part.includes(`>${stored.checksum}<`), 'another checksum');
            demand(stored.offset === end, 'a gap');
            end += stored.length;
        }
        const { size } = this.#file;
        demand(end === size && headers.get('x-amz-mp-object-size') === String(size), 'not all parts');
        const etags = listed.map((_, index) => Buffer.from(upload.get(index + 1).etag, 'hex'));
        this.object = {
            etag: `${digestOf('MD5', Buffer.concat(etags)).toString('hex')}-${etags.length}`,
            checksum: this.#algorithm && wholeOf(this.#file, this.#algorithm),
            size,
        };
        const stated = headers.get(this.#header());
        demand(!stated || stated === this.object.checksum, 'another checksum of the whole');
    }

    #result() {
        const { etag, checksum } = this.object;
        const name = `Checksum${this.#algorithm}`;
        const element = checksum ? `<${name}>${checksum}</${name}>` : '';
        return wrap('CompleteMultipartUpload', `<ETag>&quot;${etag}&quot;</ETag>${element}`);
    }

    #list(upload, query) {
        const after = Number(query.get('part-number-marker') ?? 0);
        const numbers = [...upload.keys()].sort((a, b) => a - b).filter((n) => n > after);
        const page = numbers.slice(0, 2);
        const parts = page.map((n) => {
            const { etag, length, checksum } = upload.get(n);
            const name = `Checksum${this.#algorithm}`;
            const stated = this.states && checksum ? `<${name}>${checksum}</${name}>` : '';
            const size = `<Size>${length}</Size>`;
            return `<Part><PartNumber>${n}</PartNumber><ETag>"${etag}"</ETag>${size}${stated}</Part>`;
        });
        const more = `<IsTruncated>${numbers.length > 2}</IsTruncated>`;
        const next = `<NextPartNumberMarker>${page.at(-1) ?? 0}</NextPartNumberMarker>`;
        return wrap('ListParts', more + next + parts.join(''));
    }
}

const wrap = (name, body) => `<${name}Result>${body}</${name}Result>`;

/** What S3 says of an object of parts. */
function wholeOf(file, algorithm) {
    if (file.size <= PART || algorithm.startsWith('CRC')) return file.digest(algorithm).toString('base64');
    const digests = [];
    for (let at = 0; at < file.size; at += PART)
        digests.push(file.digest(algorithm, at, Math.min(PART, file.size - at)));
    return `${digestOf(algorithm, Buffer.concat(digests)).toString('base64')}-${digests.length}`;
}

class World {
    log = [];
    #random;
    #options;
    #file;
    #bucket;
    #session;
    #grants = 0;
    #ends = new Map(); // of credentials, by access key
    #faults; // that are left
    #happened = 0;
    #fatal = false; // did something happen that may well end an upload?
    #leaked = new Set(); // uploads that the engine cannot know of, or could not abort
    #late = []; // requests that were cancelled
    #paused = false;
    #offline = false;
    #warned = false; // that parts may stay
    #crashes;

    constructor(seed) {
        const random = randomFrom(seed);
        const checksum = random.one(ALGORITHMS);
        this.#random = random;
        this.#faults = random(3) ? random(12) : 0;
        this.#crashes = random(2) ? random(4) : 0;
        this.#options = {
            bucket: 'bkt',
            key: 'k',
            size: random.one(SIZES),
            partSize: PART,
            checksum,
            seed,
            concurrency: 1 + random(4),
            overwrite: !random(4),
            patienceMs: random.one([0, 0, 1, 60_000]),
            presignLimit: random(3) ? 0 : PART,
            keep: this.#crashes > 0 || !random(3),
        };
        if (!random(5)) this.#options.endpoint = 'http://s3.example';
        if (random(2)) this.#options.credentials = JSON.stringify(this.#newCredentials());
        this.#file = new File(this.#options.size, 'abcdefg');
        // Whoever presigns a PUT chooses a key that nobody has.
        const late = random(3);
        this.#bucket = new Bucket(this.#file, checksum, !random(8) && !this.#options.presignLimit, random(2));
        this.#bucket.late = late;
    }

    #newCredentials() {
        const accessKeyId = `AKID${++this.#grants}`;
        const now = this.#session?.now ?? START;
        const end = this.#random(3) ? Infinity : now + 1000 + this.#random(60_000);
        this.#ends.set(accessKeyId, end);
        const expiration = end < Infinity ? { expiration: new Date(end).toISOString() } : {};
        return { accessKeyId, secretAccessKey: `secret ${this.#grants}`, ...expiration };
    }

    #fault(oneIn) {
        if (!this.#faults || this.#random(oneIn)) return false;
        this.#faults--;
        this.#happened++;
        return true;
    }

    async run(engine) {
        this.#session = await Session.open(engine, this.#options, this.#file, START);
        try {
            for (let steps = 0; ; steps++) {
                demand(steps < MOST_STEPS, 'no end');
                if (this.#crashes && !this.#random(50) && !(await this.#crash(engine)))
                    return this.#checkLeftovers();
                const action = await this.#session.step();
                if (action.kind !== 'notice' && action.kind !== 'wait') this.#note('>', action);
                if (action.kind === 'notice') this.#warned ||= /may have kept/.test(action.notice.message);
                if (action.kind === 'cancel') this.#cancelled(action.id);
                if (action.kind === 'done') return this.#checkDone(action.receipt);
                if (action.kind === 'failed' && action.failure.resumable && this.#crashes) {
                    demand(await this.#crash(engine), 'is resumable, and nothing was kept');
                    continue;
                }
                if (action.kind === 'failed') return this.#checkFailed(action.failure);
                if (action.kind === 'request') this.#late.push(action);
                if (action.kind === 'wait') await this.#goOn(action.untilMs);
            }
        } finally {
            await this.#session.close();
        }
    }

    /**
     * The host is killed, whatever is under way, and goes on from what it kept. False if that is
     * nothing: then the engine never told S3 of an upload.
     */
    async #crash(engine) {
        this.#crashes--;
        this.#happened++;
        const { now, saved, live } = this.#session;
        this.#note('!', 'killed');
        for (const { request } of live.values())
            if (request && !request.url.includes('X-Amz-Signature') && this.#random(2))
                this.#bucket.do(request);
        const known = saved && JSON.parse(saved).uploadId;
        for (const id of this.#bucket.uploads.keys()) if (id !== known) this.#leaked.add(id);
        if (!saved) return false;
        await this.#session.close();
        this.#late = [];
        this.#paused = this.#offline = false;
        const options = { ...this.#options, snapshot: saved };
        if (this.#random(2)) delete options.credentials;
        this.#session = await Session.open(engine, options, this.#file, now);
        return true;
    }

    #note(mark, what) {
        this.log.push(`${mark} ${JSON.stringify(what).slice(0, 300)}`);
    }

    #report(event) {
        this.#note('<', event);
        return this.#session.report(event);
    }

    /** A request that was cancelled may have arrived all the same, and be answered late. */
    #cancelled(id) {
        const action = this.#late.find((a) => a.id === id);
        if (!action) return;
        demand(action.request.operation !== 'CreateMultipartUpload', 'cancels Create');
        if (this.#random(2)) this.#bucket.do(action.request);
        action.cancelled = true;
    }

    /** The engine waits: something happens. */
    async #goOn(untilMs) {
        const live = [...this.#session.live.values()];
        if (!this.#random(40)) return this.#user();
        const late = this.#late.find((a) => a.cancelled);
        if (late && !this.#random(3)) {
            late.cancelled = false;
            return this.#report({ kind: 'response', id: late.id, status: 500 });
        }
        if (live.length && this.#random(8)) return this.#answer(this.#random.one(live));
        if (untilMs !== undefined) this.#session.now = untilMs;
        else if (this.#paused || this.#offline) await this.#recover();
        else if (live.length) this.#session.now += this.#random(2000);
    }

    async #user() {
        this.#happened++;
        if (!this.#random(6)) {
            this.#fatal = true;
            this.#paused = false;
            return this.#report({ kind: 'abort' });
        }
        if (!this.#random(4)) {
            this.#session.now += this.#random(7200_000);
            return this.#report({ kind: 'woke' });
        }
        if (this.#random(2)) {
            this.#paused = !this.#paused;
            return this.#report({ kind: this.#paused ? 'pause' : 'resume' });
        }
        this.#offline = !this.#offline;
        return this.#report({ kind: this.#offline ? 'offline' : 'online' });
    }

    async #recover() {
        if (this.#paused) await this.#report({ kind: 'resume' });
        if (this.#offline) await this.#report({ kind: 'online' });
        this.#paused = this.#offline = false;
    }

    async #answer(action) {
        const { id, kind } = action;
        if (kind === 'hash') return this.#hashed(action);
        if (kind === 'credentials') return this.#grant(action);
        const { request } = action;
        const aborts = request.operation === 'AbortMultipartUpload';
        const leak = () => {
            if (aborts) this.#leaked.add(new URL(request.url).searchParams.get('uploadId'));
        };
        if (this.#offline || this.#fault(10)) {
            leak();
            return this.#report({ kind: 'failed', id, code: this.#offline ? 'NETWORK' : 'TIMEOUT' });
        }
        const refusal = this.#expired(request) ? [400, 'ExpiredToken'] : this.#refusal(request);
        if (refusal) {
            leak();
            const [status, code] = refusal;
            const time = new Date(this.#session.now + this.#random(7200_000) - 3600_000).toISOString();
            const body = code ? errorXml(code, `<ServerTime>${time}</ServerTime>`) : '<html>no</html>';
            return this.#report({ kind: 'response', id, status, headers: [], body });
        }
        const { status, headers = [], body = '', created } = this.#bucket.do(request);
        const lost = this.#fault(10);
        const broken = !lost && body && status === 200 && this.#fault(10);
        if ((lost || broken) && created) this.#leaked.add(created);
        if (lost) return this.#report({ kind: 'failed', id, code: 'NETWORK' });
        const hidden = this.#fault(10) ? 'etag' : '';
        return this.#report({
            kind: 'response',
            id,
            status,
            headers: headers.filter(([name]) => name !== hidden),
            body: broken ? body.slice(0, this.#random(body.length)) : body,
        });
    }

    #expired(request) {
        const [, id] = /Credential=([^/]+)/.exec(new Map(request.headers).get('authorization')) ?? [];
        return id && this.#ends.get(id) <= this.#session.now;
    }

    #refusal(request) {
        if (!this.#fault(8)) return undefined;
        if (request.operation === 'CompleteMultipartUpload' && this.#random(2))
            return [200, this.#random.one(['InternalError', 'SlowDown', 'Unheard'])];
        const refusal = this.#random.one(REFUSALS);
        if (refusal[1] === 'BadDigest' && !request.file) return REFUSALS[0];
        if (refusal[1] === 'AccessDenied') this.#fatal = true;
        return refusal;
    }

    #hashed({ id, hash: { offset, length, algorithms } }) {
        const names = ALGORITHMS.slice(1); // in the order of their numbers
        const digests = algorithms.map((n) =>
            n ? `${names[n - 1]}:${this.#file.digest(names[n - 1], offset, length).toString('base64')}` : '',
        );
        return this.#report({ kind: 'hashed', id, digests });
    }

    #grant({ id, ask }) {
        if (this.#offline || this.#fault(8))
            return this.#report({ kind: 'denied', id, code: 'NO_CREDENTIALS' });
        if (this.#faults && !this.#random(40)) {
            this.#fatal = true;
            return this.#report({ kind: 'denied', id, code: 'SIGN_IN' });
        }
        const { overwrite, presignLimit, size, credentials, checksum } = this.#options;
        const presigned = !credentials && presignLimit && size <= presignLimit;
        const header = checksum === 'MD5' ? 'content-md5' : `x-amz-checksum-${checksum.toLowerCase()}`;
        const headers = { ...(!overwrite && { 'if-none-match': '*' }) };
        if (ask.checksum) headers[header] = ask.checksum.value;
        const url = `https://bkt.s3.us-east-1.amazonaws.com/k?X-Amz-Signature=${++this.#grants}`;
        const document = presigned ? { uploadType: 'put', url, headers } : this.#newCredentials();
        return this.#report({ kind: 'granted', id, document: JSON.stringify(document) });
    }

    // ---- What must hold in the end -------------------------------------------------------------

    #checkLeftovers() {
        if (this.#warned) return; // that nobody knows
        const { saved } = this.#session;
        const kept = saved && JSON.parse(saved).uploadId;
        const left = [...this.#bucket.uploads.keys()].filter(
            (id) => !this.#leaked.has(id) && id !== kept,
        );
        demand(left.length === 0, `leaves the parts of ${left} behind`);
    }

    #checkDone(receipt) {
        const { size, checksum } = this.#options;
        demand(this.#bucket.object && !this.#bucket.object.foreign, 'done, but S3 has no such object');
        demand(receipt.size === size, `a receipt over ${receipt.size} bytes`);
        if (checksum !== 'NONE')
            demand(receipt.checksum === wholeOf(this.#file, checksum), 'a receipt with another checksum');
        this.#checkLeftovers();
    }

    #checkFailed(failure) {
        this.#checkLeftovers();
        const { object } = this.#bucket;
        // Without a checksum there is no proof that the object is ours.
        const mild = this.#happened < 3 && !this.#fatal && this.#options.checksum !== 'NONE';
        if (mild) demand(object?.foreign && failure.code === 'EXISTS', `fails with ${failure.code}`);
    }
}

/** Run `count` worlds; `test` counts each of them. */
export async function runWorlds(engine, test, count, firstSeed, trace) {
    for (let seed = firstSeed; seed < firstSeed + count; seed++)
        await test(async () => {
            const world = new World(seed);
            try {
                await world.run(engine);
            } catch (error) {
                if (!(error instanceof Mismatch) && !error.code) throw error;
                const last = world.log.slice(-25).map((line) => `\n    ${line}`).join('');
                const place = `a random world (${engine.name}, --runs=1 --seed=${seed})`;
                throw new Mismatch(`${place}: ${error.message}${last}`);
            } finally {
                if (trace) world.log.forEach((line) => trace(line));
            }
        });
}
