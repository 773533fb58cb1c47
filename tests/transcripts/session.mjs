// SPDX-License-Identifier: MIT
/**
 * session.mjs - one upload under watch. Whatever a transcript or a random world is about, these hold
 * in every step: an id is new, only what is under way is cancelled, no more parts are in flight than
 * allowed, a wait has an end, and each request is signed as S3 will compute it.
 */
import { createHash, createHmac } from 'node:crypto';

export class Mismatch extends Error {}

function demand(condition, message) {
    if (!condition) throw new Mismatch(message);
}

/** Which actions an event ends. */
const ENDS = {
    response: ['request'],
    failed: ['request'],
    hashed: ['hash'],
    unreadable: ['request', 'hash'],
    granted: ['credentials'],
    denied: ['credentials'],
};
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const hmac = (key, data) => createHmac('sha256', key).update(data).digest();

export class Session {
    /** What is under way, by id: the actions. */
    live = new Map();
    /** The last state of each part that a notice named. */
    parts = new Map();
    /**
     * Where the upload and its parts were and went, as the tables in src/README.md have it: "SENDING",
     * "SENDING to LISTING", "SENDING stops", and the classes of errors that it met.
     */
    ways = new Set(['NEW']);
    now;
    maySend = true;
    #engine;
    #upload;
    #file;
    #concurrency;
    #ids = new Set();
    #secrets = new Map();
    #urls = new Set();
    #paused = false;
    #state = 'NEW';
    #aborts = false;
    #offline = false;
    #keep;
    /** The last snapshot, until it is forgotten. @type {string | undefined} */
    saved;
    #before; // the one before
    #unsaved = false; // the last one could not be kept

    static async open(engine, options, file, now) {
        const session = new Session();
        session.now = now;
        session.#engine = engine;
        session.#file = file;
        session.#concurrency = options.concurrency || 8;
        session.#keep = options.keep;
        if (options.keep) session.saved = options.snapshot;
        if (options.credentials) session.#learn(options.credentials);
        session.#upload = await engine.open(options, now);
        return session;
    }

    close() {
        return this.#engine.close(this.#upload);
    }

    progress() {
        return this.#engine.progress(this.#upload);
    }

    async step() {
        const action = await this.#engine.step(this.#upload, this.now, this.maySend);
        switch (action.kind) {
            case 'request':
                this.#begin(action);
                this.#aborts ||= action.request.operation === 'AbortMultipartUpload';
                this.#checkRequest(action.request);
                break;
            case 'hash':
            case 'credentials':
                this.#begin(action);
                break;
            case 'cancel':
                demand(this.live.delete(action.id), `cancels ${action.id}, which is not under way`);
                break;
            case 'notice':
                this.#note(action.notice);
                break;
            case 'wait':
                this.#checkWait(action.untilMs);
                break;
            case 'save':
                this.#checkSnapshot(action.snapshot);
                this.#before = this.saved;
                this.saved = action.snapshot;
                this.#unsaved = false;
                break;
            case 'forget':
                demand(this.saved, 'forgets what it never saved');
                this.saved = undefined;
                break;
            case 'done':
            case 'failed':
                demand(
                    Boolean(this.saved) === Boolean(action.failure?.resumable),
                    `is over, and a snapshot is ${this.saved ? 'left' : 'missing'}`,
                );
                demand(this.live.size === 0, `is over, but ${[...this.live.keys()]} go on`);
                if (action.failure) this.#meet(action.failure.code);
        }
        return action;
    }

