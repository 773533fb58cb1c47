// SPDX-License-Identifier: MIT
// Amplify Storage, whose part size (5 MiB) and concurrency (4) are fixed. It takes an endpoint of one's
// own only over https (its option for local testing is refused by a check of its own), so the scheme is
// changed where its requests leave. The bucket's name has a dot: then it puts the name into the path.

import { Amplify } from 'aws-amplify';
import { uploadData } from '@aws-amplify/storage/internals';

import { pool } from './pool.js';

/** @param {object} options that differ between the entries */
export function contestant(options) {
    return async ({ endpoint, bucket, region, keys }) => {
        const host = new URL(endpoint).host;
        const open = XMLHttpRequest.prototype.open;
        XMLHttpRequest.prototype.open = function (method, url, ...rest) {
            open.call(this, method, String(url).replace('https:', 'http:'), ...rest);
        };
        Amplify.configure(
            { Storage: { S3: { bucket, region } } },
            {
                Auth: {
                    credentialsProvider: {
                        getCredentialsAndIdentityId: async () => ({ credentials: keys, identityId: 'bench' }),
                        clearCredentialsAndIdentityId: () => {},
                    },
                },
            },
        );
        return (files) =>
            pool(files, files.length > 1 ? 6 : 1, (file) => {
                const how = { bucket: { bucketName: bucket, region }, customEndpoint: host, ...options };
                return uploadData({ path: file.name, data: file, options: how }).result;
            });
    };
}

export const prepare = contestant({});
