// SPDX-License-Identifier: MIT
/**
 * dialogue.mjs - reads a transcript and plays it: what the engine asks is compared with the lines
 * that begin with ">", and the world's lines ("<", "@", "=") are done. README.md has the format.
 */
import { readFileSync } from 'node:fs';
import { File, digestOf } from './digest.mjs';
import { Mismatch, Session } from './session.mjs';

const START = Date.UTC(2026, 0, 1);
const UNITS = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40, s: 1000, m: 60_000, h: 3_600_000 };
const LONG_TERM = { accessKeyId: 'AKID', secretAccessKey: 'secret' };

// ---- Reading ----------------------------------------------------------------------------------

/** "5M+1", "30s", "-2" */
function number(text) {
    let sum = 0;
    for (const term of text.match(/[+-]?[^+-]+/g) ?? []) {
        const [, n, unit] = /^([+-]?\d+)([KMGTsmh]?)$/.exec(term) ?? [];
        if (!n) throw new Mismatch(`no number: ${text}`);
        sum += Number(n) * (UNITS[unit] ?? 1);
    }
    return sum;
}

const range = (text) => text.split('..').map(number);

/** Words, and those of the form name=value apart. Quotes hold a word together. */
function words(text) {
    const plain = [];
    const named = {};
    for (const token of text.match(/(?:[^\s"]|"[^"]*")+/g) ?? []) {
        const word = token.replaceAll('"', '');
        const at = /^[a-zA-Z][\w. -]*=/.exec(word)?.[0].length;
        if (at) named[word.slice(0, at - 1)] = word.slice(at);
        else plain.push(word);
    }
    return { plain, named };
}

/** The dialogues of a file: each begins with "new", the comment before it is its title. */
export function parse(path, text) {
    const dialogues = [];
    let title;
    let rows = [];
    for (const [index, source] of text.split('\n').entries()) {
        const line = source.trimEnd();
        const at = `${path}:${index + 1}`;
        const dialogue = dialogues.at(-1);
        if (line.startsWith('# row: ')) rows.push(line.slice(7));
        else if (line.startsWith('#')) title ??= line.slice(1).trim();
        if (!line) title = undefined;
        if (!line || line.startsWith('#')) continue;
        if (/^new\b/.test(line)) {
            dialogues.push({ at, title: title ?? path, rows, text: line.slice(4), lines: [] });
            [title, rows] = [undefined, []];
        } else if (dialogue && line.startsWith('* ')) {
            (dialogue.table ??= []).push({ at, words: line.slice(2).match(/"[^"]*"|\S+/g) });
        } else if (!dialogue || !/^[><@=] /.test(line)) {
            throw new Mismatch(`${at}: no line of a transcript: ${line}`);
        } else if (/^[><] {3}/.test(line)) {
            dialogue.lines.at(-1).more.push(line.slice(2).trim());
        } else {
            dialogue.lines.push({ at, mark: line[0], text: line.slice(2).trim(), more: [] });
        }
    }
    return dialogues.flatMap((dialogue) => (dialogue.table ? rowsOf(dialogue) : dialogue));
}

/** A dialogue with a table is played for each row of it, with its words in the place of $1, $2 ... */
function rowsOf({ table, ...dialogue }) {
    return table.map(({ at, words }) => {
        const fill = (text) => text.replace(/\$(\d)/g, (_, n) => words[n - 1].replaceAll('"', ''));
        return {
            ...dialogue,
            at,
            title: `${dialogue.title} (${words.join(' ')})`,
            text: fill(dialogue.text),
            lines: dialogue.lines.map((line) => ({
                ...line,
                text: fill(line.text),
                more: line.more.map(fill),
            })),
        };
    });
}

// ---- Playing ----------------------------------------------------------------------------------

/** An action as a transcript would have it, for the eyes of whom a test failed. */
function show(action, numberOf, now) {
    const pairs = (object = {}) =>
        Object.entries(object).map(([k, v]) => ` ${k}=${/\s/.test(v) ? `"${v}"` : v}`).join('');
    const id = action.id === undefined ? '' : ` ${numberOf(action.id)}`;
    switch (action.kind) {
        case 'request': {
            const { method, url, file, text, headers } = action.request;
            const body = file ? ` body=${file.offset}..${file.offset + file.length}` : '';
            const lines = headers.map(([name, value]) => `\n>   ${name}: ${value}`).join('');
            return `> request${id} ${method} ${url}${body}${lines}${text ? `\n>   text ${text}` : ''}`;
        }
        case 'hash': {
            const { offset, length, partNumber, algorithms } = action.hash;
            return `> hash${id} ${offset}..${offset + length} part=${partNumber ?? '-'} ${algorithms}`;
        }
        case 'credentials':
            return `> credentials${id} ${action.ask.why}${pairs(action.ask)}`;
        case 'save':
            return `> save ${action.snapshot}`;
        case 'wait':
            return `> wait ${action.untilMs === undefined ? 'forever' : action.untilMs - now}`;
        case 'failed':
            return `> failed ${action.failure.code}${pairs(action.failure)}`;
        default:
            return `> ${action.kind}${id}${pairs(action.receipt ?? action.notice)}`;
    }
}

/** What an earlier session would have saved; `resume` is the upload id, "-" before there is one. */
function snapshotOf(options, { resume, version = '1', 'resume-size': size, 'flip-bit': bit }) {
    const algorithm = options.checksum?.toUpperCase() ?? 'CRC64NVME';
    const type = algorithm.startsWith('SHA') ? 'COMPOSITE' : 'FULL_OBJECT';
    const members = {
        parthaul: Number(version),
        name: options.name,
        size: size ? number(size) : options.size,
        bucket: options.bucket,
        key: options.key,
        region: options.region,
        endpoint: options.endpoint,
        addressing: 'auto',
        partSize: options.partSize,
        checksum: algorithm,
        checksumType: ['NONE', 'MD5'].includes(algorithm) ? 'NONE' : type,
        payload: 'auto',
        object: options.object,
        metadata: Object.entries(options.metadata).flat(),
        overwrite: options.overwrite || undefined,
        uploadId: resume === '-' ? undefined : resume,
    };
    const body = JSON.stringify(members).slice(0, -1);
    const check = digestOf('CRC64NVME', Buffer.from(body)).toString('hex');
    const bytes = Buffer.from(`${body},"check":"${check}"}`);
    if (bit) bytes[Number(bit) >> 3] ^= 1 << (Number(bit) & 7);
    return bytes.toString('latin1');
}

class Player {
    #engine;
    #session;
    #options;
    #file;
    #hashes; // are they answered without a word?
    #actions = new Map(); // by their number in the transcript
    #held; // an action that was taken and not yet compared
    #notices = []; // since the world last spoke
    ways = new Set(); // that it went, see session.mjs
    #settled = true; // does the engine wait, as far as the transcript knows?
    #problems = [];

    constructor(engine, trace) {
        this.#engine = engine;
        this.trace = trace;
    }

    async play(dialogue) {
        let line = dialogue;
        try {
            await this.#open(words(this.#fill(dialogue.text)).named, dialogue.lines[0]);
            for (line of dialogue.lines) {
                this.trace?.(`${line.mark} ${line.text}`);
                await this.#line(line);
            }
            await this.#settle();
        } catch (error) {
            if (!(error instanceof Mismatch) && !error.code) throw error;
            const more = (line.more ?? []).map((m) => `\n${line.mark}   ${m}`).join('');
            const what = `${line.mark ?? 'new'} ${line.text}${more}`.replaceAll('\n', '\n        ');
            const why = error.message.replaceAll('\n', '\n        ');
            throw new Mismatch(
                `${line.at} (${this.#engine.name}) ${dialogue.title}\n    at  ${what}\n    got ${why}`,
            );
        } finally {
            await this.#close();
        }
    }

    async #open(given, first) {
        const { size, part, type, hash, credentials, concurrency, tries, patience, seed = '1' } = given;
        const flags = ['overwrite', 'dualstack', 'accelerate', 'keep', 'unattended'];
        const prefixed = (prefix) => {
            const own = Object.entries(given).filter(([name]) => name.startsWith(prefix));
            return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
        };
        const options = {
            bucket: given.bucket ?? 'bkt',
            key: given.key ?? 'k',
            ...Object.fromEntries(flags.map((flag) => [flag, given[flag] === 'yes'])),
            size: number(size),
            seed: number(seed),
            object: prefixed('object.'),
            metadata: prefixed('metadata.'),
        };
        for (const name of ['region', 'endpoint', 'addressing', 'name', 'checksum', 'payload'])
            if (given[name]) options[name] = given[name];
        if (options.bucket === '-') delete options.bucket;
        if (options.key === '-') delete options.key;
        if (type) options.checksumType = type;
        if (part) options.partSize = number(part);
        if (concurrency) options.concurrency = number(concurrency);
        if (given.lacks) options.serverLacks = given.lacks.split(',');
        if (tries) options.tries = number(tries);
        if (given.polite) options.polite = given.polite === 'yes';
        if (given['max-rate']) options.maxRate = number(given['max-rate']);
        if (patience) options.patienceMs = number(patience);
        if (given['presign-limit']) options.presignLimit = number(given['presign-limit']);
        if (credentials !== 'ask') options.credentials = this.#grant(given, START);
        this.#options = options;
        if (given.resume) options.snapshot = snapshotOf(options, given);
        this.#file = new File(options.size);
        this.#hashes = hash !== 'shown';
        try {
            this.#session = await Session.open(this.#engine, options, this.#file, START);
        } catch (error) {
            if (!error.code || first?.text !== `refused ${error.code}`) throw error;
            first.text = ''; // it came as expected
        }
    }

    async #line(line) {
        if (!line.text) return;
        const { plain, named } = words(this.#fill(line.text));
        const more = line.more.map((text) => this.#fill(text));
        if (line.mark === '>') {
            this.#problems = [];
            await this.#expect(plain, named, more);
        } else if (line.mark === '<') {
            const [kind, ...rest] = plain;
            if (!this.#settled && kind !== 'notSaved') await this.#settle();
            for (const event of this.#events(kind, rest, named, more)) {
                this.trace?.(`    ${JSON.stringify(event)}`);
                await this.#session.report(event);
            }
            this.#settled = true; // until it is asked again
            this.#notices = [];
        } else {
            if (plain[0] === 'crash') {
                await this.#crash();
                return;
            }
            if (plain[0] === 'may-send') {
                this.#session.maySend = plain[1] === 'yes';
                return;
            }
            await this.#settle();
            if (line.mark === '=') return this.#compareProgress(plain, named);
            this.#session.now += number(plain[0]);
            this.#notices = [];
        }
    }

    async #close() {
        for (const way of this.#session?.ways ?? []) this.ways.add(way);
        await this.#session?.close();
        this.#session = undefined;
    }

    /** The host is killed, and starts again with what it kept. */
    async #crash() {
        const { now, saved } = this.#session;
        await this.#close();
        [this.#held, this.#notices] = [undefined, []];
        this.#actions.clear();
        const options = { ...this.#options, snapshot: saved };
        this.#session = await Session.open(this.#engine, options, this.#file, now);
    }

    // ---- The engine's lines --------------------------------------------------------------------

    async #step() {
        const action = await this.#session.step();
        this.trace?.(`    ${show(action, (id) => `#${id}`, this.#session.now)}`);
        if (action.kind === 'notice') this.#notices.push(action.notice);
        return action;
    }

    /** The next action that a transcript shows. */
    async #next() {
        for (;;) {
            const action = this.#held ?? (await this.#step());
            this.#held = undefined;
            if (action.kind === 'hash' && this.#hashes)
                await this.#session.report(this.#hashed(action, 'auto'));
            else if (action.kind !== 'notice') return action;
        }
    }

    /** Nothing may be left that the engine wants and the transcript does not say. */
    async #settle() {
        if (!this.#session) return;
        const action = await this.#next();
        this.#held = undefined;
        const over = ['done', 'failed'].includes(action.kind);
        if (action.kind !== 'wait' && !(over && this.ended))
            throw new Mismatch(`what nobody expects: ${this.#show(action)}`);
        this.#settled = true;
    }

    #show(action) {
        const numbers = new Map([...this.#actions].map(([n, { id }]) => [id, n]));
        return show(action, (id) => numbers.get(id) ?? `#${id}`, this.#session.now);
    }

    #same(name, got, wanted) {
        if (String(got ?? '-') !== wanted) this.#problems.push(`${name} is ${got ?? 'missing'}`);
    }

    #sameAll(object, named) {
        for (const [name, wanted] of Object.entries(named)) {
            const got = name === 'checksum' && object[name]?.value ? object[name].value : object[name];
            this.#same(name, got, wanted);
        }
    }

    async #expect([kind, ...rest], named, more) {
        this.#settled = false;
        if (kind === 'notice') return this.#expectNotice(rest, named);
        if (kind === 'refused') throw new Mismatch('an upload that began');
        const action = await this.#next();
        if (action.kind !== kind) throw new Mismatch(this.#show(action));
        const id = action.id && kind !== 'cancel' ? Number(rest.shift()) : 0;
        switch (kind) {
            case 'request':
                this.#compareRequest(action.request, rest, named, more);
                break;
            case 'cancel':
                this.#same('the id', action.id, String(this.#actions.get(Number(rest[0]))?.id));
                break;
            case 'hash': {
                const { offset, length, algorithms, partNumber } = action.hash;
                const names = algorithms.map((n) => this.#algorithm(n)).filter(Boolean).join('+');
                this.#same('the range', `${offset}..${offset + length}`, range(rest[0]).join('..'));
                if (rest[1]) this.#same('the algorithm', names.toLowerCase(), rest[1]);
                this.#sameAll({ part: partNumber }, named);
                break;
            }
            case 'save': {
                const text = more.map((part) => part.replace(/^text /, ''));
                if (text.length) this.#same('the snapshot', action.snapshot, text.join(''));
                this.#sameAll(JSON.parse(action.snapshot), named);
                break;
            }
            case 'credentials':
                this.#same('the reason', action.ask.why, rest[0]);
                this.#sameAll(action.ask, named);
                break;
            case 'wait':
                this.#compareWait(action.untilMs, rest[0]);
                break;
            case 'done':
                this.#sameAll(action.receipt, named);
                break;
            case 'failed':
                this.#same('the code', action.failure.code, rest[0]);
                this.#sameAll(action.failure, named);
        }
        if (this.#problems.length)
            throw new Mismatch(`${this.#show(action)}\n${this.#problems.join('\n')}`);
        this.ended = kind === 'done' || kind === 'failed';
        if (id && this.#actions.has(id)) throw new Mismatch(`the number ${id} is taken`);
        if (id) this.#actions.set(id, action);
    }

    #compareRequest(request, [method, url], { body, ...limits }, more) {
        const headers = new Map(request.headers);
        const { file } = request;
        this.#same('the method', request.method, method);
        const from = url.startsWith('/') ? request.url.indexOf('/', 8) : 0;
        this.#same('the URL', request.url.slice(from), url);
        const got = file && `${file.offset}..${file.offset + file.length}`;
        this.#same('the body', got, body ? range(body).join('..') : '-');
        for (const [name, value] of Object.entries(limits))
            this.#same(name, request[`${name}Ms`], String(number(value)));
        const text = more.filter((line) => line.startsWith('text ')).map((line) => line.slice(5));
        if (text.length) this.#same('the text', request.text, text.join(''));
        for (const line of more) {
            const [, name, value] = /^([a-z0-9-]+): (.*)$/.exec(line) ?? [];
            if (name) this.#same(name, headers.get(name), value);
            else if (line.startsWith('no '))
                for (const absent of line.slice(3).split(/[ ,]+/))
                    this.#same(absent, headers.get(absent), '-');
            else if (/^headers\b/.test(line))
                this.#same('the list of headers', [...headers.keys()].sort().join(' '), line.slice(8));
            else if (line.startsWith('signed by ')) {
                const by = /Credential=([^/]+)/.exec(headers.get('authorization'))?.[1];
                this.#same('the access key', by, line.slice(10));
            } else if (!line.startsWith('text ')) throw new Mismatch(`no such line: ${line}`);
        }
    }

    #compareWait(untilMs, wanted = '') {
        const left = untilMs === undefined ? Infinity : untilMs - this.#session.now;
        const [low, high = low] =
            wanted === 'forever' ? [Infinity] : wanted ? range(wanted) : [0, Infinity];
        if (left < low || left > high) this.#problems.push(`${left} ms`);
        this.#settled = true;
    }

    async #expectNotice([kind, ...rest], { code, part, ...others }) {
        const fits = (n) =>
            n.kind === kind &&
            (code === undefined || n.code === code) &&
            (part === undefined || n.partNumber === Number(part)) &&
            Object.entries(others).every(([name, value]) => String(n[name]) === value) &&
            rest.every((word) => n.message?.includes(word) || word === (n.partState ?? n.state));
        while (!this.#notices.some(fits)) {
            this.#held ??= await this.#step();
            const { kind: got } = this.#held;
            if (got !== 'notice')
                throw new Mismatch(`only ${this.#notices.map((n) => JSON.stringify(n)).join('\n')}`);
            this.#held = undefined;
        }
        this.#notices.splice(0, this.#notices.findIndex(fits) + 1);
    }

    async #compareProgress([state, ...flags], { parts, ...numbers }) {
        const progress = await this.#session.progress();
        this.#problems = [];
        this.#same('the state', progress.state, state);
        this.#same('paused', progress.paused, String(flags.includes('paused')));
        if (parts) {
            const names = parts.split(',').map((_, i) => this.#session.parts.get(i + 1) ?? 'todo');
            this.#same('the list of parts', names.join(','), parts);
        }
        for (const [name, value] of Object.entries(numbers))
            this.#same(name, progress[name], String(number(value)));
        if (this.#problems.length) throw new Mismatch(this.#problems.join('\n'));
    }

    // ---- The world's lines ---------------------------------------------------------------------

    *#events(kind, [which, ...rest], named, more) {
        if (which === undefined || kind === 'notSaved') {
            yield { kind, message: which };
            return;
        }
        for (const n of which.split(',')) {
            const action = this.#actions.get(Number(n)) ?? { id: 1e6 + Number(n) };
            const { id } = action;
            if (kind === 'response') yield this.#response(action, rest, named, more);
            else if (kind === 'ok') yield this.#success(action);
            else if (kind === 'hashed') yield this.#hashed(action, rest[0]);
            else if (kind === 'sent') yield { kind, id, bytes: number(rest[0]) };
            else if (kind === 'granted') yield { kind, id, document: this.#document(rest, named, more) };
            else yield { kind, id, code: rest[0], message: 'says the world' };
        }
    }

    #text(more) {
        const lines = more.filter((line) => /^text\b/.test(line));
        return lines.length ? lines.map((line) => line.slice(5)).join('\n') : undefined;
    }

    #read(file) {
        return this.#fill(readFileSync(new URL(file, import.meta.url), 'utf8'));
    }

    #response({ id, request }, [status, file], { etag, checksum, ...others }, more) {
        const headers = Object.entries(others);
        const { offset = 0, length = 0 } = request?.file ?? {};
        const algorithm = this.#options.checksum?.toUpperCase() ?? 'CRC64NVME';
        if (etag === 'md5') etag = this.#file.digest('MD5', offset, length).toString('hex');
        if (etag) headers.push(['etag', `"${etag}"`]);
        if (checksum) {
            const value = Buffer.from(this.#file.digest(algorithm, offset, length));
            if (checksum === 'other') value[0] ^= 1;
            headers.push([`x-amz-checksum-${algorithm.toLowerCase()}`, value.toString('base64')]);
        }
        for (const line of more) {
            const [, name, value] = /^([a-z0-9-]+): (.*)$/.exec(line) ?? [];
            if (name) headers.push([name, value]);
        }
        const body = this.#text(more) ?? (file ? this.#read(file) : '');
        return { kind: 'response', id, status: Number(status), headers, body };
    }

    /** What S3 answers when all is well. */
    #success(action) {
        const { operation, partNumber } = action.request;
        const algorithm = this.#options.checksum?.toUpperCase() ?? 'CRC64NVME';
        const composite = this.#options.checksumType === 'COMPOSITE' || algorithm.startsWith('SHA');
        const none = algorithm === 'NONE' || algorithm === 'MD5';
        const checksum = none ? {} : { checksum: 'auto' };
        const whole = composite ? '{composite}' : '{whole}';
        const element = none ? '' : `<Checksum${algorithm}>${whole}</Checksum${algorithm}>`;
        const type = composite ? 'COMPOSITE' : 'FULL_OBJECT';
        switch (operation) {
            case 'CreateMultipartUpload':
                return this.#response(action, [200, 'replies/create.xml'], {}, []);
            case 'ListParts': // after Abort
                return this.#response(action, [404, 'replies/no-such-upload.xml'], {}, []);
            case 'UploadPart':
                return this.#response(action, [200], { etag: `e${partNumber}`, ...checksum }, []);
            case 'PutObject':
                return this.#response(action, [200], { etag: 'e', ...checksum }, []);
            case 'CompleteMultipartUpload':
                return this.#response(action, [200], {}, [
                    'text <CompleteMultipartUploadResult><ETag>&quot;e-n&quot;</ETag>' +
                        this.#fill(element) +
                        (none ? '' : `<ChecksumType>${type}</ChecksumType>`) +
                        '</CompleteMultipartUploadResult>',
                ]);
            default:
                return this.#response(action, [204], {}, []);
        }
    }

    #algorithm(number) {
        return this.#engine.tables.algorithms.find((row) => row.number === number)?.name;
    }

    #hashed({ id, hash }, how) {
        const { algorithms = [], offset, length } = hash ?? {}; // none of a request
        const digests = algorithms.map((n) => {
            if (!n) return '';
            const value = Buffer.from(this.#file.digest(this.#algorithm(n), offset, length));
            if (how === 'other') value[0] ^= 1;
            return `${this.#algorithm(n)}:${value.toString('base64')}`;
        });
        return { kind: 'hashed', id, digests };
    }

    #document([file], named, more) {
        return this.#text(more) ?? (file ? this.#read(file) : this.#grant(named, this.#session.now));
    }

    /** A document of credentials: id=, token=, life=, and where the object goes. */
    #grant({ id, token, life, 'server-time': serverTime, ...where }, now) {
        const creds = { ...LONG_TERM };
        if (id) Object.assign(creds, { accessKeyId: id, secretAccessKey: `secret of ${id}` });
        if (token) creds.sessionToken = token;
        if (life) creds.expiration = new Date(now + number(life)).toISOString();
        const document = { credentials: creds };
        if (this.#session)
            for (const name of ['bucket', 'key', 'region', 'endpoint'])
                if (where[name]) document[name] = where[name];
        if (serverTime) document.serverTime = new Date(now + number(serverTime)).toISOString();
        return JSON.stringify(document);
    }

    // ---- What stands for a value ---------------------------------------------------------------

    /** {whole}, {whole:sha256}, {composite}, {part:2}, {time+3600}. */
    #fill(text) {
        return text.replace(/\{(\w+)(?::(\w+))?([+-]\d+)?\}/g, (all, name, which, seconds) => {
            if (name === 'time')
                return new Date(this.#session.now + Number(seconds ?? 0) * 1000).toISOString();
            if (!this.#file) return all;
            const { size } = this.#file;
            const algorithm = this.#options.checksum?.toUpperCase() ?? 'CRC64NVME';
            const step = this.#options.partSize ?? 16 * UNITS.M;
            const part = (n) => {
                const offset = (n - 1) * step;
                return this.#file.digest(algorithm, offset, Math.min(step, size - offset));
            };
            if (name === 'whole')
                return this.#file.digest(which?.toUpperCase() ?? algorithm).toString('base64');
            const count = Math.ceil(size / step);
            const md5 = (n) => this.#file.digest('MD5', (n - 1) * step, Math.min(step, size - (n - 1) * step));
            if (name === 'md5' && which) return md5(Number(which)).toString('hex');
            if (name === 'md5') {
                const all_ = Buffer.concat(Array.from({ length: count }, (_, i) => md5(i + 1)));
                return `${digestOf('MD5', all_).toString('hex')}-${count}`;
            }
            if (name === 'part') return part(Number(which)).toString('base64');
            if (name !== 'composite') return all;
            const all_ = Buffer.concat(Array.from({ length: count }, (_, i) => part(i + 1)));
            return `${digestOf(algorithm, all_).toString('base64')}-${count}`;
        });
    }
}

/** Play a dialogue on an engine, to the ways that it went; throws a Mismatch that says where and what. */
export async function play(engine, dialogue, trace) {
    const player = new Player(engine, trace);
    await player.play(structuredClone(dialogue));
    return player.ways;
}
