// SPDX-License-Identifier: MIT
// Makes build/bench/report.md and its plots of what is in build/bench/results. Runs at the end of
// `make bench`, and alone: node tests/bench/report.mjs

import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { plot } from './plot.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const out = `${root}build/bench`;
const MIB = 2 ** 20;

/** What a contestant is called, and whether it checks that S3 has what the file has. */
const NAMES = {
    floor: ['the floor', 'nothing'],
    read: ['one read of the file', 'nothing'],
    parthaul: ['Parthaul', 'CRC64NVME of parts and whole'],
    'parthaul-other': ['Parthaul, other', 'CRC64NVME of parts and whole'],
    'parthaul-xhr': ['Parthaul, XHR', 'CRC64NVME of parts and whole'],
    uppy: ['Uppy 6', 'nothing'],
    uppy5: ['Uppy 5', 'nothing'],
    'lib-storage': ['lib-storage', 'CRC32 of parts'],
    'lib-storage-crc64': ['lib-storage, CRC64', 'CRC64NVME of parts'],
    evaporate: ['EvaporateJS', 'MD5 of parts'],
    amplify: ['Amplify', 'nothing (size, by HEAD)'],
    'amplify-crc32': ['Amplify, CRC32', 'CRC32 of parts and whole'],
};

const TITLES = [
    [/^sink-(\d+)-equal/, (m) => `${size(m[1])}, straight to the sink, parts of 16 MiB, 6 at a time`],
    [/^sink-(\d+)-own/, (m) => `${size(m[1])}, straight to the sink, each at its own defaults`],
    [/^sink-small/, () => '1,000 files of 100 KiB, straight to the sink, 6 at a time'],
    [/^seaweedfs-(\d+)/, (m) => `${size(m[1])} to SeaweedFS on the same machine, parts of 16 MiB, 6 at a time`],
    [/^line-(\d+)-equal/, (m) => `${size(m[1])} by a long line: 20 Mbit/s a connection, 80 ms; parts of 16 MiB, 6 at a time`],
    [/^line-(\d+)-own/, (m) => `${size(m[1])} by a long line: 20 Mbit/s a connection, 80 ms; each at its own defaults`],
    [/^drop-(\d+)/, (m) => `${size(m[1])} by the long line, which loses all connections after 10 s and then every 30 s`],
];

const size = (mib) => (mib >= 1024 ? `${mib / 1024} GiB` : `${mib} MiB`);
const titleOf = (name) => {
    for (const [pattern, title] of TITLES) {
        const match = name.match(pattern);
        if (match) return title(match);
    }
    return name;
};

/** Median, least and most of one figure of the runs that ended well. */
function of(runs, figure) {
    const values = runs.filter((run) => !run.error).map(figure).filter(Number.isFinite).sort((a, b) => a - b);
    if (!values.length) return undefined;
    const middle = values.length >> 1;
    const median = values.length % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    return { median, min: values[0], max: values.at(-1) };
}

const number = (value, digits) => (value === undefined ? '-' : value.toFixed(digits));
const spread = (value, digits) =>
    value ? `${number(value.median, digits)} (${number(value.min, digits)}-${number(value.max, digits)})` : '-';
const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, lines) => [row(head), row(head.map((_, i) => (i ? '---:' : '---'))), ...lines.map(row)].join('\n');

/** One case: its table, its plot, what has to be said. */
function section({ name, runs, begin, size: bytes, machine }) {
    const title = titleOf(name);
    const figures = Object.entries(runs).map(([who, list]) => ({
        who,
        list,
        wall: of(list, (run) => run.seconds),
        cpu: of(list, (run) => run.cpu),
        tab: of(list, (run) => run.tabMib),
        browser: of(list, (run) => run.browserMib),
        blocked: of(list, (run) => run.blockedMs),
        requests: of(list, (run) => run.requests),
        serverCpu: of(list, (run) => run.serverCpu),
        sent: of(list, (run) => run.sent / bytes),
    }));
    const get = (who) => figures.find((one) => one.who === who);
    const floor = get('floor');
    const read = get('read');
    const ratio = (value, base) => (value && base ? (value.median / base.median).toFixed(2) : '-');
    const isLine = /^(line|drop)/.test(name);
    // What six connections of such a line need for the bytes; and for a round trip before the answer of each request
    // too, preflights among them, which no page gets around.
    const allowed = (one, requests) =>
        one.wall ? `${(((bytes / (20e6 / 8) + requests * 0.08) / 6 / one.wall.median) * 100).toFixed(1)} %` : '-';

    const head = ['', 'wall, s', ...(isLine ? ['of what 6 connections allow', 'and a round trip for each request'] : []), 'x floor', 'CPU of the browser, s',
        'x floor', 'tab, MiB', 'browser, MiB', 'longest task, ms', 'requests', 'sent / size', 'runs'];
    const lines = figures.map((one) => {
        const failed = one.list.filter((run) => run.error);
        const count = `${one.list.length - failed.length}${failed.length ? ` + ${failed.length} failed` : ''}`;
        return [NAMES[one.who]?.[0] ?? one.who, spread(one.wall, 2), ...(isLine ? [allowed(one, 0), allowed(one, one.requests?.median)] : []),
            ratio(one.wall, floor?.wall), spread(one.cpu, 2), ratio(one.cpu, floor?.cpu), spread(one.tab, 0), spread(one.browser, 0),
            one.blocked?.max ? number(one.blocked.max, 0) : one.blocked ? 'under 50' : '-', number(one.requests?.median, 0),
            number(one.sent?.median, 2), count];
    });

    const notes = [];
    for (const { who, list } of figures) {
        const error = list.find((run) => run.error)?.error;
        if (error) notes.push(`- ${NAMES[who]?.[0] ?? who} failed: \`${error.replace(/[\s`]+/g, ' ').slice(0, 300)}\``);
    }
    if (floor?.cpu && read?.cpu) {
        const least = (figure) => floor[figure].median + read[figure].median;
        for (const who of ['parthaul', 'parthaul-xhr']) {
            const one = get(who);
            if (!one?.cpu) continue;
            notes.push(`- ${NAMES[who][0]}: CPU ${(one.cpu.median / least('cpu')).toFixed(2)} x, wall ` +
                `${(one.wall.median / least('wall')).toFixed(2)} x (the floor + one read of the file).`);
        }
    }
    if (floor?.serverCpu && name.startsWith('sink')) {
        const share = (floor.serverCpu.median / floor.wall.median) * 100;
        notes.push(`- The sink used ${number(floor.serverCpu.median, 2)} s of CPU under the floor, ${share.toFixed(0)} % of one core: it is not what holds anybody up.`);
    }

    const panels = ['wall, s', 'CPU of the browser, s', 'memory of the tab, MiB'];
    const drawn = figures.filter(({ who, list }) => who !== 'read' && list.length);
    const rows = drawn.map(({ who, wall, cpu, tab }) => ({
        label: NAMES[who]?.[0] ?? who,
        kind: who.startsWith('parthaul') ? 'ours' : who === 'floor' ? 'floor' : 'other',
        values: [wall, cpu, tab],
    }));
    writeFileSync(`${out}/${name}.svg`, plot(title, rows, panels));
    return [`## ${title}`, '', `![${title}](${name}.svg)`, '', table(head, lines), '', ...notes, notes.length ? '' : '',
        `Begun ${begin.slice(0, 16).replace('T', ' ')} UTC, commit ${machine.commit}.`, ''].join('\n');
}

