// SPDX-License-Identifier: MIT
// EvaporateJS with Content-MD5 for each part; its digests come from libraries that its wiki names.

import Evaporate from 'evaporate';
import { sha256 } from 'js-sha256';
import SparkMD5 from 'spark-md5';

export async function prepare({ endpoint, bucket, region, keys, equal, partSize, concurrency }) {
    const evaporate = await Evaporate.create({
        aws_url: endpoint,
        aws_key: keys.accessKeyId,
        awsRegion: region,
        bucket,
        signerUrl: '/sign/string',
        sendCanonicalRequestToSignerUrl: true,
        logging: false,
        computeContentMd5: true,
        cryptoMd5Method: (data) => btoa(SparkMD5.ArrayBuffer.hash(data, true)),
        cryptoHexEncodedHash256: sha256,
        ...(equal && { partSize, maxConcurrentParts: concurrency }),
    });
    return (files) => Promise.all(files.map((file) => evaporate.add({ name: file.name, file })));
}
