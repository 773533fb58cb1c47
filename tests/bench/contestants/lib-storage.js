// SPDX-License-Identifier: MIT
// AWS's own: Upload of @aws-sdk/lib-storage, with the SDK's default checksum (CRC32 of each part). It
// has no queue of files, so as many files as connections are begun at a time.

import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';

import { pool } from './pool.js';

/** @param {object} params that differ between the entries */
export function contestant(params) {
    return async ({ endpoint, bucket, region, keys, equal, partSize, concurrency }) => {
        const client = new S3Client({ endpoint, region, credentials: keys, forcePathStyle: true });
        return (files) =>
            pool(files, files.length > 1 ? 6 : 1, (file) =>
                new Upload({
                    client,
                    params: { Bucket: bucket, Key: file.name, Body: file, ...params },
                    ...(equal && { partSize, queueSize: concurrency }),
                }).done(),
            );
    };
}

export const prepare = contestant({});
