// SPDX-License-Identifier: MIT
// Stands between a client and real servers, and does to single requests what it is told:
//
//   node fault_proxy.mjs URL...     a port of its own before each; prints them as one line of JSON,
//                                   {"control": "http://...", "URL": "http://...", ...}
//
// Requests pass as they are, Host and all, so what is signed for the port here stays valid. The port
// `control` takes what goes wrong, and says what came:
//
//   POST /rules   a list of rules, instead of those before; the log begins anew
//   POST /cut     resets every connection there is
//   GET  /log     what came since: [{"operation", "part", "key", "date", "rule", "status", "bytes"}, ...];
//                 `date` is the one that was signed
//
// A rule says which requests it means; the first that means one and is not used up counts:
//
//   operation        UploadPart, Complete, Preflight, "GET /v1/credentials", ...; "*" for any. Without
//                    it, all but preflights
//   part             its number
//   keyOlderThanMs   the access key was first seen so long ago; whoever asks the API for credentials
//                    gets a new one in this sense
//   skip, times      not the first ones; how many (1), 0 for all
//
// and what shall happen to them. On the way there:
//
//   delayMs          it waits before it is passed on
//   bytesPerSecond   its body passes at this pace
//   flipAt           a bit of this byte of the body is another
//   afterBytes       so much of the body passes, then ...
//   then             ... "drop" (the connection ends), "reset" or "stall"
//   answer           {status, headers, body}: what the server would have said, but it is not asked
//   blankMiB         an answer in its place, of so many MiB of blanks
//
// On the way back:
//
//   lose             the server did it, but nobody learns of it
//   hideHeaders      a page may not read these
//   hidden           no page may read anything of it
//   replace          [regular expression, text]: in the body of the answer
//   closes           it is whole, and then the connection ends, which nobody was told of
//   cutAt            so many bytes of the body, then the connection ends

import { createServer, request as ask, Agent } from 'node:http';
import { Readable, Transform } from 'node:stream';

let rules = [];
let log = [];
const sockets = new Set();
const keysSince = new Map();
const agent = new Agent({ keepAlive: false }); // no connection that the server has just given up

/** What a request is, in S3's words where it has some. */
function describe(request) {
    const url = new URL(request.url, 'http://host');
    const query = url.searchParams;
    const { method } = request;
    const key = decodeURIComponent(url.pathname);
    const part = Number(query.get('partNumber') ?? 0);
    const operation = () => {
        if (method === 'OPTIONS') return 'Preflight';
        if (url.pathname.startsWith('/v1/')) return `${method} ${url.pathname}`;
        if (part) return 'UploadPart';
        if (query.has('uploads')) return 'Create';
        if (query.has('uploadId')) return { POST: 'Complete', DELETE: 'Abort', GET: 'ListParts' }[method];
        return { PUT: 'PutObject', HEAD: 'Head', GET: 'Get' }[method] ?? method;
    };
    if (url.pathname === '/v1/credentials') keysSince.clear();
    const credential = request.headers.authorization ?? url.search;
    const [, accessKey] = credential.match(/Credential=([^/%]+)/) ?? [];
    if (accessKey && !keysSince.has(accessKey)) keysSince.set(accessKey, Date.now());
    return { operation: operation(), part, key, accessKey, date: request.headers['x-amz-date'] };
}

function ruleFor({ operation, part, accessKey }) {
    for (const rule of rules) {
        const wanted = rule.operation ?? (operation === 'Preflight' ? '' : operation);
        if (wanted !== '*' && wanted !== operation) continue;
        if (rule.part && rule.part !== part) continue;
        const age = Date.now() - (keysSince.get(accessKey) ?? Infinity);
        if (rule.keyOlderThanMs && !(age > rule.keyOlderThanMs)) continue;
        if (rule.skip-- > 0 || (rule.times ?? 1) < 0) continue;
        if (rule.times === 0) return rule;
        rule.times = (rule.times ?? 1) - 1 || -1;
        return rule;
    }
    return {};
}

/** The body as it goes on: slower, changed, or not all of it. */
function throughBody(rule, entry, socket) {
    let at = 0;
    const begin = Date.now();
    return new Transform({
        transform(chunk, _, done) {
            const limit = rule.then ? rule.afterBytes ?? 0 : Infinity;
            let piece = chunk.subarray(0, Math.max(0, limit - at));
            if (rule.flipAt >= at && rule.flipAt < at + piece.length) {
                piece = Buffer.from(piece);
                piece[rule.flipAt - at] ^= 1;
            }
            at += piece.length;
            entry.bytes = at;
            if (piece.length) this.push(piece);
            if (at >= limit) {
                // A stalled one neither takes more nor ends.
                if (rule.then === 'reset') socket.resetAndDestroy();
                else if (rule.then === 'drop') socket.destroy();
                return;
            }
            const dueMs = rule.bytesPerSecond ? (at / rule.bytesPerSecond) * 1000 : 0;
            setTimeout(done, Math.max(0, begin + dueMs - Date.now()));
        },
    });
}

