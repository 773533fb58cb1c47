// SPDX-License-Identifier: MIT
// What runs in the page: one contestant, and a watch on the main thread. The runner calls prepare()
// when the page is loaded and start() when the user would have chosen the files.

const longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries())).observe({ type: 'longtask' });

let upload;

globalThis.bench = {
    async prepare(name, config) {
        const { prepare } = await import(`/contestants/${name}.js`);
        upload = await prepare(config);
    },
    async start() {
        const files = [...document.getElementById('files').files];
        const begin = performance.now();
        await upload(files);
        const end = performance.now();
        await new Promise((resolve) => setTimeout(resolve, 100)); // the observer's turn
        // The browser tells only of tasks over 50 ms.
        const blockedMs = Math.max(0, ...longTasks.filter((task) => task.startTime >= begin - 50).map((task) => task.duration));
        return { seconds: (end - begin) / 1000, blockedMs };
    },
};
