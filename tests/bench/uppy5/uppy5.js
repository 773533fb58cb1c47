// SPDX-License-Identifier: MIT
// Uppy 5, which wants a server that signs: the way of its documentation without Companion. It knows
// temporary credentials too, but then only AWS's own host names. Files over 100 MB go by multipart,
// as its documentation recommends.

import Uppy from '@uppy/core';
import AwsS3 from '@uppy/aws-s3';

import { run } from '../contestants/uppy-run.js';

/** A presigned URL from our server, as an application's would answer. */
async function presigned(method, key, query = {}) {
    const response = await fetch(`/sign/url?${new URLSearchParams({ method, key, ...query })}`);
    return response.text();
}

export async function prepare({ equal, partSize, concurrency }) {
    const uppy = new Uppy({ autoProceed: false });
    uppy.use(AwsS3, {
        shouldUseMultipart: (file) => file.size > (equal ? partSize : 100 * 2 ** 20),
        getUploadParameters: async (file) => ({ method: 'PUT', url: await presigned('PUT', file.name) }),
        async createMultipartUpload({ name }) {
            const answer = await fetch(await presigned('POST', name, { uploads: '' }), { method: 'POST' });
            return { key: name, uploadId: (await answer.text()).match(/<UploadId>(.*)<\/UploadId>/)[1] };
        },
        signPart: async (_, { key, uploadId, partNumber }) => ({
            url: await presigned('PUT', key, { partNumber, uploadId }),
        }),
        async completeMultipartUpload(_, { key, uploadId, parts }) {
            const list = parts.map((part) => `<Part><PartNumber>${part.PartNumber}</PartNumber><ETag>${part.ETag}</ETag></Part>`);
            const answer = await fetch(await presigned('POST', key, { uploadId }), {
                method: 'POST',
                body: `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`,
            });
            const text = await answer.text();
            if (!answer.ok || text.includes('<Error>')) throw new Error(text);
            return { location: key };
        },
        listParts: async () => [],
        abortMultipartUpload: async () => {},
        ...(equal && { limit: concurrency, getChunkSize: () => partSize }),
    });
    return run(uppy);
}
