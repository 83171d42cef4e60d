/* Scenarios of ui.mjs: every page by keyboard alone. */

export function keyboard({ options, base, seen }) {
    /* What has the focus: its name, and what is wrong with how it is seen. */
    const focused = () => {
        const e = document.activeElement;
        if (e === document.body) {
            return null;
        }
        const style = getComputedStyle(e);
        const name = e.getAttribute('aria-label') ?? (e.innerText || e.id || e.tagName).trim().slice(0, 30);
        if (e.classList.contains('xterm-helper-textarea')) {
            return { name, isTerminal: true };
        }
        const ring = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
        if (style.outlineStyle === 'none' || style.outlineWidth === '0px') {
            return { name, problem: 'has no ring' };
        }
        const box = e.getBoundingClientRect();
        for (let p = e.parentElement; p !== null && p !== document.body; p = p.parentElement) {
            const by = p.getBoundingClientRect();
            const does = getComputedStyle(p);
            const isCut = (does.overflowX !== 'visible' && (box.left - ring < by.left || box.right + ring > by.right))
                || (does.overflowY !== 'visible' && (box.top - ring < by.top || box.bottom + ring > by.bottom));
            if (isCut) {
                return { name, problem: `has its ring cut off by ${p.tagName} ${p.className}` };
            }
        }
        const { x, y } = { x: box.left + box.width / 2, y: box.top + Math.min(box.height / 2, 12) };
        const top = document.elementFromPoint(x, y);
        return top === null || !(e.contains(top) || top.contains(e)) ? { name, problem: 'is not in view' } : { name };
    };

    /* From the page's beginning to its end with Tab. */
    async function walk(page, where) {
        const stops = [];
        await page.evaluate(() => {
            scrollTo(0, 0);
            document.body.tabIndex = -1;
            document.body.focus();
            document.body.removeAttribute('tabindex');
        });
        for (let stop; stops.length < 400;) {
            await page.keyboard.press(stop?.isTerminal ? 'Control+Shift+Enter' : 'Tab');
            stop = await page.evaluate(focused);
            if (stop === null) {
                break;
            }
            stops.push(stop.name);
            if (stop.problem !== undefined) {
                seen.problems.push(`${where}: ${stop.name} ${stop.problem}`);
            }
        }
        seen.stops[where] = stops;
    }

    return {
        async everyPage({ page }) {
            const path = encodeURIComponent(options.path);
            seen.problems = [];
            seen.stops = {};
            const ready = {
                '/': () => page.getByRole('link', { name: /^alpha-web/ }).waitFor(),
                [`/worktree?path=${path}`]: () => page.getByRole('button', { name: 'Restart web' }).waitFor(),
                [`/terminal?path=${path}`]: () => page.locator('.xtermbox:not(.foreign)[data-link=open][data-size]').waitFor(),
                '/edge': () => page.getByRole('heading', { name: 'Routes' }).waitFor(),
                '/devices': () => page.getByRole('heading', { name: 'Devices' }).waitFor(),
                '/settings': () => page.getByRole('button', { name: 'Save' }).waitFor(),
            };
            await page.goto(`${base}/terminal?path=${path}`);
            await page.getByRole('button', { name: 'New shell', exact: true }).click();
            for (const [width, colorScheme] of [[1280, 'light'], [360, 'dark']]) {
                await page.setViewportSize({ width, height: 800 });
                await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
                for (const [at, wait] of Object.entries(ready)) {
                    if (at === '/settings' && width > 360) {
                        continue; /* the same hundred fields */
                    }
                    await page.goto(base + at);
                    await wait();
                    await walk(page, `${at.split('?')[0]} ${width}`);
                }
            }
            /* What was pressed keeps the focus, whatever comes of it; a form begins in its first field. */
            await page.goto(`${base}/worktree?path=${path}`);
            const refused = { error: 'session-busy', message: 'not now' };
            await page.route('**/worktrees/services/restart', async (route) => {
                await page.locator('button[aria-busy=true]').waitFor();
                await page.evaluate(() => new Promise((done) => {
                    requestAnimationFrame(() => requestAnimationFrame(done));
                }));
                await route.fulfill({ status: 409, json: refused });
            });
            await page.getByRole('button', { name: 'Restart web' }).focus();
            await page.keyboard.press('Enter');
            await page.getByText('not now').waitFor();
            seen.pressed = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
            await page.getByRole('button', { name: 'Edit', exact: true }).focus();
            await page.keyboard.press('Enter');
            await page.getByRole('dialog').waitFor();
            seen.begins = await page.evaluate(() => document.activeElement.labels?.[0]?.innerText);
            await page.keyboard.press('Escape');
            await page.getByRole('dialog').waitFor({ state: 'detached' });
            seen.after = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
            /* Its name is what one looks for: its state does not cut it off. */
            await page.setViewportSize({ width: 360, height: 800 });
            seen.cut = await page.locator('.service .name b').evaluateAll((all) =>
                all.filter((b) => b.scrollWidth > b.clientWidth).map((b) => b.textContent));
            await page.goto(`${base}/terminal?path=${path}`);
            await page.locator('.xtermbox[data-link=open]').waitFor();
            await page.getByRole('button', { name: /^Close / }).click();
            await page.getByRole('heading', { name: 'No terminal is open here' }).waitFor();
        },
    };
}
