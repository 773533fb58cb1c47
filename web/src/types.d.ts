/* SPDX-License-Identifier: MIT
 *
 * types.d.ts - the data types of this folder, for the type checker and for importers of parthaul.
 *
 * First the options and results, then the messages to and from the engine (wasm/README.md), then
 * those between page and worker. There is no code here.
 */

// ---- Options ---------------------------------------------------------------------------------------

/**
 * Destination and properties of the object. Each can be set for all uploads in
 * `new Parthaul(options)`, and for one in `upload(file, options)`. With a credentials API, bucket,
 * key, region and endpoint come from its response.
 */
export interface UploadOptions {
    bucket?: string;
    key?: string;
    /** @default "us-east-1" */
    region?: string;
    /** scheme://host[:port] of a server that is not AWS */
    endpoint?: string;
    /** @default "auto": virtual-hosted-style for AWS, path-style for a custom endpoint */
    addressing?: 'auto' | 'virtual' | 'path';
    dualstack?: boolean;
    accelerate?: boolean;
    /** the file name passed to the credentials API, which chooses the key; @default the file's name */
    name?: string;
    /** @default "CRC64NVME" */
    checksum?: 'CRC64NVME' | 'CRC32C' | 'CRC32' | 'SHA256' | 'SHA1' | 'MD5';
    /** @default "FULL_OBJECT" if the algorithm supports it */
    checksumType?: 'FULL_OBJECT' | 'COMPOSITE';
    /** SHA-256 of each body in the signature; @default "auto": over plain HTTP to another host */
    payload?: 'auto' | 'signed' | 'unsigned';
    /** in bytes; @default 16 to 32 MiB, so that all connections finish together; more for files over 156 GiB */
    partSize?: number;
    /** parts of this file in flight at a time, 1..32; @default 6, and up to 8 while that increases the
     * throughput; never more than `connections` */
    concurrency?: number;
    /** attempts of a request before the upload pauses and probes until S3 responds; @default 8 */
    tries?: number;
    /** how long requests may fail without any success before the upload fails, resumable; @default 0: no limit */
    patienceMs?: number;
    /** rate limit in bytes per second, averaged over several parts; @default 0: no limit */
    maxRate?: number;
    /** background mode: one part at a time, with a pause after each; @default false */
    polite?: boolean;
    /** files up to this size are hashed first, so that a presigned PUT can include the checksum; @default
     * 100 MiB with `api`, else 0: none */
    presignLimit?: number;
    /** overwrite an existing object of the same key; @default false */
    overwrite?: boolean;
    /** user-defined metadata; names without "x-amz-meta-" */
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

/** Options of one file: `upload(file, options)`, `resume(id, file, options)`. */
export interface FileOptions extends UploadOptions {
    /** aborts the upload */
    signal?: AbortSignal;
    /** the handle of the file, if the browser provides one (Chromium): resume() then needs no file */
    handle?: FileSystemFileHandle;
}

export interface ParthaulOptions extends UploadOptions {
    /** store unfinished uploads in this browser, to resume them after a reload or a crash; @default true */
    keep?: boolean;
    /** id of the signed-in user: unfinished() lists only the uploads of this owner */
    owner?: string | (() => string);
    /** ask for confirmation before the page is left while an upload is running; @default false */
    confirmLeave?: boolean;
    /** base URL of the credentials API; with getToken */
    api?: string;
    /** Returns the JWT of the signed-in user. Called whenever credentials are needed; return a fresh one. */
    getToken?: (ask: Ask) => string | Promise<string>;
    /** Instead of `api`: returns credentials in the format of STS, parthaul-api or Uppy Companion. */
    getCredentials?: (ask: Ask) => object | string | Promise<object | string>;
    /** "xhr" reports progress continuously and detects stalls at once; @default "fetch" */
    transport?: 'fetch' | 'xhr';
    /** concurrent requests to S3, over all uploads; @default 6, the limit of browsers for an HTTP/1.1 host */
    connections?: number;
    /** URL of worker.js, if not beside parthaul.js; a TrustedScriptURL under Trusted Types */
    workerUrl?: string | URL | { toString(): string };
    /** URL of parthaul.wasm, if not beside parthaul.js */
    wasmUrl?: string | URL;
    /** URL of parthaul-scalar.wasm, for browsers and processors without WebAssembly SIMD */
    scalarUrl?: string | URL;
}

/** Passed to getToken() and getCredentials(): why credentials are requested, and for which file. */
export interface Ask {
    /** "look": to check the object of `key` with HEAD, after a response was lost */
    why: 'first' | 'expiring' | 'refused' | 'look';
    name?: string;
    contentType?: string;
    size: number;
    /** of the whole file; the value in base64 */
    checksum?: { algorithm: string; value: string };
    /** of the object, once it is known */
    key?: string;
}

// ---- Results ---------------------------------------------------------------------------------------

export interface Progress {
    /** stored by S3 or in flight */
    bytes: number;
    total: number;
    /** 0 to 1, also for an empty file: the value of a progress bar */
    fraction: number;
    /** bytes that S3 has confirmed */
    stored: number;
    /** throughput in bytes per second, over the last seconds */
    speed: number;
    /** absent while unknown */
    secondsLeft?: number;
    partCount: number;
    partsStored: number;
    /** parts being sent */
    inFlight: number;
}

/** The stored object, and how it was verified. */
export interface Receipt {
    bucket: string;
    key: string;
    /** without quotes; absent if CORS hides it */
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
    /** in base64, with the suffix -N if composite */
    checksum?: string;
    /**
     * "object": the server reported the checksum of the whole object, and it matches; "parts": the
     * same for each part; "sent": checksums were sent, but the server did not confirm that it checked
     * them; "size": no checksum was sent, only the size was compared.
     */
    verified: 'object' | 'parts' | 'sent' | 'size';
    /**
     * The server reported success, but its response had no checksum or ETag to verify, and HEAD could
     * not check the object either, or was not sent (PutObject). A warning was given.
     */
    unseen?: true;
    /** features that the server does not support: the codes of the warnings */
    serverLacks?: string[];
    /** number of requests that were retried */
    retries: number;
}

/** The members of an UploadError; parthaul.js documents them. */
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
    /** S3 still has the parts: parthaul.resume(upload.kept) continues the upload */
    resumable?: boolean;
}

