// SPDX-License-Identifier: MIT
// Parthaul as its README shows it. Checksums are on by default: CRC64NVME of each part and of the whole.

/** @param {object} options that differ between the entries @param {string} folder of the modules */
export function contestant(options, folder = 'parthaul') {
    return async ({ endpoint, bucket, region, keys, equal, partSize, concurrency }) => {
        // Not bundled: this is what a page would load.
        const { Parthaul } = await import(/* @vite-ignore */ `${location.origin}/${folder}/parthaul.js`);
        const parthaul = new Parthaul({
            bucket,
            region,
            endpoint,
            overwrite: true,
            getCredentials: () => keys,
            ...(equal && { partSize, concurrency, connections: concurrency }),
            ...options,
        });
        return (files) => Promise.all(files.map((file) => parthaul.upload(file, { key: file.name }).done));
    };
}

export const prepare = contestant({});
