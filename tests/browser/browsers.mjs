// SPDX-License-Identifier: MIT
// One way to drive three browsers: Chromium and Firefox by Puppeteer, WebKit by its WebDriver on a
// display that nobody sees. Only what the tests need; what a browser cannot do says so.

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';

import puppeteer from '../../web/node_modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js';
import webdriver from '../../web/node_modules/selenium-webdriver/index.js';
import { until, within } from './harness.mjs';

const MINI_BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';

/** Debian's Chromium, with calls to nowhere. */
export const CHROMIUM = {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
        '--no-sandbox', // CI runs as root
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
    ],
};

/** How to start each, given a folder for the profile. */
const BROWSERS = {
    chromium: (profile, more) => viaPuppeteer({ ...CHROMIUM, userDataDir: profile, ...more }),
    firefox: (profile, more) =>
        viaPuppeteer({
            browser: 'firefox',
            executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
            userDataDir: profile,
            env: { ...process.env, HOME: profile },
            ...more,
        }),
    webkit: viaWebDriver,
};

/** Those that the tests run in, or those that BROWSERS names, with blanks between. */
export const browserNames = process.env.BROWSERS?.split(' ') ?? Object.keys(BROWSERS);

/**
 * A browser with a profile of its own and no calls to anywhere. `open()` gives a fresh Tab.
 * @param {string} name @param {string} profile a folder
 * @param {object} [more] options of Puppeteer's, where it is Puppeteer that drives the browser
 */
export async function startBrowser(name, profile, more) {
    mkdirSync(profile, { recursive: true });
    return { name, profile, ...(await BROWSERS[name](profile, more)) };
}

/** A page. Functions given to it run there; their arguments cross as JSON. */
class Tab {
    /** What the page complained about on its console, besides the tests' own findings. */
    complaints = [];

    evaluate(fn, ...args) {
        return this.run(`(${fn})(...${JSON.stringify(args)})`);
    }

    /** Call fn with the first element there is. */
    find(selector, fn, ...args) {
        return this.run(
            `(${fn})(document.querySelector(${JSON.stringify(selector)}), ...${JSON.stringify(args)})`,
        );
    }

    /** Call fn with a list of all elements. */
    findAll(selector, fn, ...args) {
        return this.run(
            `(${fn})([...document.querySelectorAll(${JSON.stringify(selector)})], ...${JSON.stringify(args)})`,
        );
    }

    waitFor(selector) {
        return until(() => this.findAll(selector, (all) => all.length), selector);
    }

    /** What a browser may be told of its network: the word only, since workers have their own. */
    offline(offline) {
        return this.evaluate((offline) => {
            Object.defineProperty(navigator, 'onLine', { value: !offline, configurable: true });
            dispatchEvent(new Event(offline ? 'offline' : 'online'));
        }, offline);
    }
}

// ---- Chromium and Firefox -------------------------------------------------------------------------

async function viaPuppeteer(options) {
    const browser = await puppeteer.launch(options);
    return {
        puppeteer: browser,
        pid: browser.process().pid,
        open: async (url) => {
            const tab = new PuppeteerTab(await browser.newPage());
            await tab.page.goto(url);
            return tab;
        },
        close: () => browser.close(),
    };
}

class PuppeteerTab extends Tab {
    constructor(page) {
        super();
        this.page = page;
        page.on('console', (message) => this.complaints.push(`${message.type()}: ${message.text()}`));
        page.on('pageerror', (error) => this.complaints.push(`exception: ${error}`));
        page.on('dialog', (dialog) => dialog.accept()); // "leave the page?"
    }

    async run(expression) {
        const text = await this.page.evaluate(
            `Promise.resolve(${expression}).then((value) => JSON.stringify(value))`,
        );
        return text && JSON.parse(text);
    }

    async choose(selector, ...paths) {
        await (await this.page.$(selector)).uploadFile(...paths);
    }

    type(selector, text) {
        return this.page.type(selector, text);
    }