    #note({ kind, state, paused, partNumber, partState, code }) {
        if (kind === 'state') {
            this.#state = this.#go(this.#state, state.toUpperCase());
            this.#paused = paused;
            if (paused) this.ways.add(`${this.#state} stops`);
        } else if (kind === 'part') {
            this.#go((this.parts.get(partNumber) ?? 'todo').toUpperCase(), partState.toUpperCase());
            this.parts.set(partNumber, partState);
        }
        this.#meet(code);
    }

    #go(from, to) {
        this.ways.add(to);
        if (from !== to) this.ways.add(`${from} to ${to}`);
        return to;
    }

    #meet(code) {
        const error = this.#engine.tables.errors.find(({ name }) => name === code);
        if (error) this.ways.add(error.retry);
    }

    async report(event) {
        if (event.kind === 'granted') this.#learn(event.document);
        await this.#engine.report(this.#upload, this.now, event);
        if (ENDS[event.kind]?.includes(this.live.get(event.id)?.kind)) this.live.delete(event.id);
        if (event.kind === 'notSaved') {
            this.saved = this.#before;
            this.#unsaved = true;
        }
        if (event.kind === 'pause') this.#paused = true;
        if (event.kind === 'resume' || event.kind === 'abort') this.#paused = false;
        if (event.kind === 'offline') this.#offline = true;
        if (event.kind === 'online') this.#offline = false;
    }

    #begin(action) {
        demand(action.id > 0 && !this.#ids.has(action.id), `gives the id ${action.id} twice`);
        this.#ids.add(action.id);
        this.live.set(action.id, action);
    }

    #checkWait(untilMs) {
        if (untilMs !== undefined)
            demand(untilMs > this.now, `waits for ${this.now - untilMs} ms ago`);
        else if (!this.#paused && !this.#offline && this.maySend)
            demand(this.live.size > 0, 'waits for nothing');
    }

    #checkSnapshot(text) {
        demand(this.#keep, 'saves, and nobody keeps it');
        for (const [id, secrets] of this.#secrets)
            for (const secret of [id, ...secrets])
                demand(!secret || !text.includes(secret), `saves the secret ${secret}`);
        demand(!/signature/i.test(text) && text.length < 4096, 'saves too much');
    }

    /** Whatever S3 is told, a host that is killed now can go on from. */
    #checkSaved({ operation, url }) {
        if (!this.#keep || ['PutObject', 'HeadObject', 'AbortMultipartUpload'].includes(operation)) return;
        if (operation === 'ListParts' && this.#aborts) return; // which confirms it
        if (this.#unsaved) return; // it was told
        demand(this.saved, `${operation} before a snapshot`);
        const { uploadId } = JSON.parse(this.saved);
        const id = new URL(url).searchParams.get('uploadId');
        if (id) demand(uploadId === id, `${operation} before the upload id is kept`);
    }

    /** Remember what a grant allows to sign with. */
    #learn(text) {
        let document;
        try {
            document = JSON.parse(text);
        } catch {
            return; // the engine has to notice
        }
        const creds = document?.Credentials ?? document?.credentials ?? document ?? {};
        const get = (name) => creds[name] ?? creds[name[0].toLowerCase() + name.slice(1)];
        this.#secrets.set(get('AccessKeyId'), [get('SecretAccessKey'), get('SessionToken')]);
        if (document?.url) this.#urls.add(document.url);
    }

    // ---- What S3 will check --------------------------------------------------------------------

    #checkRequest(request) {
        this.#checkSaved(request);
        const inFlight = [...this.live.values()].filter((a) => a.request?.file).length;
        demand(inFlight <= this.#concurrency, `sends ${inFlight} parts at once`);
        demand(new URL(request.url).href === request.url, `a browser changes ${request.url}`);
        const headers = new Map(request.headers);
        demand(headers.size === request.headers.length, 'a header stands twice');
        const authorization = headers.get('authorization');
        if (!authorization) {
            demand(this.#urls.has(request.url), `nobody signed ${request.url}`);
            return;
        }
        const form = /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=(\S+)$/;
        demand(form.test(authorization), authorization);
        const [, credential, names, signature] = form.exec(authorization);
        const [id, date, region, service] = credential.split('/');
        demand(this.#secrets.has(id), `nobody granted ${id}`);
        const [secret, token] = this.#secrets.get(id);
        demand(headers.get('x-amz-security-token') === token, 'another session token');
        const [, host, path, query = ''] = /^https?:\/\/([^/]+)([^?]*)(?:\?(.*))?$/.exec(request.url);
        headers.delete('authorization');
        headers.set('host', host);
        const signed = [...headers.keys()].sort();
        demand(names === signed.join(';'), `signs ${names} of ${signed.join(';')}`);
        this.#checkPayload(request, headers.get('x-amz-content-sha256'));
        const canonical = [
            request.method,
            path,
            query.split('&').filter(Boolean).sort().join('&'),
            ...signed.map((name) => `${name}:${headers.get(name).trim().replace(/\s+/g, ' ')}`),
            '',
            names,
            headers.get('x-amz-content-sha256'),
        ].join('\n');
        const scope = [date, region, service, 'aws4_request'];
        const text = ['AWS4-HMAC-SHA256', headers.get('x-amz-date'), scope.join('/'), sha256(canonical)];
        const key = scope.reduce(hmac, `AWS4${secret}`);
        demand(signature === hmac(key, text.join('\n')).toString('hex'), `does not sign ${canonical}`);
    }

    #checkPayload({ file, text = '' }, stated) {
        if (!file) demand(stated === sha256(text), 'the text has another SHA-256');
        else if (stated !== 'UNSIGNED-PAYLOAD')
            demand(
                stated === this.#file.digest('SHA256', file.offset, file.length).toString('hex'),
                'the body has another SHA-256',
            );
    }
}
