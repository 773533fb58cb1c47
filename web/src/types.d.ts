/* SPDX-License-Identifier: MIT
 *
 * types.d.ts - the data of this folder, for the type checker and for whoever imports parthaul.
 *
 * First what a page gives and gets, then what crosses to the engine (wasm/README.md), then what
 * crosses between page and worker. There is no code here.
 */

// ---- What a page gives -----------------------------------------------------------------------------

/**
 * What an object is given at its start, and where it goes. Each can be set for all uploads in
 * `new Parthaul(options)` and for one in `upload(file, options)`. Bucket, key, region and endpoint
 * come from the credentials API where there is one.
 */
export interface UploadOptions {
    bucket?: string;
    key?: string;
    /** @default "us-east-1" */
    region?: string;
    /** scheme://host[:port] of a server that is not AWS */
    endpoint?: string;
    /** @default "auto": by host name at AWS, by path at an endpoint of one's own */
    addressing?: 'auto' | 'virtual' | 'path';
    dualstack?: boolean;
    accelerate?: boolean;
    /** for whoever chooses the key; @default the file's name */
    name?: string;
    /** @default "CRC64NVME" */
    checksum?: 'CRC64NVME' | 'CRC32C' | 'CRC32' | 'SHA256' | 'SHA1' | 'MD5';
    /** @default "FULL_OBJECT" where the algorithm allows it */
    checksumType?: 'FULL_OBJECT' | 'COMPOSITE';
    /** SHA-256 of each body in the signature; @default "auto": over plain HTTP to another host */
    payload?: 'auto' | 'signed' | 'unsigned';
    /** in bytes; @default 16 to 32 MiB, so that all connections end together; more for files over 156 GiB */
    partSize?: number;
    /** parts of this file at a time, 1..32; @default 6, and up to 8 while that makes it faster; never more
     * than `connections` */
    concurrency?: number;
    /** of one request before the upload rests, which looks again and again whether S3 is there; @default 8 */
    tries?: number;
    /** without any success before an upload that rests fails, resumable; @default 0: for ever */
    patienceMs?: number;
    /** bytes a second at most, on the average of some parts; @default 0: as fast as it goes */
    maxRate?: number;
    /** one part at a time, with a pause after each, for uploads that have time; @default false */
    polite?: boolean;
    /** files up to this size are hashed first, so that a presigned PUT can carry the checksum; @default
     * 100 MiB with `api`, else 0: none */
    presignLimit?: number;
    /** replace an object of the same key; @default false */
    overwrite?: boolean;
    /** names without "x-amz-meta-" */
    metadata?: Record<string, string>;
    object?: {
        /** @default the file's type */
        contentType?: string;
        cacheControl?: string;
        contentDisposition?: string;
        contentEncoding?: string;
        contentLanguage?: string;
        expires?: string;
        tagging?: string;
        storageClass?: string;
        serverSideEncryption?: string;
        sseKmsKeyId?: string;
        sseContext?: string;
        sseBucketKey?: string;
        objectLockMode?: string;
        objectLockRetainUntil?: string;
        objectLockLegalHold?: string;
        acl?: string;
        websiteRedirect?: string;
        expectedBucketOwner?: string;
    };
}

/** Of one file: `upload(file, options)`, `resume(id, file, options)`. */
export interface FileOptions extends UploadOptions {
    /** aborts the upload */
    signal?: AbortSignal;
    /** the file's, where the browser gave one (Chromium): resume() does not need the file then */
    handle?: FileSystemFileHandle;
}

export interface ParthaulOptions extends UploadOptions {
    /** keep unfinished uploads in this browser, to go on after a reload or a crash; @default true */
    keep?: boolean;
    /** whose they are, the signed-in user's id: unfinished() lists nobody else's */
    owner?: string | (() => string);
    /** ask before the page is left while something runs; @default false */
    confirmLeave?: boolean;
    /** base URL of the credentials API; with getToken */
    api?: string;
    /** Gives the signed-in user's JWT. Called whenever credentials are needed: a fresh one is best. */
    getToken?: (ask: Ask) => string | Promise<string>;
    /** Instead of `api`: gives credentials, as STS, our API or Uppy Companion write them. */
    getCredentials?: (ask: Ask) => object | string | Promise<object | string>;
    /** "xhr" tells of every byte that is out, and notices a stall at once; @default "fetch" */
    transport?: 'fetch' | 'xhr';
    /** to S3 at a time, over all uploads; @default 6, as many as browsers open to an HTTP/1.1 host */
    connections?: number;
    /** where worker.js is, if not beside parthaul.js; a TrustedScriptURL under Trusted Types */
    workerUrl?: string | URL | { toString(): string };
    /** where parthaul.wasm is, if not beside parthaul.js */
    wasmUrl?: string | URL;
    /** the same of parthaul-scalar.wasm, for browsers and processors without WebAssembly's SIMD */
    scalarUrl?: string | URL;
}

