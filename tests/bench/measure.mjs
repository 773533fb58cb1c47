// SPDX-License-Identifier: MIT
// What processes cost, as the kernel counts it.

import { readFileSync, readdirSync } from 'node:fs';

const MIB = 2 ** 20;
const TICKS = 100; // a second, in /proc, on every Linux

/** All processes below `root` and itself: pid, CPU seconds, and what kind of Chromium's. */
function tree(root) {
    const children = new Map();
    const found = new Map();
    for (const pid of readdirSync('/proc')) {
        if (!/^\d/.test(pid)) continue;
        try {
            const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
            const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
            found.set(Number(pid), (Number(fields[11]) + Number(fields[12])) / TICKS);
            const parent = Number(fields[1]);
            children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
        } catch {
            // It ended meanwhile.
        }
    }
    const list = [root];
    for (const pid of list) list.push(...(children.get(pid) ?? []));
    return list.map((pid) => ({ pid, cpu: found.get(pid) ?? 0 }));
}

/** CPU seconds that a process and all below it have used. */
export const cpuOf = (root) => tree(root).reduce((sum, { cpu }) => sum + cpu, 0);

/** Watches the memory of a browser while something happens. */
export class MemoryWatch {
    #root;
    #timer;
    #kinds = new Map();
    peak = { tab: 0, browser: 0 };

    constructor(root) {
        this.#root = root;
        this.#measure();
        this.empty = { ...this.peak };
        this.#timer = setInterval(() => this.#measure(), 100);
    }

    /** Memory that belongs to a process, with what it shares with others by intent; no code, no files. */
    #measure() {
        const now = { tab: 0, browser: 0 };
        for (const { pid } of tree(this.#root)) {
            try {
                const kind = this.#kinds.get(pid) ?? readFileSync(`/proc/${pid}/cmdline`, 'utf8');
                this.#kinds.set(pid, kind);
                const status = readFileSync(`/proc/${pid}/status`, 'utf8');
                const field = (name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))?.[1] ?? 0);
                const own = ((field('RssAnon') + field('RssShmem')) * 1024) / MIB;
                now.browser += own;
                if (kind.includes('--type=renderer')) now.tab += own;
            } catch {
                // It ended meanwhile.
            }
        }
        for (const key of Object.keys(now)) this.peak[key] = Math.max(this.peak[key], now[key]);
    }

    /** @returns {{tab: number, browser: number}} MiB above what was there at the beginning, at most */
    stop() {
        clearInterval(this.#timer);
        this.#measure();
        return { tab: this.peak.tab - this.empty.tab, browser: this.peak.browser - this.empty.browser };
    }
}

/** Wait until a browser has nothing left to do from its start. */
export async function settle(root) {
    for (let i = 0; i < 50; i++) {
        const before = cpuOf(root);
        await new Promise((resolve) => setTimeout(resolve, 250));
        if (cpuOf(root) - before <= 0.02) return;
    }
}