/** An unfinished upload, as returned by parthaul.unfinished(). */
export interface Unfinished {
    id: string;
    /** name of the file */
    name: string;
    size: number;
    lastModified: number;
    /** bytes stored by S3 at the time of `savedMs` */
    stored: number;
    begunMs: number;
    savedMs: number;
    /** why it stopped; absent if the page was closed or left */
    failure?: Failure;
    /** in this page or in another tab; absent: it can be resumed */
    running?: 'here' | 'elsewhere';
    /** handle of the file (Chromium), if upload() was given one: resume() then needs no file */
    handle?: FileSystemFileHandle;
}

/** The constants and error names of the engine; JavaScript has no copy of them. */
export interface Tables {
    version: string;
    errors: { name: string; number: number; text: string; retry: string }[];
    states: string[];
    partStates: string[];
    actions: Action['kind'][];
    events: string[];
    notices: Notice['kind'][];
    /** `lanes`: several digests are computed in parallel at little more than the cost of one. */
    algorithms: { name: string; number: number; lanes: boolean }[];
    limits: Record<string, number>;
}

// ---- Between JavaScript and the engine ---------------------------------------------------------------

export interface Request {
    method: string;
    /** the name in the S3 API, such as "UploadPart" */
    operation: string;
    /** to be sent exactly as it is */
    url: string;
    headers: [string, string][];
    /** the body, or: */
    file?: { offset: number; length: number };
    /** the body; neither: it has none */
    text?: string;
    partNumber?: number;
    /** abort the request if no byte was transferred for so long */
    stallMs: number;
    /** abort it if no response came for so long after the body was sent */
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
    /** bytes sent of the parts in flight */
    sent: number;
    stored: number;
    partCount: number;
    partsStored: number;
    inFlight: number;
}

// ---- Between page and worker ---------------------------------------------------------------------------

export interface Config {
    /** of the page's module; the worker refuses another than its own */
    version: string;
    wasmUrl: string;
    scalarUrl: string;
    api?: string;
    connections: number;
    transport: 'fetch' | 'xhr';
    /** whether anything may be stored */
    keep: boolean;
}

/** A record in the browser's database. Never contains a secret. */
export interface Kept extends Omit<Unfinished, 'running'> {
    owner: string;
    /** the API that issued its credentials; '' for getCredentials() */
    api: string;
    snapshot: string;
}

export interface OpenMessage {
    kind: 'open';
    id: number;
    file: Blob;
    options: Record<string, unknown>;
    /** what to store with the snapshot; absent: nothing is stored */
    keep?: Pick<Kept, 'owner' | 'name' | 'handle'>;
    /** the stored upload to resume */
    kept?: string;
    /** only abort it */
    discard?: boolean;
    /** it does not begin before it is resumed */
    paused?: boolean;
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
    /** without a list: it cannot be read */
    | { kind: 'listed'; ask: number; list?: (Unfinished & Pick<Kept, 'owner' | 'api'>)[] }
    | { kind: 'done'; id: number; receipt: Receipt }
    | { kind: 'failed'; id: number; failure: Failure }
    | ({ kind: 'ask'; ask: number; id: number } & Question);

/** What only the page knows: the token or credentials, and whether its policy allows a URL. */
export type Question =
    | { what: 'token' | 'credentials'; about: Ask }
    | { what: 'policy'; about: { url: string } };
