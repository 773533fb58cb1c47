// SPDX-License-Identifier: MIT
// Starts what is uploaded to, and what serves the page; each on a free port of loopback.

import { execFileSync, spawn } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from '../../web/node_modules/esbuild/lib/main.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const out = `${root}build/bench`;
const here = `${root}tests/bench`;
/** The dot makes Amplify put it into the path. */
const BUCKET = 'parthaul.bench';

const stops = [];
process.once('exit', () => stops.reverse().forEach((stop) => stop()));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

/** Start a program whose first line of output is its port. */
async function start(command, ...args) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    stops.push(() => child.kill());
    const port = await new Promise((resolve, reject) => {
        createInterface(child.stdout).once('line', resolve);
        child.once('exit', (code) => reject(new Error(`${command} ended with ${code}`)));
    });
    return { pid: child.pid, port: Number(port), endpoint: `http://127.0.0.1:${port}` };
}

const ask = async (server, path) => (await fetch(`${server.endpoint}${path}`)).json().catch(() => ({}));

/** The server that drops everything, and how to reach it: straight, or by a long line. */
export async function startSink() {
    const sink = await start(`${out}/sink`, '0');
    const keys = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'of a sink that looks at none' };
    const common = {
        pids: [sink.pid],
        bucket: BUCKET,
        region: 'us-east-1',
        keys,
        reset: () => ask(sink, '/-/reset'),
        stats: () => ask(sink, '/-/stats'),
    };
    const line = async (...args) => {
        const proxy = await start('/usr/bin/python3', `${here}/line.py`, String(sink.port), ...args);
        const reset = async () => {
            process.kill(proxy.pid, 'SIGUSR1');
            await common.reset();
        };
        return { ...common, reset, endpoint: proxy.endpoint };
    };
    return { direct: { ...common, endpoint: sink.endpoint }, line };
}

const isFree = (port) =>
    new Promise((resolve) => {
        const server = createServer();
        server.once('error', () => resolve(false));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });

/** A real S3 with a bucket that takes anything from our page. */
export async function startSeaweedfs(folder) {
    let port;
    do port = 15_000 + Math.floor(Math.random() * 10_000);
    while (!(await Promise.all([...Array(11).keys(), 10_010].map((k) => isFree(port + k)))).every(Boolean));
    const script = `${root}tests/servers/seaweedfs.sh`;
    mkdirSync(folder, { recursive: true });
    execFileSync(script, ['stop', folder]); // one that was left behind
    execFileSync(script, ['start', folder, String(port)], { stdio: ['ignore', 'ignore', 'inherit'] });
    const stop = () => execFileSync(script, ['stop', folder], { stdio: 'ignore' });
    stops.push(stop);
    execFileSync(`${root}build/venv/bin/python`, [`${here}/bucket.py`, folder, BUCKET]);
    const env = Object.fromEntries(
        readFileSync(`${folder}/env`, 'utf8').trim().split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    return {
        pids: [Number(readFileSync(`${folder}/pid`, 'utf8'))],
        endpoint: env.S3_ENDPOINT,
        bucket: BUCKET,
        region: env.AWS_REGION,
        keys: { accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY },
        stop,
    };
}

// ---- The page -------------------------------------------------------------------------------------

const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
const encode = (text) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt().toString(16).toUpperCase()}`);

/** AWS's signature, version 4, of a string to sign that names this scope. */
function sign({ keys }, scope, text) {
    const key = scope.split('/').reduce(hmac, `AWS4${keys.secretAccessKey}`);
    return hmac(key, text).toString('hex');
}

/** A URL that may be used for an hour: what an application's server would answer to Uppy 5. */
export function presign(server, method, key, query = {}) {
    const { endpoint, bucket, region, keys } = server;
    const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
    const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
    const path = `/${bucket}/${encode(key)}`;
    const parameters = {
        ...query,
        'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
        'X-Amz-Credential': `${keys.accessKeyId}/${scope}`,
        'X-Amz-Date': time,
        'X-Amz-Expires': '3600',
        'X-Amz-SignedHeaders': 'host',
    };
    const pairs = Object.entries(parameters).map(([name, value]) => `${encode(name)}=${encode(value)}`);
    const text = pairs.sort().join('&');
    const host = new URL(endpoint).host;
    const canonical = [method, path, text, `host:${host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
    const digest = createHash('sha256').update(canonical).digest('hex');
    const signature = sign(server, scope, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${digest}`);
    return `${endpoint}${path}?${text}&X-Amz-Signature=${signature}`;
}

/**
 * What a signing server of EvaporateJS's documentation answers. It signs the host without its port,
 * which no server takes whose port is its own: that is put right here.
 */
function signString(server, text, time, canonical) {
    const { host, hostname } = new URL(server.endpoint);
    const right = canonical.replace(`host:${hostname}\n`, `host:${host}\n`);
    const lines = text.split('\n').slice(0, -1);
    lines.push(createHash('sha256').update(right).digest('hex'));
    return sign(server, `${time.slice(0, 8)}/${server.region}/s3/aws4_request`, lines.join('\n'));
}

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.wasm': 'application/wasm' };

/** Bundle the contestants, each with all that it needs. */
export async function bundle(names) {
    await build({
        entryPoints: names.map((name) => `${here}/${name === 'uppy5' ? name : 'contestants'}/${name}.js`),
        outdir: `${out}/contestants`,
        entryNames: '[name]',
        bundle: true,
        minify: true,
        format: 'esm',
        platform: 'browser',
        target: 'chrome110',
        define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
        logLevel: 'error',
    });
}

/** @param {() => object} server which one is uploaded to now: for whom it signs */
export async function startPages(server) {
    const folders = {
        '/contestants/': `${out}/contestants/`,
        '/parthaul/': `${root}web/dist/`,
        '/parthaul-other/': `${process.env.PARTHAUL}/`,
        '/': `${here}/`,
    };
    const pages = createServer(async (request, response) => {
        const { pathname, searchParams } = new URL(request.url, 'http://x');
        const asked = Object.fromEntries(searchParams);
        try {
            if (pathname === '/sign/url') {
                const { method, key, ...query } = asked;
                response.end(presign(server(), method, key, query));
                return;
            }
            if (pathname === '/sign/string') {
                response.end(signString(server(), asked.to_sign, asked.datetime, asked.canonical_request));
                return;
            }
            const start = Object.keys(folders).find((folder) => pathname.startsWith(folder));
            const path = folders[start] + (pathname.slice(start.length) || 'page.html');
            const body = await readFile(path);
            response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'text/plain' });
            response.end(body);
        } catch (error) {
            response.writeHead(existsSync(pathname) ? 500 : 404);
            response.end(String(error));
        }
    });
    await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
    pages.unref();
    return `http://127.0.0.1:${pages.address().port}`;
}