/** Why credentials are asked for, and what a giver may want to know. */
export interface Ask {
    why: 'first' | 'expiring' | 'refused' | 'look';
    name?: string;
    contentType?: string;
    size: number;
    /** of the whole file, in base64 */
    checksum?: { algorithm: string; value: string };
    /** that is being written, once it is known */
    key?: string;
}

// ---- What a page gets ------------------------------------------------------------------------------

export interface Progress {
    /** stored by S3 or on their way */
    bytes: number;
    total: number;
    /** 0 to 1, of an empty file too: what a progress bar shows */
    fraction: number;
    /** bytes that S3 has confirmed */
    stored: number;
    /** in bytes a second, over the last seconds */
    speed: number;
    /** absent while nobody can tell */
    secondsLeft?: number;
    partCount: number;
    partsStored: number;
    /** parts being sent */
    inFlight: number;
}

/** What S3 has now, and how sure that is. */
export interface Receipt {
    bucket: string;
    key: string;
    /** without quotes; absent when the server hides it */
    etag?: string;
    versionId?: string;
    /** absent for a single PutObject */
    uploadId?: string;
    size: number;
    partSize: number;
    /** 0 for a single PutObject */
    partCount: number;
    /** as "CRC64NVME" */
    algorithm?: string;
    type?: 'FULL_OBJECT' | 'COMPOSITE';
    /** in base64, with -N where composite */
    checksum?: string;
    /**
     * "object": the server stated the whole object's checksum, and it is ours; "parts": each part's;
     * "sent": checksums were sent, the server did not say that it looked; "size": none was sent.
     */
    verified: 'object' | 'parts' | 'sent' | 'size';
    /**
     * the server said that it made the object, stated nothing that shows it, and nobody could look; a warning
     * said so
     */
    unseen?: true;
    /** what the server does not know and the upload had to do without: codes of its warnings */
    serverLacks?: string[];
    /** requests that had to be sent again */
    retries: number;
}

/** What an UploadError is made of; parthaul.js says what its members mean. */
export interface Failure {
    code: string;
    message: string;
    status?: number;
    operation?: string;
    s3Code?: string;
    requestId?: string;
    hostId?: string;
    partNumber?: number;
    tries?: number;
    retryable?: boolean;
    /** S3 has its parts still: parthaul.resume(upload.kept) goes on */
    resumable?: boolean;
}

/** An upload that has not ended, as parthaul.unfinished() lists it. */
export interface Unfinished {
    id: string;
    /** of the file */
    name: string;
    size: number;
    lastModified: number;
    /** bytes that S3 had when it was last noted */
    stored: number;
    begunMs: number;
    savedMs: number;
    /** why it stopped, if it was not for the page's end */
    failure?: Failure;
    /** in this page or in another tab; absent: resume() can go on with it */
    running?: 'here' | 'elsewhere';
    /** of the file (Chromium), if upload() was given one: resume() needs no file then */
    handle?: FileSystemFileHandle;
}

/** The engine's constants and error names: JavaScript has no copy of them. */
export interface Tables {
    version: string;
    errors: { name: string; number: number; text: string; retry: string }[];
    states: string[];
    partStates: string[];
    actions: Action['kind'][];
    events: string[];
    notices: Notice['kind'][];
    /** `lanes`: several digests at once cost little more than one. */
    algorithms: { name: string; number: number; lanes: boolean }[];
    limits: Record<string, number>;
}

// ---- Between JavaScript and the engine ---------------------------------------------------------------

export interface Request {
    method: string;
    /** S3's name, as "UploadPart" */
    operation: string;
    /** what goes on the wire, to the byte */
    url: string;
    headers: [string, string][];
    /** the body, or: */
    file?: { offset: number; length: number };
    /** the body; neither: it has none */
    text?: string;
    partNumber?: number;
    /** give up when no byte moved for so long */
    stallMs: number;
    /** give up when the body is out and no answer came for so long */
    answerMs: number;
    limitMs: number;
}

