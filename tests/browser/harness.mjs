// SPDX-License-Identifier: MIT
// Runs tests one after the other and says at the end how many passed. Nothing else: what fails
// throws, and the tests that follow run all the same.

const tests = [];

/** @param {string} name @param {() => unknown} run */
export function test(name, run) {
    tests.push({ name, run });
}

/** Run all of them; those whose name contains the first argument of the command line, if there is one. */
export async function runTests() {
    const wanted = process.argv[2] ?? '';
    let passed = 0;
    let failed = 0;
    for (const { name, run } of tests.filter((one) => one.name.includes(wanted))) {
        const begin = performance.now();
        const seconds = () => `${((performance.now() - begin) / 1000).toFixed(1)} s`;
        try {
            await run();
            passed++;
            console.log(`ok    ${name} (${seconds()})`);
        } catch (error) {
            failed++;
            console.log(`FAIL  ${name} (${seconds()})\n${error.stack ?? error}`);
        }
    }
    console.log(`${passed} passed, ${failed} failed`);
    process.exitCode = failed || !passed ? 1 : 0;
}

/** Wait until `probe` gives something true, and give that. */
export async function until(probe, what, limitMs = 30_000) {
    const end = Date.now() + limitMs;
    for (;;) {
        const value = await probe();
        if (value) return value;
        if (Date.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`);
        await sleep(50);
    }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
