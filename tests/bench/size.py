#!/usr/bin/env python3
"""What each kilobyte is for: the module by C file, and the JavaScript that a page loads, gzip -9.

`make size` runs it. The module is linked once more with its functions' names; the compressed size is
shared out by each function's own bytes, so what was inlined counts for the file it was inlined into.
"""

import glob
import gzip
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Reader:
    """The few parts of the binary format that are needed (WebAssembly core specification, 5.4, 5.5)."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def take(self, length):
        self.at += length
        return self.data[self.at - length:self.at]

    def text(self):
        return self.take(self.number()).decode()

    def sections(self):
        self.at = 8
        while self.at < len(self.data):
            kind = self.take(1)[0]
            yield kind, Reader(self.take(self.number()))


def functions(path):
    """(name, bytes of code) of each function, and the bytes of the initial data."""
    imports, bodies, names, data = 0, [], {}, 0
    for kind, r in Reader(open(path, 'rb').read()).sections():
        if kind == 2:
            for _ in range(r.number()):
                r.text(), r.text()
                if r.take(1) != b'\0':
                    sys.exit('size: an import that is no function')
                r.number()
                imports += 1
        elif kind == 10:
            for _ in range(r.number()):
                bodies.append(len(r.take(r.number())))
        elif kind == 11:
            data = len(r.data)
        elif kind == 0 and r.text() == 'name':
            while r.at < len(r.data):
                which, part = r.take(1)[0], Reader(r.take(r.number()))
                if which == 1:
                    for _ in range(part.number()):
                        index = part.number()
                        names[index] = part.text()
    return [(names.get(i + imports, '?'), size) for i, size in enumerate(bodies)], data


def owners():
    """Which object file defines a function."""
    owner = {}
    for path in sorted(glob.glob(f'{ROOT}/build/wasm/**/*.o', recursive=True)):
        out = subprocess.run(['llvm-nm', '--defined-only', path], capture_output=True, text=True,
                             check=True).stdout
        label = 'BearSSL' if '/bearssl/' in path else os.path.basename(path)[:-2] + '.c'
        label = {'cjson.c': 'cJSON'}.get(label, label)
        for line in out.splitlines():
            kind, name = line.split()[-2:]
            if kind in 'Tt':
                owner.setdefault(name, label)
    return owner


def zipped(path):
    return len(gzip.compress(open(path, 'rb').read(), 9))


def main():
    named = sys.argv[1]
    module = f'{ROOT}/web/dist/parthaul.wasm'
    total = zipped(module)
    code, data = functions(named)
    exported = open(f'{ROOT}/wasm/exports.txt').read().split()
    owner, sums = owners(), {'initial data: tables, texts': data}
    for name, size in code:
        base = name.split('.')[0]
        label = 'exports.c' if base in exported else owner.get(base, 'C library, allocator')
        sums[label] = sums.get(label, 0) + size
    whole = sum(sums.values())
    print('| | bytes | about KB gzip |\n|---|---:|---:|')
    small = 0
    for label, size in sorted(sums.items(), key=lambda item: -item[1]):
        if size < whole / 100:
            small += size
        else:
            print(f'| {label} | {size:,} | {total * size / whole / 1000:.1f} |')
    print(f'| everything smaller | {small:,} | {total * small / whole / 1000:.1f} |')
    print(f'| **parthaul.wasm** | {os.path.getsize(module):,} | **{total / 1000:.1f}** |')
    for path in (f'{ROOT}/web/dist/parthaul.js', f'{ROOT}/web/dist/worker.js'):
        total += zipped(path)
        print(f'| {os.path.basename(path)} | {os.path.getsize(path):,} | {zipped(path) / 1000:.1f} |')
    print(f'| **in all** | | **{total / 1000:.1f}** |')


main()
