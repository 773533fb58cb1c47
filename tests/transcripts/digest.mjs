// SPDX-License-Identifier: MIT
/**
 * digest.mjs - files that exist only as a rule, and their checksums. Written without a look at
 * src/core: where the engine and this file agree, two computations do.
 */
import { createHash } from 'node:crypto';

/** Reflected polynomials as two halves of 32 bits; the high one is 0 for the CRC-32s. */
const POLYNOMIALS = {
    CRC64NVME: [0x9a6c9329, 0xac4bc9b5],
    CRC32C: [0, 0x82f63b78],
    CRC32: [0, 0xedb88320],
};
const BLOCK = 5 << 20; // of a file: bytes that are equal

function table([high, low]) {
    const highs = new Uint32Array(256);
    const lows = new Uint32Array(256);
    for (let n = 0; n < 256; n++) {
        let [h, l] = [0, n];
        for (let bit = 0; bit < 8; bit++) {
            const odd = l & 1;
            l = (l >>> 1) | (h << 31);
            h >>>= 1;
            if (odd) [h, l] = [h ^ high, l ^ low];
        }
        [highs[n], lows[n]] = [h, l];
    }
    return { highs, lows, wide: high !== 0 };
}
const tables = Object.fromEntries(Object.entries(POLYNOMIALS).map(([alg, p]) => [alg, table(p)]));

/** A running digest with node:crypto's update() and digest(). */
export function hasher(alg) {
    if (!tables[alg]) return createHash(alg);
    const { highs, lows, wide } = tables[alg];
    let [h, l] = [-1, -1];
    return {
        update(bytes) {
            for (let i = 0; i < bytes.length; i++) {
                const n = (l ^ bytes[i]) & 255;
                if (wide) {
                    l = ((l >>> 8) | (h << 24)) ^ lows[n];
                    h = (h >>> 8) ^ highs[n];
                } else {
                    l = (l >>> 8) ^ lows[n];
                }
            }
        },
        digest() {
            const out = Buffer.alloc(wide ? 8 : 4);
            if (wide) out.writeInt32BE(~h, 0);
            out.writeInt32BE(~l, wide ? 4 : 0);
            return out;
        },
    };
}

export function digestOf(alg, bytes) {
    const hash = hasher(alg);
    hash.update(bytes);
    return hash.digest();
}

const known = new Map();

/** A file whose bytes follow from their place: `letters[0]` for 5 MiB, then `letters[1]`, ... */
export class File {
    constructor(size, letters = 'a') {
        this.size = size;
        this.letters = letters;
    }

    letterAt(offset) {
        return this.letters.charCodeAt(Math.floor(offset / BLOCK) % this.letters.length);
    }

    /** The digest of a range, as bytes. */
    digest(alg, offset = 0, length = this.size) {
        const key = `${this.letters} ${alg} ${offset} ${length}`;
        if (!known.has(key)) {
            const hash = hasher(alg);
            for (let at = offset; at < offset + length; ) {
                const end = Math.min(offset + length, (Math.floor(at / BLOCK) + 1) * BLOCK);
                hash.update(Buffer.alloc(end - at, this.letterAt(at)));
                at = end;
            }
            known.set(key, hash.digest());
        }
        return known.get(key);
    }
}
