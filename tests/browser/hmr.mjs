/* Opens a Vite page in headless Chromium, waits for the text of #title, lets
 * the caller change a module on disk, and sees the new text arrive by HMR
 * (no page load in between).
 *
 * Reads a JSON object on the command line: {url, first, file, content, second,
 * chromium, timeoutMs, insecure}. Prints one JSON line with what happened; exit 0 only
 * when the hot update came over the page's WebSocket. */
import { writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const options = JSON.parse(process.argv[2]);
const timeout = options.timeoutMs ?? 30000;
const result = { webSockets: [], failedRequests: [], console: [], modules: [] };

const browser = await chromium.launch({
    executablePath: options.chromium,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--disable-background-networking'],
});
let failure = null;
try {
    const context = await browser.newContext({ ignoreHTTPSErrors: options.insecure === true });
    const page = await context.newPage();
    page.on('websocket', (ws) => {
        const entry = { url: ws.url(), received: [] };
        result.webSockets.push(entry);
        ws.on('framereceived', (frame) => entry.received.push(String(frame.payload).slice(0, 300)));
        ws.on('socketerror', (error) => { entry.error = String(error); });
    });
    page.on('requestfailed', (request) => result.failedRequests.push(
        `${request.url()} ${request.failure()?.errorText}`));
    page.on('console', (message) => result.console.push(message.text()));
    page.on('response', (response) => {
        const url = new URL(response.url());
        result.modules.push(`${response.status()} ${url.pathname}`);
    });
    await page.goto(options.url, { waitUntil: 'load', timeout });
    result.protocol = await page.evaluate(
        () => performance.getEntriesByType('navigation')[0].nextHopProtocol);
    const title = page.locator('#title');
    await page.waitForFunction((text) => document.getElementById('title').textContent === text,
        options.first, { timeout });
    result.first = await title.textContent();
    /* The client must be subscribed before the file changes. */
    const deadline = Date.now() + timeout;
    while (!result.webSockets.some((ws) => ws.received.some((f) => f.includes('"connected"')))) {
        if (Date.now() > deadline) {
            throw new Error('the HMR WebSocket never said connected');
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    /* Vite may not watch the file yet: it is saved again, as somebody would, until that shows. */
    const save = () => writeFileSync(options.file, options.content);
    const again = setInterval(save, 3000);
    save();
    await page.waitForFunction((text) => document.getElementById('title').textContent === text,
        options.second, { timeout }).finally(() => clearInterval(again));
    result.second = await title.textContent();
    result.loads = await page.evaluate(() => window.loads);
} catch (error) {
    failure = String(error);
} finally {
    await browser.close();
}
result.ok = failure === null;
result.error = failure;
console.log(JSON.stringify(result));
process.exit(failure === null ? 0 : 1);
