/* Gets into a route with a secret the way a person does, in headless Chromium without
 * JavaScript: a wrong secret, then the right one, and out again; then from another site's page.
 *
 * Reads a JSON object on the command line: {url, other, secret, chromium, shots}. `shots` is a
 * folder for pictures of the pages, or null. Prints one JSON object of what was seen. */
import { chromium } from 'playwright-core';

const options = JSON.parse(process.argv[2]);
const origin = new URL(options.url).origin;
const seen = { statuses: [] };

const browser = await chromium.launch({
    executablePath: options.chromium,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--disable-background-networking'],
});

async function look(page, name) {
    for (const [scheme, width] of options.shots ? [['light', 1100], ['dark', 390]] : []) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize({ width, height: 760 });
        await page.screenshot({ path: `${options.shots}/${name}-${scheme}.png` });
    }
}

let failure = null;
try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    page.on('response', (r) => seen.statuses.push(
        `${r.status()} ${r.request().method()} ${new URL(r.url()).pathname}`));
    await page.goto(options.url);
    seen.title = await page.title();
    await page.getByLabel('Secret').fill('wrong');
    await page.getByRole('button').click();
    seen.alert = await page.getByRole('alert').textContent();
    await look(page, 'wrong');
    await page.getByLabel('Secret').fill(options.secret);
    await page.getByRole('button').click();
    await page.waitForURL(options.url);
    seen.inside = await page.locator('body').textContent();
    seen.cookies = (await context.cookies()).map((c) => ({ ...c, value: c.value.length }));
    await page.goto(`${origin}/.wos/logout`);
    await look(page, 'logout');
    await page.getByRole('button').click();
    await page.waitForURL(`${origin}/`);
    seen.after = await page.title();
    seen.left = (await context.cookies()).length;

    /* Another site's page posts the right secret: the browser must not be logged in. */
    await page.route(`${options.other}/attack`, (route) => route.fulfill({
        contentType: 'text/html',
        body: `<form method="post" action="${origin}/.wos/login"><input name="secret"
            value="${options.secret}"><button>go</button></form>`,
    }));
    await page.goto(`${options.other}/attack`);
    await page.getByRole('button').click();
    await page.waitForURL(`${origin}/.wos/login`);
    seen.attack = await page.title();
    seen.tossed = (await context.cookies()).length;
} catch (error) {
    failure = String(error);
}
await browser.close();
console.log(JSON.stringify({ ...seen, failure }));
process.exit(failure === null ? 0 : 1);
