// SPDX-License-Identifier: MIT
// The same with XMLHttpRequest as its transport, which tells of each byte.

import { contestant } from './parthaul.js';

export const prepare = contestant({ transport: 'xhr' });
