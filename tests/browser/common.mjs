// SPDX-License-Identifier: MIT
// What the tests of the page and those of the faults both need.

import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';

import { work } from './stack.mjs';

export const MiB = 1 << 20;

/** A file of random bytes; the same one for every browser. */
export function makeFile(name, size) {
    const path = `${work}/files/${name}`;
    if (statSync(path, { throwIfNoEntry: false })?.size === size) return path;
    const file = openSync(path, 'w');
    const block = Buffer.alloc(MiB);
    for (let at = 0; at < size; at += MiB) {
        writeSync(file, randomFillSync(block), 0, Math.min(MiB, size - at));
    }
    closeSync(file);
    return path;
}

/** The module on a page, with an input of its own, without the demo's page around. */
export async function openModule(browser, demo) {
    const page = await browser.open(demo.page);
    await loadModule(page);
    return page;
}

/** The same on a page that is there. */
export async function loadModule(page) {
    await page.evaluate(async () => {
        const input = document.createElement('input');
        Object.assign(input, { type: 'file', id: 'own', multiple: true });
        document.body.append(input);
        const url = new URL('parthaul/worker.js', location.href).href;
        const policy = trustedTypes.createPolicy('parthaul', { createScriptURL: () => url });
        window.workerUrl = policy.createScriptURL('');
        window.Parthaul = (await import('/parthaul/parthaul.js')).Parthaul;
        /** Errors do not cross from the page as they are. */
        window.plain = (error) => ({ ...error, name: error.name, message: error.message });
    });
}
