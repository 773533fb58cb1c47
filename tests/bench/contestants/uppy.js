// SPDX-License-Identifier: MIT
// The newest Uppy, with temporary credentials in the page. It sends the parts of a file one after the
// other; `limit` is a number of files.

import Uppy from '@uppy/core';
import AwsS3 from '@uppy/aws-s3';

import { run } from './uppy-run.js';

export async function prepare({ url, region, keys, equal, partSize, concurrency }) {
    const uppy = new Uppy({ autoProceed: false });
    const { accessKeyId, secretAccessKey, sessionToken } = keys;
    uppy.use(AwsS3, {
        s3Endpoint: url,
        region,
        getCredentials: async () => ({ credentials: { accessKeyId, secretAccessKey, sessionToken }, region }),
        generateObjectKey: (file) => file.name,
        ...(equal && {
            limit: concurrency,
            getChunkSize: () => partSize,
            shouldUseMultipart: (file) => file.size > partSize,
        }),
    });
    return run(uppy);
}
