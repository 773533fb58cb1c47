// SPDX-License-Identifier: MIT
/**
 * backend.mjs - the engine behind the border of wasm/README.md, twice: the module in Node, and the
 * native program of host.c under the sanitizers. Both have the methods of web/src/engine.js, as
 * promises.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { loadEngine, readAction, writeEvent } from '../../web/src/engine.js';

/** The module, as a page has it. */
export async function openWasm(path) {
    const engine = await loadEngine(await readFile(path));
    return {
        name: 'wasm',
        tables: engine.tables,
        open: async (options, now) => engine.open(options, now),
        close: async (upload) => engine.close(upload),
        step: async (upload, now, maySend) => engine.step(upload, now, maySend),
        report: async (upload, now, event) => engine.report(upload, now, event),
        progress: async (upload) => engine.progress(upload),
        digest: async (first, second, byte, count) => {
            const hash = engine.hashOpen(first, second);
            engine.hashFeed(hash, Buffer.alloc(count, byte));
            return engine.hashClose(hash);
        },
        end: async () => {},
    };
}

/** host.c as a process; a sanitizer's complaint ends it and fails all calls that follow. */
export async function openNative(path) {
    const host = spawn(path, { stdio: ['pipe', 'pipe', 'pipe'] });
    const asked = [];
    let out = '';
    let complaint = '';
    const ended = new Promise((resolve) => {
        host.on('error', (error) => (complaint += error.message));
        host.on('close', (code) => {
            complaint ||= code ? `exit code ${code}` : '';
            for (const { reject } of asked.splice(0)) reject(new Error(`${path}: ${complaint}`));
            resolve(complaint);
        });
    });
    host.stdin.on('error', () => {}); // of a host that is gone: 'close' tells
    host.stderr.on('data', (text) => (complaint += text));
    host.stdout.setEncoding('utf8').on('data', (text) => {
        out += text;
        for (let end; (end = out.indexOf('\n')) >= 0; out = out.slice(end + 1))
            asked.shift()?.resolve(out.slice(0, end));
    });
    const call = async (...words) => {
        const line = await new Promise((resolve, reject) => {
            if (host.exitCode !== null || host.signalCode) reject(new Error(`${path}: ${complaint}`));
            asked.push({ resolve, reject });
            host.stdin.write(`${words.join(' ')}\n`);
        });
        const answer = JSON.parse(line);
        if (answer.error) throw Object.assign(new Error(answer.error), { code: answer.error });
        return answer;
    };
    const tables = await call('tables');
    return {
        name: 'native',
        tables,
        open: async (options, now) => (await call('open', now, JSON.stringify(options))).upload,
        close: (upload) => call('close', upload),
        step: async (upload, now, maySend) => {
            const { said, text, more } = await call('step', upload, now, maySend ? 1 : 0);
            return readAction(tables, said, text, more);
        },
        report: (upload, now, event) => {
            const { kind, id, value, count, text } = writeEvent(tables, event);
            return call('report', upload, now, kind, id, value, count, `x${Buffer.from(text).toString('hex')}`);
        },
        progress: (upload) => call('progress', upload),
        digest: async (first, second, byte, count) =>
            (await call('digest', first, second, byte, count)).digests.split('\0'),
        end: async () => {
            host.stdin.end();
            const why = await ended;
            if (why) throw new Error(`${path}: ${why}`);
        },
    };
}
