// SPDX-License-Identifier: MIT
// The floor: what the browser itself costs. Blob slices are put, unsigned and unhashed, and nobody
// listens to the answers. There is no Create and no Complete: nothing but the bytes.

import { pool } from './pool.js';

export async function prepare({ url, partSize, concurrency }) {
    return async (files) => {
        const parts = files.flatMap((file) => {
            const count = Math.max(1, Math.ceil(file.size / partSize));
            const name = `${url}/${file.name}`;
            if (count === 1) return [{ address: name, body: file }];
            return Array.from({ length: count }, (_, i) => ({
                address: `${name}?partNumber=${i + 1}&uploadId=floor`,
                body: file.slice(i * partSize, (i + 1) * partSize, ''),
            }));
        });
        await pool(parts, concurrency, async ({ address, body }) => {
            const response = await fetch(address, { method: 'PUT', body });
            await response.text();
        });
    };
}
