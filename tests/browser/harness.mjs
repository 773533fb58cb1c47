// SPDX-License-Identifier: MIT
// Runs tests one after the other and says at the end how many passed. Nothing else: what fails
// throws, and the tests that follow run all the same.

const tests = [];
const TEST_LIMIT_MS = 600_000;
/** Only those whose name, with the place before it, has this word. */
const wanted = process.argv[2] ?? '';
let passed = 0;
let failed = 0;

/**
 * @param {string} name @param {() => unknown} run
 * @param {{only?: string, why?: string}} [where] the one place that it runs in, and why
 */
export function test(name, run, where = {}) {
    tests.push({ name, run, ...where });
}

async function runOne(name, run) {
    const begin = performance.now();
    const seconds = () => `${((performance.now() - begin) / 1000).toFixed(1)} s`;
    try {
        await within(Promise.resolve().then(run), 'the end of the test', TEST_LIMIT_MS);
        passed++;
        console.log(`ok    ${name} (${seconds()})`);
    } catch (error) {
        failed++;
        console.log(`FAIL  ${name} (${seconds()})\n${error.stack ?? error}`);
    }
}

function finish() {
    console.log(`${passed} passed, ${failed} failed`);
    process.exitCode = failed || !passed ? 1 : 0;
}

/** Run all of them. */
export async function runTests() {
    for (const { name, run } of tests) if (name.includes(wanted)) await runOne(name, run);
    finish();
}

/**
 * Run all of them in each place: a browser, say.
 * @param {string[]} places
 * @param {{before: (place: string) => unknown, after: () => unknown, finally: () => unknown}} hooks
 */
export async function runIn(places, hooks) {
    try {
        for (const place of places) {
            const here = tests
                .filter(({ only = place }) => only === place)
                .map(({ name, run }) => ({ name: `${place}: ${name}`, run }))
                .filter(({ name }) => name.includes(wanted));
            if (!here.length) continue;
            await hooks.before(place);
            for (const { name, run } of here) await runOne(name, run);
            await hooks.after();
        }
        for (const { name, only, why } of tests) {
            if (only) console.log(`SKIP: ${name}: only in ${only}, ${why}`);
        }
    } finally {
        await hooks.finally();
    }
    finish();
}

/** Wait for a promise, but not for ever. */
export function within(promise, what, limitMs) {
    let timer;
    const late = new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms for ${what}`)), limitMs);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** WebKit's driver says now and then that it cannot read what a script gave: then ask again. */
async function ask(probe) {
    try {
        return await probe();
    } catch (error) {
        if (/Could not parse script result/.test(error.message)) return undefined;
        throw error;
    }
}

/** Wait until `probe` gives something true, and give that. */
export async function until(probe, what, limitMs = 30_000) {
    const end = Date.now() + limitMs;
    for (;;) {
        const value = await ask(probe);
        if (value) return value;
        if (Date.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`);
        await sleep(50);
    }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
