// SPDX-License-Identifier: MIT
/** Run `work(item)` for each item, `limit` at a time: for libraries that have no queue of their own. */
export async function pool(items, limit, work) {
    const rest = items.values();
    const lane = async () => {
        for (const item of rest) await work(item);
    };
    await Promise.all(Array.from({ length: limit }, lane));
}
