// SPDX-License-Identifier: MIT
// Another version of Parthaul, from the folder that PARTHAUL names: to see what a change is worth.

import { contestant } from './parthaul.js';

export const prepare = contestant({}, 'parthaul-other');
