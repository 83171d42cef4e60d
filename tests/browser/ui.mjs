/* Uses the web UI the way a person does, in headless Chromium.
 *
 * Reads a JSON object on the command line: {scenario, url, chromium, shots, axe, …}; `shots` is a
 * folder for pictures of every view, or null. Prints one JSON object of what was seen per line;
 * a line {"ready": NAME} asks the test to do something and to answer with a line. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { attacks } from './attacks.mjs';
import { forms } from './forms.mjs';
import { keyboard } from './keyboard.mjs';
import { states } from './states.mjs';
import { terminalScenarios } from './terminal.mjs';

const options = JSON.parse(process.argv[2]);
const base = new URL(options.url).origin;
const own = [options.url, options.public ?? options.url].map((url) => new URL(url).origin);
const seen = { errors: [], foreign: [], axe: {}, statuses: [] };
let looking = false; /* axe and the screenshots put styles of their own into the page */
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const browser = await chromium.launch({
    executablePath: options.chromium,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--disable-background-networking', '--host-resolver-rules=MAP evil.example 127.0.0.1',
        '--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessRespectPreflightResults',
        /* ignoreHTTPSErrors alone lets Chromium drop connections whenever it meets the certificate anew */
        '--ignore-certificate-errors'],
});

async function open() {
    const context = await browser.newContext({
        ignoreHTTPSErrors: true, viewport: { width: 1280, height: 860 }, acceptDownloads: true,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(options.patienceMs ?? 60000);
    /* The page may be loading itself again just then. */
    const goto = page.goto.bind(page);
    page.goto = (url) => goto(url).catch((error) => {
        if (!/interrupted by/.test(String(error))) {
            throw error;
        }
        return page.goto(url);
    });
    page.on('pageerror', (e) => seen.errors.push(String(e)));
    page.on('console', (m) => {
        /* Refused requests are what some scenarios are about. */
        if (looking && /Applying inline style/.test(m.text())) {
            return;
        }
        if (m.type() === 'error' && !/Failed to load resource|net::ERR_/.test(m.text())) {
            seen.errors.push(m.text());
        }
    });
    page.on('request', (r) => {
        if (!own.some((origin) => r.url().startsWith(origin)) && !/^(blob|data):/.test(r.url())) {
            seen.foreign.push(r.url());
        }
    });
    page.on('response', (r) => seen.statuses.push(
        `${r.status()} ${r.request().method()} ${new URL(r.url()).pathname}`));
    return { context, page };
}

async function ask(name) {
    console.log(JSON.stringify({ ready: name }));
    return (await answers.next()).value;
}

const KINDS = [['desktop', 'light', 1280, 860], ['desktop-dark', 'dark', 1280, 860],
    ['phone', 'light', 390, 844], ['phone-dark', 'dark', 390, 844]];

/* Pictures for people, and what axe finds of serious or critical impact. */
async function look(page, name, kinds = KINDS.map((k) => k[0])) {
    looking = true;
    for (const [kind, scheme, width, height] of KINDS.filter((k) => kinds.includes(k[0]))) {
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
        await page.setViewportSize({ width, height });
        if (options.shots) {
            await page.screenshot({ path: `${options.shots}/${name}-${kind}.png`, fullPage: true });
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) {
            seen.errors.push(`${name} on ${kind} is ${wide} px too wide`);
        }
        const cut = await page.evaluate(() => [...document.querySelectorAll('h3.clip')].map((h) =>
            (h.scrollWidth > h.clientWidth && h.textContent.length < 16 ? h.textContent : '')).join(''));
        if (cut !== '') {
            seen.errors.push(`${name} on ${kind} cuts the short name ${cut}`);
        }
        if (options.axe) {
            await page.evaluate(readFileSync(options.axe, 'utf8'));
            const found = await page.evaluate(() => window.axe.run(document,
                { resultTypes: ['violations'] }));
            const bad = found.violations.filter((v) => ['serious', 'critical'].includes(v.impact));
            if (bad.length > 0) {
                seen.axe[`${name}-${kind}`] = bad.map((v) =>
                    `${v.id}: ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`);
            }
        }
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 860 });
    looking = false;
}

const card = (page, name) => page.locator('.card', { has: page.getByRole('link', { name, exact: true }) });
const status = (page, name, text) => card(page, name).locator('.pill', { hasText: text }).waitFor();

const scenarios = {
    async board({ page }) {
        await page.goto(options.url);
        await status(page, 'alpha', 'running');
        await card(page, 'alpha').getByRole('link', { name: /alpha-web/ }).waitFor();
        seen.paint = await page.evaluate(() =>
            performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
        seen.links = await card(page, 'alpha').locator('.address a').evaluateAll(
            (all) => all.map((a) => a.href));
        seen.services = await card(page, 'alpha').locator('.services .name').allTextContents();
        await look(page, 'board');
        await card(page, 'alpha').getByRole('button', { name: /QR code/ }).first().click();
        seen.qr = await page.getByRole('dialog').getByRole('img', { name: /QR code of/ })
            .getAttribute('aria-label');
        await look(page, 'qr');
        await page.keyboard.press('Escape');
        seen.dialogs = await page.getByRole('dialog').count();
        /* By keyboard alone: to the first worktree. */
        await page.keyboard.press('Tab');
        seen.focus = await page.evaluate(() => document.activeElement.tagName);
    },

    async live({ page }) {
        await page.goto(options.url);
        await status(page, 'beta', 'running');
        await ask('down beta');
        await status(page, 'beta', 'stopped');
        await ask('up beta');
        await status(page, 'beta', 'running');
    },

    async worktree({ page }) {
        await page.goto(options.url);
        await page.getByRole('link', { name: 'alpha', exact: true }).click();
        const log = page.getByRole('log');
        await page.getByRole('button', { name: 'Shell in web' }).waitFor();
        await log.locator('.logline span', { hasText: /^green$/ }).first().waitFor();
        seen.escapes = (await log.textContent()).includes('\u001b');
        await look(page, 'worktree');
        await page.getByLabel('Search the log').fill('needle');
        await page.getByText(/^\d+ lines$/).waitFor();
        await log.locator('.logline', { hasText: 'needle' }).first().waitFor(); /* it may be loading still */
        seen.found = await log.locator('.logline').allTextContents();
        const [download] = await Promise.all([
            page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
        seen.downloaded = readFileSync(await download.path(), 'utf8');
        await page.getByLabel('Search the log').fill('');
        await page.getByRole('button', { name: 'Pause' }).click();
        const before = await log.textContent();
        await page.waitForTimeout(1500);
        seen.paused = before === await log.textContent();
        await page.getByRole('button', { name: 'Go on' }).click();
        await page.getByLabel('Service', { exact: true }).selectOption('web');
        await page.waitForFunction(() => !document.querySelector('.log').textContent.includes('green'));
        /* Colours of all kinds, over the ends of lines; what was written over; the last line without an end. */
        await page.getByLabel('Service', { exact: true }).selectOption('paint');
        await log.getByText('password>').waitFor();
        seen.painted = await log.locator('.logline').evaluateAll((all) => all.map((line) => {
            const style = getComputedStyle(line.querySelector('span') ?? line);
            return [line.textContent, style.color, style.backgroundColor];
        }));
        seen.markup = await log.locator('b').count();
        await look(page, 'log-colours');
        /* One that writes nothing shows nothing, paused or not, neither here nor in the file. */
        await page.getByLabel('Service', { exact: true }).selectOption('worker');
        await log.locator('.logline', { hasText: 'green' }).first().waitFor();
        await page.getByRole('button', { name: 'Pause' }).click();
        await page.getByLabel('Service', { exact: true }).selectOption('silent');
        await log.getByText('Nothing here yet.').waitFor();
        const [silent] = await Promise.all([
            page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
        seen.silent = [silent.suggestedFilename(), readFileSync(await silent.path(), 'utf8')];
        seen.title = await page.title();
    },

    async actions({ page }) {
        await page.goto(`${base}/worktree?path=${encodeURIComponent(options.path)}`);
        await page.getByRole('button', { name: 'Start', exact: true }).click();
        await look(page, 'start');
        await page.getByRole('dialog').getByRole('button', { name: 'Start' }).click();
        const failure = page.getByRole('alert', { name: 'What failed' });
        await failure.waitFor();
        seen.whatFailed = await failure.textContent();
        await page.getByLabel('Output').getByText('no such table').waitFor();
        seen.firstOnPage = await page.evaluate(() => {
            const f = document.querySelector('.failure');
            return [...document.querySelectorAll('.panel')].every((p) =>
                f.compareDocumentPosition(p) & Node.DOCUMENT_POSITION_FOLLOWING);
        });
        await page.locator('.steps li', { hasText: 'init script' }).waitFor();
        seen.steps = await page.locator('.steps li').allTextContents();
        await look(page, 'failure');
        await ask('repair');
        await page.getByRole('button', { name: 'Start', exact: true }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Start' }).click();
        await page.locator('.title .pill', { hasText: 'running' }).waitFor();
        seen.failures = await failure.count();
        await page.getByRole('button', { name: 'Stop', exact: true }).click();
        await page.locator('.title .pill', { hasText: 'stopped' }).waitFor();
    },

    async edge({ page }) {
        await page.goto(`${base}/edge`);
        await page.getByRole('heading', { name: 'Routes' }).waitFor();
        const row = page.getByRole('row', { name: /alpha-web/ });
        await row.waitFor();
        await ask('requests');
        await row.getByText(/^2xx [1-9]/).waitFor();
        seen.row = await row.locator('td').allTextContents();
        const recent = page.getByRole('region', { name: 'Recent requests' });
        await recent.getByText(/GET alpha-web\S*\/hello/).first().waitFor();
        await recent.getByRole('button', { name: 'Only denied' }).click();
        await recent.getByText(/GET nobody\S*/).first().waitFor();
        seen.denied = await recent.locator('tbody').textContent();
        await recent.getByRole('button', { name: 'Only denied' }).click();
        await recent.getByText(/GET alpha-web\S*\/hello/).first().waitFor();
        seen.certificate = await page.getByRole('region', { name: 'Certificate' }).textContent();
        seen.listener = await page.getByRole('region', { name: 'Listener' }).textContent();
        /* Its lists: who may come, who is signed in to this UI and to services, and their buttons. */
        await ask('people');
        await page.reload();
        const list = (name) => page.getByRole('region', { name, exact: true });
        const rows = (name, text) => list(name).locator('tbody tr', { hasText: text });
        await rows('Logins', 'Chrome on Android').waitFor();
        await rows('Devices', 'Chrome on Android').waitFor();
        seen.whitelists = await list('Whitelists').locator('dd').allTextContents();
        seen.people = await Promise.all(['Devices', 'Logins'].map((n) => rows(n, '').count()));
        await look(page, 'edge');
        for (const name of ['Devices', 'Logins']) {
            await rows(name, 'Firefox on Linux').getByRole('button', { name: /^Sign out / }).click();
            await rows(name, 'Firefox on Linux').waitFor({ state: 'detached' });
        }
        await ask('one signed out');
        await list('Logins').getByRole('button', { name: 'Sign out everybody' }).click();
        await list('Logins').getByText('Nobody is.').waitFor();
        await rows('Devices', 'Chrome on Android').getByRole('button').click();
        await list('Devices').getByText('Nobody is, from outside.').waitFor();
        await ask('all signed out');
        await list('Whitelists').getByRole('link', { name: 'Change' }).click();
        await page.getByLabel('tunnel.serviceTunnels.whitelistIps', { exact: true }).waitFor();
    },

    async settings({ page }) {
        await page.goto(`${base}/settings`);
        const field = page.getByLabel(options.numberKey, { exact: true });
        await field.waitFor();
        await look(page, 'settings');
        await field.fill('no number');
        await page.getByRole('button', { name: /^Save/ }).click();
        const problem = page.locator('.field', { has: field }).getByRole('alert');
        await problem.waitFor();
        seen.problem = await problem.textContent();
        await look(page, 'settings-wrong', ['desktop', 'phone-dark']);
        await field.fill(options.number);
        await page.getByRole('button', { name: /^Save/ }).click();
        await page.getByText(/^Saved\./).waitFor();
        seen.problems = await page.locator('.field .problem').count();
        const secret = page.getByLabel('tunnel.webUi.secret', { exact: true });
        seen.placeholder = await secret.getAttribute('placeholder');
        seen.secret = await secret.inputValue();
        seen.html = (await page.content()).includes(options.secret);
    },

    async unsaved({ page }) {
        const field = page.getByLabel(options.key, { exact: true });
        const question = page.getByRole('dialog', { name: 'Leave without saving?' });
        const link = (name) => page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name });
        const edge = page.getByRole('heading', { name: 'Routes' });
        const press = (name) => question.getByRole('button', { name, exact: true }).click();
        const stays = async () => { /* with what was typed, at its own address */
            await question.waitFor();
            await press('Stay');
            await question.waitFor({ state: 'detached' });
            return await field.inputValue() === '321' && new URL(page.url()).pathname === '/settings';
        };
        seen.stays = [];
        await page.goto(`${base}/edge`);
        await link('Settings').click();
        /* Nothing changed, or not any more: nothing is asked. */
        await field.fill('321');
        await field.fill('');
        await link('Edge').click();
        await edge.waitFor();
        await page.goBack();
        await field.waitFor();
        await page.goBack();
        await edge.waitFor();
        await page.goForward();
        /* A link, the browser's buttons, a dialog that is closed. */
        await field.fill('321');
        await link('Settings').click(); /* the page itself */
        await page.goBack();
        await link('Edge').click();
        await question.waitFor();
        await look(page, 'settings-leave', ['desktop', 'phone-dark']);
        seen.stays.push(await stays());
        for (let times = 0; times < 2; times++) {
            await page.evaluate(() => history.back());
            seen.stays.push(await stays());
        }
        await page.evaluate(() => history.back());
        await question.waitFor();
        await page.keyboard.press('Escape');
        await question.waitFor({ state: 'detached' });
        /* The browser asks for itself when its tab goes. */
        const asked = () => new Promise((done) => {
            page.once('dialog', (dialog) => dialog.dismiss().then(() => done(dialog.type())));
        });
        const closing = asked();
        await page.close({ runBeforeUnload: true });
        seen.closing = await closing;
        seen.stays.push(await field.inputValue() === '321');
        /* Back, all the same; forward comes to a form without it. */
        await page.evaluate(() => history.back());
        await question.waitFor();
        await press('Leave');
        await edge.waitFor();
        seen.left = new URL(page.url()).pathname;
        await page.goForward();
        await field.waitFor();
        seen.value = await field.inputValue();
        /* By a link; and after saving nothing is asked. */
        await field.fill('321');
        await link('Worktrees').click();
        await press('Leave');
        await status(page, 'alpha', /./);
        await link('Settings').click();
        await field.fill('321');
        await page.getByRole('button', { name: 'Save 1' }).click();
        await page.getByText(/^Saved\./).waitFor();
        await link('Edge').click();
        await edge.waitFor();
        seen.questions = await question.count();
    },

    async flood({ page }) {
        await page.goto(`${base}/worktree?path=${encodeURIComponent(options.path)}`);
        const log = page.getByRole('log');
        await page.getByLabel('Service', { exact: true }).selectOption('flood');
        await page.getByText(/earlier lines are only in the log files/).waitFor();
        /* Still a page that answers: lines in view only, and clicks and typing do something. */
        seen.drawn = await log.locator('.logline').count();
        await page.getByRole('button', { name: 'Pause' }).click();
        await page.getByRole('button', { name: 'Go on' }).click();
        await page.getByLabel('Search the log').fill('line 9');
        await page.getByText(/^\d+ lines$/).waitFor();
        seen.longest = await page.evaluate(async () => {
            let longest = 0;
            let last = performance.now();
            for (let i = 0; i < 120; i++) {
                await new Promise(requestAnimationFrame);
                longest = Math.max(longest, performance.now() - last);
                last = performance.now();
            }
            return longest;
        });
    },

    async many({ page }) {
        await page.goto(options.url);
        await page.locator('.card').nth(options.count - 1).waitFor({ state: 'attached' });
        seen.cards = await page.locator('.card').count();
        seen.visibility = await page.locator('.card').evaluateAll((all) =>
            all.map((c) => getComputedStyle(c).contentVisibility));
        seen.skipped = await page.locator('.card').evaluateAll((all) => all.filter((c) =>
            !c.querySelector('h3').checkVisibility({ contentVisibilityAuto: true })).length);
        seen.longest = await page.evaluate(async () => {
            let longest = 0;
            let last = performance.now();
            for (let y = 0; y < document.body.scrollHeight; y += 150) {
                scrollTo(0, y);
                await new Promise(requestAnimationFrame);
                longest = Math.max(longest, performance.now() - last);
                last = performance.now();
            }
            return longest;
        });
        await look(page, 'many', ['desktop', 'phone-dark']);
        await page.getByLabel('Filter worktrees').fill('tree-177');
        await page.waitForFunction(() => document.querySelectorAll('.card').length === 1);
    },

    async restart({ page }) {
        await page.goto(`${base}/settings`);
        const field = page.getByLabel(options.key, { exact: true });
        await field.fill(options.value);
        const button = page.getByRole('button', { name: 'Restart the daemon' });
        const inView = () => button.evaluate((b) => b.getBoundingClientRect().top >= 0
            && b.getBoundingClientRect().bottom <= innerHeight);
        await page.getByRole('button', { name: /^Save/ }).click();
        await button.waitFor();
        seen.scrolled = await page.evaluate(() => scrollY > 300);
        seen.inView = [await inView()];
        await look(page, 'settings-saved');
        /* What waits is still said to who comes later, and on the board. */
        await page.reload();
        await button.waitFor();
        await page.goto(`${base}/`);
        await button.waitFor();
        seen.inView.push(await inView());
        await look(page, 'board-restart', ['desktop', 'phone-dark']);
        await page.goto(`${base}/settings`);
        const modules = page.getByLabel('logging.modules', { exact: true });
        for (const wrong of ['{"api": ', '{"api": "loud"}']) {
            await modules.fill(wrong);
            await page.getByRole('button', { name: /^Save/ }).click();
            await page.locator('.field', { has: modules }).getByRole('alert').waitFor();
            await modules.fill('');
        }
        await modules.fill('{"api": "debug"}');
        await page.getByRole('button', { name: /^Save/ }).click();
        await button.click();
        await page.getByText('Saved.', { exact: true }).waitFor();
        seen.value = await field.inputValue();
        seen.buttons = await button.count();
        await page.reload();
        seen.modules = await modules.inputValue();
    },

    async firstrun({ page }) {
        await page.goto(options.url);
        await page.getByRole('heading', { name: 'Nothing is deployed yet' }).waitFor();
        seen.next = await page.locator('.firstrun .next').textContent();
        await look(page, 'firstrun');
        await page.goto(`${base}/edge`);
        await page.getByRole('heading', { name: 'Edge' }).waitFor();
        await look(page, 'edge-empty');
        await page.goto(`${base}/nowhere`);
        seen.nowhere = await page.evaluate(() => document.body.textContent);
    },

    async offline({ page }) {
        await page.goto(options.url);
        await status(page, 'alpha', 'running');
        await ask('stop');
        await page.getByText(/^Offline/).waitFor();
        seen.still = await card(page, 'alpha').count();
        await look(page, 'offline');
        await ask('start');
        await page.getByText(/^Offline/).waitFor({ state: 'detached' });
        await status(page, 'alpha', 'running');
    },

    async remote({ context, page }) {
        await page.goto(options.url);
        await page.getByLabel('Secret').waitFor();
        await look(page, 'login');
        await page.getByLabel('Secret').fill('wrong');
        await page.getByRole('button', { name: 'Sign in' }).click();
        seen.wrong = await page.getByRole('alert').textContent();
        await page.getByLabel('Secret').fill(options.secret);
        await page.getByRole('button', { name: 'Sign in' }).click();
        await status(page, 'alpha', 'running');
        seen.cookies = (await context.cookies()).map((c) => ({ ...c, value: c.value.length }));
        seen.script = await page.evaluate(() => document.cookie);
        seen.pages = await page.getByRole('navigation').getByRole('link').allTextContents();
        seen.forbidden = await page.evaluate(() => Promise.all(
            ['/settings/config', '/settings/keys', '/status/all', '/access/logins', '/metrics'].map(
                (p) => fetch(`/ui/v1${p}`).then((r) => r.status))
                .concat(['/daemon/stop', '/daemon/restart', '/auth/connect'].map(
                    (p) => fetch(`/ui/v1${p}`, { method: 'POST' }).then((r) => r.status)))));
        await card(page, 'alpha').getByRole('link', { name: 'alpha', exact: true }).click();
        await page.getByRole('button', { name: 'Restart web' }).waitFor();
        seen.shells = await page.getByRole('button', { name: /^Shell in/ }).count();
        await look(page, 'worktree-outside', ['desktop', 'phone-dark']);
        await page.goto(`${base}/edge`);
        await page.getByRole('heading', { name: 'Routes' }).waitFor();
        /* A second device by the one-time link. */
        const link = await ask('connect');
        const other = await open();
        await other.page.goto(link);
        await status(other.page, 'alpha', 'running');
        seen.address = other.page.url();
        const third = await open();
        await third.page.goto(link);
        seen.second = await third.page.getByRole('alert').textContent();
        /* A fresh link in the tab that shows the login: nothing is loaded anew. */
        await third.page.goto(await ask('connect'));
        await status(third.page, 'alpha', 'running');
        seen.sameTab = third.page.url();
        /* The first sees both and signs the second out. */
        await page.goto(`${base}/devices`);
        await page.getByText('this one').waitFor();
        seen.devices = await page.locator('tbody tr').count();
        await look(page, 'devices');
        for (let i = 0; i < 2; i++) {
            const others = page.locator('tbody tr').filter({ hasNotText: 'this one' });
            const count = await others.count();
            await others.first().getByRole('button', { name: /^Sign out/ }).click();
            await others.nth(count - 1).waitFor({ state: 'detached' });
        }
        await other.page.getByLabel('Secret').waitFor();
        await third.page.getByLabel('Secret').waitFor();
        await page.getByRole('button', { name: 'Sign out everywhere' }).click();
        await page.getByLabel('Secret').waitFor();
    },
};

const tools = { options, base, seen, look, card, status, open, ask };
Object.assign(scenarios, forms(tools), states(tools), attacks(tools), keyboard(tools));
Object.assign(scenarios, terminalScenarios({ seen, options, base, open, ask, look }));

let failure = null;
const first = await open();
try {
    await scenarios[options.scenario](first);
} catch (error) {
    failure = `${error}\n${await first.page.evaluate(() => document.body.innerText).catch(() => '')}`;
    if (options.shots) {
        await first.page.screenshot({ path: `${options.shots}/failed-${options.scenario}.png` })
            .catch(() => undefined);
    }
}
await browser.close();
console.log(JSON.stringify({ failure, ...seen }));
process.exit(failure === null ? 0 : 1);