/** What a page needs to be allowed to read an answer. */
const readable = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };

async function handle(target, request, response) {
    const entry = { ...describe(request), bytes: 0, status: 0 };
    const rule = ruleFor(entry);
    log.push(entry);
    delete entry.accessKey;
    if (rules.includes(rule)) entry.rule = rules.indexOf(rule);
    if (rule.delayMs) await new Promise((resolve) => setTimeout(resolve, rule.delayMs));
    const { socket } = request;
    if (rule.then && !rule.afterBytes) {
        if (rule.then === 'reset') socket.resetAndDestroy();
        else if (rule.then === 'drop') socket.destroy();
        return;
    }
    if (rule.answer) {
        for await (const chunk of request) entry.bytes += chunk.length;
        const { status, headers, body = '' } = rule.answer;
        entry.status = status;
        response.writeHead(status, { ...(rule.hidden ? {} : readable), ...headers }).end(body);
        return;
    }
    if (rule.blankMiB) {
        for await (const chunk of request) entry.bytes += chunk.length;
        entry.status = 200;
        response.writeHead(200, readable);
        const blank = Buffer.alloc(1 << 20, ' ');
        const blanks = function* () {
            for (let i = 0; i < rule.blankMiB; i++) yield blank;
        };
        Readable.from(blanks()).pipe(response);
        return;
    }
    const onward = ask(target + request.url, {
        method: request.method,
        headers: request.rawHeaders,
        setHost: false,
        agent,
    });
    onward.on('error', () => socket.destroy());
    response.on('close', () => response.writableFinished || onward.destroy());
    onward.on('response', (answer) => {
        entry.status = answer.statusCode;
        back(rule, answer, response, socket).catch(() => socket.destroy());
    });
    request.pipe(throughBody(rule, entry, socket)).pipe(onward);
}

async function back(rule, answer, response, socket) {
    if (rule.lose) {
        answer.resume();
        socket.destroy();
        return;
    }
    const headers = { ...answer.headers };
    const exposed = 'access-control-expose-headers';
    if (rule.hidden) {
        for (const name of Object.keys(headers)) if (name.startsWith('access-control-')) delete headers[name];
    }
    if (rule.hideHeaders && headers[exposed]) {
        const names = headers[exposed].split(/ *, */);
        headers[exposed] = names.filter((name) => !rule.hideHeaders.includes(name.toLowerCase())).join(', ');
    }
    if (!rule.replace && rule.cutAt === undefined) {
        response.writeHead(answer.statusCode, headers);
        answer.pipe(response);
        if (rule.closes) response.on('finish', () => socket.destroySoon());
        return;
    }
    let body = Buffer.concat(await all(answer));
    if (rule.replace) {
        const [pattern, text] = rule.replace;
        body = Buffer.from(body.toString().replace(new RegExp(pattern, 'gs'), text));
    }
    delete headers['transfer-encoding'];
    response.writeHead(answer.statusCode, { ...headers, 'content-length': body.length });
    if (rule.cutAt === undefined) response.end(body);
    else response.write(body.subarray(0, rule.cutAt), () => socket.destroy());
}

async function all(stream) {
    const pieces = [];
    for await (const piece of stream) pieces.push(piece);
    return pieces;
}

async function control(request, response) {
    const body = Buffer.concat(await all(request)).toString();
    if (request.url === '/rules') {
        rules = JSON.parse(body);
        log = [];
    }
    if (request.url === '/cut') for (const socket of sockets) socket.resetAndDestroy();
    response.end(JSON.stringify(request.url === '/log' ? log : null));
}

async function listen(handler) {
    const server = createServer(handler);
    server.keepAliveTimeout = 0; // a browser's next request may be on its way
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return [server, `http://127.0.0.1:${server.address().port}`];
}

const places = {};
for (const target of process.argv.slice(2)) {
    const [server, url] = await listen((request, response) => handle(target, request, response));
    server.on('connection', (socket) => {
        sockets.add(socket);
        socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    });
    places[target] = url;
}
console.log(JSON.stringify({ control: (await listen(control))[1], ...places }));