    press(key) {
        return this.page.keyboard.press(key);
    }

    goto(url) {
        return this.page.goto(url);
    }

    close() {
        return this.page.close();
    }
}

// ---- WebKit ---------------------------------------------------------------------------------------

/** Its driver knows one session at a time, and each has one window: a hidden one paints nothing. */
async function viaWebDriver(profile) {
    const xvfb = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], {
        stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const display = await new Promise((resolve, reject) => {
        xvfb.stdio[3].once('data', (data) => resolve(`:${String(data).trim()}`));
        xvfb.once('error', reject);
        xvfb.once('exit', (code) => reject(new Error(`Xvfb: ${code}`)));
    });
    let driver, url, session;
    const start = async () => {
        const port = await freePort();
        driver = spawn('WebKitWebDriver', [`--port=${port}`], {
            env: { ...process.env, DISPLAY: display, HOME: profile, XDG_CACHE_HOME: '', XDG_DATA_HOME: '', GDK_BACKEND: 'x11' },
            stdio: 'ignore',
        });
        url = `http://127.0.0.1:${port}`;
        await until(() => fetch(`${url}/status`).then((answer) => answer.ok, () => false), 'WebKitWebDriver');
    };
    const quit = () => within(Promise.resolve(session?.quit()), 'WebKit to quit', 20_000).catch(() => {});
    const begin = async () =>
        new webdriver.Builder()
            .usingServer(url)
            .withCapabilities({
                browserName: 'MiniBrowser',
                unhandledPromptBehavior: 'accept',
                'webkitgtk:browserOptions': {
                    binary: process.env.WEBKIT ?? MINI_BROWSER,
                    args: ['--automation'],
                },
            })
            .build();
    await start();
    return {
        get pid() {
            return driver.pid;
        },
        open: async (address) => {
            await quit();
            // Now and then it never says that the browser is there: then another driver does.
            session = await within(begin(), 'WebKit', 60_000).catch(async () => {
                driver.kill('SIGKILL');
                await start();
                return within(begin(), 'WebKit', 60_000);
            });
            await session.manage().setTimeouts({ script: 120_000 });
            const tab = new WebDriverTab(session);
            await tab.goto(address);
            return tab;
        },
        close: async () => {
            await quit();
            driver.kill();
            xvfb.kill();
        },
    };
}

class WebDriverTab extends Tab {
    constructor(session) {
        super();
        this.session = session;
    }

    async run(expression) {
        const [value, complaints] = await this.session.executeScript(
            `return Promise.resolve(${expression}).then((value) =>
                [value, self.complaints?.splice(0) ?? []])`,
        );
        this.complaints.push(...complaints);
        return value ?? undefined;
    }

    async goto(url) {
        await this.session.get(url);
        // There is no console to listen to, so what is said there from now on is kept.
        await this.evaluate(() => {
            self.complaints = [];
            for (const type of ['error', 'warn', 'log']) {
                const say = console[type];
                console[type] = (...words) => {
                    self.complaints.push(`${type}: ${words.join(' ')}`);
                    say.apply(console, words);
                };
            }
            addEventListener('error', ({ message }) => self.complaints.push(`exception: ${message}`));
            addEventListener('unhandledrejection', ({ reason }) => self.complaints.push(`exception: ${reason}`));
        });
    }

    #element(selector) {
        return this.session.findElement({ css: selector });
    }

    async choose(selector, ...paths) {
        await this.find(selector, (input) => (input.value = '')); // else what is chosen is added to what was
        await (await this.#element(selector)).sendKeys(paths.join('\n'));
    }

    async type(selector, text) {
        await (await this.#element(selector)).sendKeys(text);
    }

    press(key) {
        const code = { Enter: webdriver.Key.ENTER, Tab: webdriver.Key.TAB }[key];
        return this.session.actions().sendKeys(code).perform();
    }

    close() {
        return this.session.quit();
    }
}

function freePort() {
    return new Promise((resolve) => {
        const server = createServer();
        server.listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}