function commandLine({ server, size: bytes, begin, runs, versions }) {
    const lines = Object.entries(runs).map(([name, list]) => {
        const failed = list.find((run) => run.error);
        return [name.replace(' =', ', 16 MiB x 6'), spread(of(list, (run) => run.seconds), 2), spread(of(list, (run) => run.cpu), 2),
            spread(of(list, (run) => run.memoryMib), 0), failed ? `failed: ${failed.error.replace(/[\s`|]+/g, ' ').slice(0, 120)}` : list.length];
    });
    return [`## The command line: ${size(bytes / MIB)} to ${server}`, '', table(['', 'wall, s', 'CPU, s', 'memory, MiB', 'runs'], lines), '',
        `${Object.values(versions).join('; ')}. Begun ${begin.slice(0, 16).replace('T', ' ')} UTC.`, ''].join('\n');
}

const load = (path) => JSON.parse(readFileSync(path, 'utf8'));

export function report() {
    const order = TITLES.map(([pattern]) => pattern);
    const rank = (name) => order.findIndex((pattern) => pattern.test(name)) * 1e5 + Number(name.match(/\d+/)?.[0] ?? 0);
    const names = readdirSync(`${out}/results`).map((file) => file.replace('.json', ''));
    const cases = names.filter((name) => !name.startsWith('cli')).sort((a, b) => rank(a) - rank(b));
    const records = cases.map((name) => load(`${out}/results/${name}.json`));
    if (!records.length) return;
    const { machine, settings, files } = records[0];
    const checked = Object.keys(NAMES).slice(2).filter((who) => records.some(({ runs }) => runs[who]));
    const packages = load(`${root}tests/bench/package-lock.json`).packages;
    const versions = Object.entries(packages)
        .filter(([path]) => /^(uppy5\/)?node_modules\/(@uppy\/aws-s3|@aws-sdk\/lib-storage|@aws-amplify\/storage|evaporate)$/.test(path))
        .map(([path, { version }]) => `${path.replace(/.*node_modules\//, '')} ${version}`);
    const parts = [
        '# Uploaders side by side',
        '',
        `\`make bench\` on ${machine.cpu}, ${machine.memory}, ${machine.kernel}; ${machine.chromium}, headless, a fresh one for each run.`,
        `Beside Parthaul ${machine.commit}: ${versions.join(', ')}.`,
        `Files of random bytes in ${files.replace(/\/[^/]*$/, '')}, given to an \`<input type="file">\`. The contestants take turns, round after round; figures are medians with their ranges.`,
        '',
        '- **Wall** is from the choice of the file to the end of the upload, with the page loaded before. **CPU** is that of all processes of the browser in this time. **Memory** is what its tab (page and workers), or all of the browser, has at most above the empty page. **Longest task** is of the page\'s main thread; browsers tell of those over 50 ms.',
        `- Equal settings: parts of ${settings.partSize / MIB} MiB, ${settings.concurrency} at a time. Uppy 6 sends the parts of one file one after the other at any setting. Amplify's part size (5 MiB) and number (4) are fixed, so it is only among the defaults.`,
        '- **The floor** is a loop of bare `fetch(PUT)` of Blob slices: unsigned, unhashed, no Create, no Complete. **One read** reads the file once in a worker and sends nothing: together they are the least that a checked upload can cost while the browser reads what it sends itself.',
        `- What they check: ${checked.map((who) => NAMES[who].join(' ')).join('; ')}.`,
        '',
        ...records.map(section),
    ];
    for (const name of names.filter((one) => one.startsWith('cli')).sort()) parts.push(commandLine(load(`${out}/results/${name}.json`)));
    for (const extra of ['overhead', 'kernels', 'pipeline']) {
        if (existsSync(`${out}/${extra}.md`)) parts.push(readFileSync(`${out}/${extra}.md`, 'utf8'));
    }
    writeFileSync(`${out}/report.md`, parts.join('\n'));
    console.log(`build/bench/report.md: ${records.length} cases`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) report();
