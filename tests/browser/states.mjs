/* Scenarios of ui.mjs: every view while it loads, when it fails, and without the daemon. */
const VIEWS = { board: '/', edge: '/edge', devices: '/devices', settings: '/settings' };

export function states({ options, base, seen, look, card, ask }) {
    const views = { ...VIEWS, worktree: `/worktree?path=${encodeURIComponent(options.path ?? '')}` };
    const api = /\/ui\/v1\/(?!auth\/session$|health$)/;

    async function each(page, answer, state, check) {
        for (const [name, path] of Object.entries(views)) {
            await page.route(api, answer);
            await page.goto(`${base}${path}`);
            await check(page);
            await look(page, `${state}-${name}`, ['desktop', 'phone-dark']);
            await page.unroute(api);
        }
    }

    return {
        async loading({ page }) {
            await each(page, () => undefined /* never */, 'loading', (p) =>
                p.getByRole('status', { name: 'Loading' }).first().waitFor());
        },

        async failing({ page }) {
            const answer = (route) => route.fulfill({ status: 500, contentType: 'application/json',
                body: '{"error":"server-error","message":"the disk is full"}' });
            await each(page, answer, 'failing', async (p) => {
                await p.getByText('the disk is full').first().waitFor();
                await p.getByRole('button', { name: 'Try again' }).first().waitFor();
            });
            /* And the button does what it says. */
            await page.goto(`${base}/`);
            await page.locator('.card').first().waitFor();
        },

        async away({ page }) {
            const ask = () => page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
            for (const [name, path] of Object.entries(views)) {
                await page.goto(`${base}${path}`);
                await page.getByRole('navigation').waitFor();
                await page.route(/\/ui\/v1\//, (route) => route.abort());
                await ask(); /* what it would do by itself, a little later */
                await page.getByText(/^Offline/).waitFor();
                await look(page, `offline-${name}`, ['desktop', 'phone-dark']);
                await page.unroute(/\/ui\/v1\//);
                await ask();
                await page.getByText(/^Offline/).waitFor({ state: 'detached' });
            }
        },

        /* More tabs than a browser has connections: those out of view give theirs back, and show
         * what has happened meanwhile when they come into view again. */
        async tabs({ context, page }) {
            await context.addInitScript(() => Object.defineProperty(document, 'hidden',
                { get: () => window.isHidden === true }));
            const show = (p, on) => p.evaluate((hidden) => {
                window.isHidden = hidden;
                document.dispatchEvent(new Event('visibilitychange'));
            }, !on);
            const kept = [];
            context.on('request', (r) => /\/events\?|follow=1/.test(r.url()) && kept.push(r.url()));
            const load = async (p, path, what) => {
                await p.goto(`${base}${path}`);
                await p.locator(what).first().waitFor();
            };
            for (let i = 0; i < 4; i++) {
                const one = await context.newPage();
                await load(one, views.worktree, '.logline');
                await show(one, false);
            }
            await load(page, '/', '.card');
            const beta = (state) => card(page, 'beta').locator('.pill', { hasText: state }).waitFor();
            await beta('running');
            await show(page, false);
            await ask('down');
            for (let i = 0; i < 4; i++) {
                const one = await context.newPage();
                await load(one, '/', '.card');
                await show(one, false);
            }
            await show(page, true);
            await beta('stopped');
            await ask('up'); /* and it hears of what happens again */
            await beta('running');
            seen.streams = [...new Set(kept.map((url) => new URL(url).search))];
        },

        /* A part of the page that is lost on its way. */
        async halved({ page }) {
            let lost = 0;
            await page.route(/\/assets\/chunk/, (route) => (lost++ === 0 ? route.abort() : route.continue()));
            await page.goto(`${base}/`);
            await page.locator('.card').first().waitFor();
            seen.lost = lost;
        },

        /* With the keyboard alone: to a worktree, a dialog, and back to where it was opened. */
        async keyboard({ page }) {
            await page.goto(`${base}/`);
            await page.locator('.card').first().waitFor();
            const focused = () => page.evaluate(() =>
                document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
            const tabTo = async (name) => {
                for (let i = 0; i < 80; i++) {
                    await page.keyboard.press('Tab');
                    if ((await focused()).trim() === name) {
                        return;
                    }
                }
                throw new Error(`the keyboard does not get to ${name}`);
            };
            await page.keyboard.press('Tab');
            seen.skip = await focused();
            await tabTo('Add a project');
            await page.keyboard.press('Enter');
            await page.getByRole('dialog').waitFor();
            await page.keyboard.press('Escape');
            await page.getByRole('dialog').waitFor({ state: 'detached' });
            seen.back = [(await focused()).trim()];
            await page.keyboard.press('Enter');
            const field = page.getByLabel('Directory of a git repository');
            await field.fill('/some/where');
            const box = await field.boundingBox(); /* a selection that ends beside the dialog */
            await page.mouse.move(box.x + 60, box.y + 10);
            await page.mouse.down();
            await page.mouse.move(10, box.y + 10);
            await page.mouse.up();
            seen.dragged = await page.getByRole('dialog').count();
            await page.getByRole('button', { name: 'Cancel' }).focus();
            await page.evaluate(() => {
                window.whenGone = new Promise((done) => {
                    new MutationObserver((_, observer) => {
                        if (document.querySelector('dialog') === null) {
                            observer.disconnect();
                            done(document.activeElement.textContent);
                        }
                    }).observe(document.body, { childList: true, subtree: true });
                });
            });
            await page.keyboard.press('Enter');
            seen.back.push((await page.evaluate(() => window.whenGone)).trim());
            await page.keyboard.press('Enter');
            await page.getByRole('dialog').waitFor();
            await page.mouse.click(10, 400);
            await page.getByRole('dialog').waitFor({ state: 'detached' });
            seen.back.push((await focused()).trim());
            await tabTo('alpha');
            await page.keyboard.press('Enter');
            await page.getByRole('heading', { name: 'alpha' }).waitFor();
            await page.waitForFunction(() => document.activeElement.id === 'main');
            seen.title = await page.title();
            seen.outline = await page.evaluate(() => [...document.querySelectorAll('button, a, input, select')]
                .filter((e) => !e.textContent.trim() && !e.getAttribute('aria-label') && !e.labels?.length
                    && e.getClientRects().length > 0).map((e) => e.outerHTML));
            /* Backwards through the settings on a phone: no field gets the focus below the bar. */
            await page.setViewportSize({ width: 390, height: 844 });
            await page.goto(`${base}/settings`);
            await page.getByLabel('tunnel.limits.resetsMax', { exact: true }).focus();
            seen.below = [];
            for (let i = 0; i < 25; i++) {
                await page.keyboard.press('Shift+Tab');
                seen.below.push(await page.evaluate(() => document.activeElement.getBoundingClientRect().top
                    - document.querySelector('.sticky').getBoundingClientRect().bottom));
            }
            await page.getByRole('link', { name: 'Worktrees' }).click();
            await page.locator('.card').first().waitFor();
            await page.waitForFunction(() => document.documentElement.style.scrollPaddingTop === '');
        },

        /* Colours of the reader's own, and the narrowest of screens. */
        async narrow({ page }) {
            await page.setViewportSize({ width: 320, height: 640 });
            await page.emulateMedia({ forcedColors: 'active' });
            await page.goto(`${base}/`);
            await page.locator('.card .dot').first().waitFor();
            seen.nav = await page.getByRole('navigation', { name: 'Pages' }).evaluate((n) => n.scrollWidth - n.clientWidth);
            seen.dots = await page.locator('.card .dot').evaluateAll((all) => all.map((d) =>
                getComputedStyle(d).backgroundColor !== getComputedStyle(document.body).backgroundColor));
            await look(page, 'forced', ['desktop', 'phone-dark']);
        },
    };
}