export interface HashJob {
    offset: number;
    length: number;
    partNumber?: number;
    algorithms: [number, number];
}

export interface Notice {
    kind: 'state' | 'part' | 'retry' | 'warning';
    state?: string;
    paused?: boolean;
    partNumber?: number;
    partState?: string;
    code?: string;
    untilMs?: number;
    message?: string;
}

export type Action =
    | { kind: 'request'; id: number; request: Request }
    | { kind: 'cancel'; id: number }
    | { kind: 'hash'; id: number; hash: HashJob }
    | { kind: 'credentials'; id: number; ask: Ask }
    | { kind: 'notice'; notice: Notice }
    | { kind: 'save'; snapshot: string }
    | { kind: 'forget' }
    | { kind: 'wait'; untilMs?: number }
    | { kind: 'done'; receipt: Receipt }
    | { kind: 'failed'; failure: Failure };

export type ActionOf<K extends Action['kind']> = Extract<Action, { kind: K }>;

export type EngineEvent =
    | { kind: 'response'; id: number; status: number; headers: [string, string][]; body: string }
    | { kind: 'failed'; id: number; code: string }
    | { kind: 'sent'; id: number; bytes: number }
    | { kind: 'hashed'; id: number; digests: string[] }
    | { kind: 'unreadable'; id: number; code: string }
    | { kind: 'granted'; id: number; document: string }
    | { kind: 'denied'; id: number; code: string; message: string }
    | { kind: 'notSaved'; message?: string }
    | { kind: 'pause' | 'resume' | 'abort' | 'online' | 'offline' | 'woke' };

export interface EngineProgress {
    state: string;
    paused: boolean;
    size: number;
    /** bytes of the parts in flight that are out */
    sent: number;
    stored: number;
    partCount: number;
    partsStored: number;
    inFlight: number;
}

// ---- Between page and worker ---------------------------------------------------------------------------

export interface Config {
    wasmUrl: string;
    scalarUrl: string;
    api?: string;
    connections: number;
    transport: 'fetch' | 'xhr';
    /** whether anything may be written down */
    keep: boolean;
}

/** What lies in the browser's database. Never a secret. */
export interface Kept extends Omit<Unfinished, 'running'> {
    owner: string;
    /** whose credentials it had; '' for getCredentials() */
    api: string;
    snapshot: string;
}

export interface OpenMessage {
    kind: 'open';
    id: number;
    file: Blob;
    options: Record<string, unknown>;
    /** what to keep beside the snapshot; absent: nothing is kept */
    keep?: Pick<Kept, 'owner' | 'name' | 'handle'>;
    /** the kept upload to go on with */
    kept?: string;
    /** only to give it up */
    discard?: boolean;
}

export interface AnswerMessage {
    kind: 'answer';
    ask: number;
    value?: string;
    code?: string;
    message?: string;
}

export type ToWorker =
    | { kind: 'start'; config: Config }
    | OpenMessage
    | AnswerMessage
    | { kind: 'list'; ask: number }
    | { kind: 'network'; online: boolean }
    | { kind: 'ping' }
    | { kind: 'pause' | 'resume' | 'abort'; id: number };

/** What happened to an upload since the last update; `parts` is index, state, index, state, ... */
export interface Update {
    id: number;
    progress: EngineProgress;
    parts: number[];
    notices: Notice[];
}

export type FromWorker =
    | { kind: 'ready'; tables: Tables }
    | { kind: 'pong' }
    | { kind: 'crashed'; message: string; code?: string }
    | { kind: 'updates'; updates: Update[] }
    | { kind: 'kept'; id: number; kept?: string }
    | { kind: 'changed' }
    | { kind: 'network'; online: boolean }
    | { kind: 'listed'; ask: number; list: (Unfinished & Pick<Kept, 'owner' | 'api'>)[] }
    | { kind: 'done'; id: number; receipt: Receipt }
    | { kind: 'failed'; id: number; failure: Failure }
    | ({ kind: 'ask'; ask: number; id: number } & Question);

/** What only the page knows: who its user is, and what its policy says of a URL. */
export type Question =
    | { what: 'token' | 'credentials'; about: Ask }
    | { what: 'policy'; about: { url: string } };
