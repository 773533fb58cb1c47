// SPDX-License-Identifier: MIT
// The same with the checksum that S3 prefers, and that Parthaul sends.

import { contestant } from './lib-storage.js';

export const prepare = contestant({ ChecksumAlgorithm: 'CRC64NVME' });
