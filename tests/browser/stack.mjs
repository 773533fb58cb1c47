// SPDX-License-Identifier: MIT
// Starts what the tests need: the whole demo on free ports, a reader of the bucket.

import { execFileSync, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const work = `${root}build/tests/browser`;

const isFree = (port) =>
    new Promise((resolve) => {
        const server = createServer();
        server.once('error', () => resolve(false));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });

/** A port whose ten neighbours are free too, and the one that SeaweedFS puts 10,000 further. */
async function freePort() {
    for (let i = 0; i < 50; i++) {
        const port = 15_000 + Math.floor(Math.random() * 7_000);
        const wanted = [...Array(11).keys(), 10_010].map((offset) => isFree(port + offset));
        if ((await Promise.all(wanted)).every(Boolean)) return port;
    }
    throw new Error('no free ports');
}

const server = (script, ...args) =>
    execFileSync(`${root}tests/servers/${script}`, args, { stdio: ['ignore', 'ignore', 'inherit'] });

/** Start versitygw beside the demo, with an empty bucket for its page. */
async function startStrict(page) {
    const state = `${work}/versitygw`;
    const port = await freePort();
    server('versitygw.sh', 'start', state, String(port));
    execFileSync(`${root}build/venv/bin/python`, [`${root}tests/servers/bucket.py`, state, page]);
    return { state, url: `http://127.0.0.1:${port}`, stop: () => server('versitygw.sh', 'stop', state) };
}

/**
 * Start `make demo`'s servers with an empty bucket; with faults between or without, and another S3
 * for those who have its keys.
 */
export async function startDemo({ faults = false, strict = false } = {}) {
    rmSync(work, { recursive: true, force: true });
    const state = `${work}/demo`;
    mkdirSync(`${work}/files`, { recursive: true });
    const port = await freePort();
    const page = `http://127.0.0.1:${port}`;
    const api = `http://127.0.0.1:${port + 1}`;
    const other = strict && (await startStrict(page));
    const s3 = other ? other.url : `http://127.0.0.1:${port + 2}`;
    const proxy = faults && (await startFaultProxy(api, s3));
    const log = openSync(`${work}/demo.log`, 'w');
    const child = spawn(`${root}tests/setup/demo.sh`, {
        env: {
            ...process.env,
            PORT: String(port),
            STATE: state,
            ...(proxy && { API_URL: proxy.urls[api], S3_URL: proxy.urls[s3] }),
        },
        stdio: ['ignore', 'pipe', log],
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve, reject) => {
        createInterface(child.stdout).on('line', (line) => line.includes('running at') && resolve());
        ended.then((code) => reject(new Error(`demo.sh: ${code}\n${readFileSync(`${work}/demo.log`)}`)));
    });
    return {
        port,
        state,
        page,
        api: proxy ? proxy.urls[api] : api,
        s3,
        s3State: other ? other.state : `${state}/s3`,
        faults: proxy,
        stopS3: () => server('seaweedfs.sh', 'stop', `${state}/s3`),
        startS3: () => server('seaweedfs.sh', 'start', `${state}/s3`, String(port + 2)),
        async stop() {
            child.kill('SIGTERM');
            await ended;
            if (proxy) proxy.stop();
            if (other) other.stop();
        },
    };
}

/** tests/servers/fault_proxy.mjs before these servers. */
async function startFaultProxy(...targets) {
    const child = spawn('node', [`${root}tests/servers/fault_proxy.mjs`, ...targets], {
        stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise((resolve) => createInterface(child.stdout).once('line', resolve));
    const urls = JSON.parse(line);
    const tell = async (path, body) =>
        (await fetch(urls.control + path, { method: 'POST', body: JSON.stringify(body) })).json();
    return {
        urls,
        /** What goes wrong from now on; the log begins anew. */
        rules: (...rules) => tell('/rules', rules),
        /** Reset all connections. */
        cut: () => tell('/cut'),
        log: () => tell('/log'),
        stop: () => child.kill(),
    };
}

/** Make the user's token as the demo's sign-in does, with claims of one's own. */
export function mint(demo, claims) {
    const now = Math.floor(Date.now() / 1000);
    const all = { iss: 'parthaul-demo', aud: 'parthaul', sub: 'alice', iat: now, exp: now + 3600, ...claims };
    const text = [{ alg: 'HS256', typ: 'JWT' }, all]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
    const secret = readFileSync(`${demo.state}/jwt-secret`);
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** An S3 client that is not ours: bucket_reader.py, asked by a line of JSON each. */
export function startReader(demo) {
    const child = spawn(`${root}build/venv/bin/python`, [`${root}tests/browser/bucket_reader.py`, demo.s3State], {
        stdio: ['pipe', 'pipe', 'inherit'],
    });
    const waiting = [];
    createInterface(child.stdout).on('line', (line) => waiting.shift()(JSON.parse(line)));
    return {
        ask: (question) =>
            new Promise((resolve) => {
                waiting.push(resolve);
                child.stdin.write(`${JSON.stringify(question)}\n`);
            }),
        stop: () => child.stdin.end(),
    };
}
