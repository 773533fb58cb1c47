// Serves the demo page on loopback, and stands in for the sign-in that a real site has.
//
//   GET  /                  web/page        (the page)
//   GET  /parthaul/...      web/dist        (the modules and the .wasm)
//   GET  /demo/config.json  {"api": "..."}  where the credentials API is
//   POST /demo/token        {"name": "alice"} -> {"token": "..."}, a JWT for whoever asks
//
// Settings come from the environment: PORT, PARTHAUL_API, S3_ENDPOINT, JWT_SECRET_FILE, JWT_ISSUER,
// JWT_AUDIENCE.

import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

const { PORT, PARTHAUL_API, S3_ENDPOINT, JWT_SECRET_FILE, JWT_ISSUER, JWT_AUDIENCE } = process.env;
const web = fileURLToPath(new URL('../../web/', import.meta.url));
const secret = readFileSync(JWT_SECRET_FILE);
const hosts = [`127.0.0.1:${PORT}`, `localhost:${PORT}`];
const TOKEN_SECONDS = 12 * 3600;

const types = {
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.map': 'application/json',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.ts': 'text/plain; charset=utf-8',
    '.wasm': 'application/wasm',
};

// The policy that a site should have. The worker's script carries it too: a worker obeys its own.
const headers = {
    'content-security-policy': [
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        `connect-src 'self' ${PARTHAUL_API} ${S3_ENDPOINT}`,
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        'trusted-types parthaul',
    ].join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-cache',
};

const base64url = (data) => Buffer.from(data).toString('base64url');

function mint(name) {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: JWT_ISSUER, aud: JWT_AUDIENCE, sub: name, iat: now, exp: now + TOKEN_SECONDS };
    const signed =
        `${base64url(JSON.stringify({ alg: 'HS256', typ: 'JWT' }))}.${base64url(JSON.stringify(claims))}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

async function bodyOf(request, limit = 4096) {
    const pieces = [];
    let size = 0;
    for await (const piece of request) {
        if ((size += piece.length) > limit) return '';
        pieces.push(piece);
    }
    return Buffer.concat(pieces).toString();
}

async function token(request) {
    // A page from elsewhere can send JSON here only after asking, and nobody answers that question.
    if (!request.headers['content-type']?.startsWith('application/json')) return { status: 415 };
    let name;
    try {
        ({ name } = JSON.parse(await bodyOf(request)));
    } catch {
        // not JSON: no name
    }
    if (typeof name !== 'string' || !name.trim() || name.length > 64) {
        return { status: 400, json: { message: 'A name of 1 to 64 characters is needed.' } };
    }
    return { status: 200, json: { token: mint(name.trim()) } };
}

// Only plain names can be asked for, so no path leads out of the two folders.
async function file(path) {
    const [, folder, rest] = path.match(/^\/(parthaul\/)?((?:\w[\w.-]*\/)*(?:\w[\w.-]*)?)$/) ?? [];
    if (rest === undefined) return { status: 404 };
    const name = rest === '' && !folder ? 'index.html' : rest;
    try {
        const body = await readFile(`${web}${folder ? 'dist' : 'page'}/${name}`);
        return { status: 200, body, type: types[extname(name)] ?? 'application/octet-stream' };
    } catch {
        return { status: 404 };
    }
}

async function answer(request) {
    const { method, url } = request;
    const path = url.split('?', 1)[0];
    // Another name for this machine would make this page another site's (DNS rebinding).
    if (!hosts.includes(request.headers.host)) return { status: 421 };
    if (method === 'POST' && path === '/demo/token') return token(request);
    if (method !== 'GET' && method !== 'HEAD') return { status: 405 };
    if (path === '/demo/config.json') return { status: 200, json: { api: PARTHAUL_API } };
    return file(path);
}

const server = createServer(async (request, response) => {
    const { status, json, body, type } = await answer(request);
    const content = json ? JSON.stringify(json) : (body ?? (status === 200 ? '' : `${status}\n`));
    response.writeHead(status, {
        ...headers,
        'content-type': json ? 'application/json' : (type ?? 'text/plain; charset=utf-8'),
        'content-length': Buffer.byteLength(content),
    });
    response.end(request.method === 'HEAD' ? undefined : content);
});
server.listen(Number(PORT), '127.0.0.1');
