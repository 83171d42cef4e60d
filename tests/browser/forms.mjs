/* Scenarios of ui.mjs: forms, start options, two browsers, a daemon that goes and comes. */
export function forms({ options, base, seen, look, card, status, open, ask }) {
    const dialog = (page) => page.getByRole('dialog');
    const press = (page, name) => dialog(page).getByRole('button', { name, exact: true }).click();
    const closed = (page) => dialog(page).waitFor({ state: 'detached' });
    const worktree = (path) => `${base}/worktree?path=${encodeURIComponent(path)}`;

    /* Straight to the page; by the public name through the login first. */
    async function enter(page, url) {
        await page.goto(url);
        if (options.secret !== undefined) {
            await page.getByLabel('Secret').fill(options.secret);
            await page.getByRole('button', { name: 'Sign in' }).click();
            await page.getByRole('navigation').waitFor();
            seen.protocol = await page.evaluate(() =>
                performance.getEntriesByType('navigation')[0].nextHopProtocol);
        }
    }

    async function create(page) {
        await page.getByRole('button', { name: `New worktree of ${options.project}` }).click();
        await dialog(page).getByLabel('Name', { exact: true }).fill('bad/../name');
        await press(page, 'Create');
        seen.refused = await dialog(page).getByRole('alert').textContent();
        await dialog(page).getByLabel('Name', { exact: true }).fill(options.name);
        if (options.look) {
            await look(page, 'create');
        }
        await press(page, 'Create');
        await page.getByRole('heading', { name: options.name }).waitFor();
        seen.path = new URL(page.url()).searchParams.get('path');
        seen.facts = await page.locator('main > .facts').textContent();
    }

    async function edit(page) {
        await page.getByRole('button', { name: 'Edit', exact: true }).click();
        await dialog(page).getByLabel('Name on the board').fill('The fix');
        await dialog(page).getByLabel('Note').fill('waits for <b>review</b>');
        await dialog(page).getByRole('combobox', { name: /^Status/ }).selectOption({ label: 'A new one…' });
        await dialog(page).getByLabel('Name of the new status').fill(`Review ${options.name}`);
        if (options.look) {
            await look(page, 'edit');
        }
        await press(page, 'Save');
        await closed(page);
        await page.getByRole('heading', { name: 'The fix' }).waitFor();
        await page.locator('.title .label', { hasText: `Review ${options.name}` }).waitFor();
        seen.note = await page.locator('.note-text').textContent();
    }

    async function comment(page) {
        const region = page.getByRole('region', { name: 'Comments' });
        await region.getByLabel('New comment').fill('first <i>words</i>');
        await region.getByLabel('New comment').press('Enter');
        await region.getByText('first <i>words</i>').waitFor();
        await region.getByLabel('New comment').fill('second');
        await region.getByRole('button', { name: 'Comment', exact: true }).click();
        await region.getByText('second', { exact: true }).waitFor();
        await region.getByRole('button', { name: /^Delete the comment first/ }).click();
        await region.getByText('first').waitFor({ state: 'detached' });
        seen.comments = await region.locator('li p').allTextContents();
        if (options.look) {
            await look(page, 'worktree-idle');
        }
    }

    async function remove(page) {
        await ask(`dirty ${seen.path}`);
        await page.getByRole('button', { name: 'Remove', exact: true }).click();
        await press(page, 'Remove');
        seen.dirty = await dialog(page).getByText('not committed').textContent();
        seen.mayRemove = await dialog(page).getByRole('button', { name: 'Remove', exact: true }).isEnabled();
        if (options.look) {
            await look(page, 'remove');
        }
        await dialog(page).getByLabel('Throw it away for good').check();
        await press(page, 'Remove');
        await page.getByRole('heading', { name: 'Worktrees' }).waitFor();
        await card(page, 'The fix').waitFor({ state: 'detached' });
    }

    return {
        async forms({ page }) {
            await enter(page, options.url);
            await card(page, 'alpha').waitFor();
            await create(page);
            await edit(page);
            await comment(page);
            await page.getByRole('link', { name: 'Worktrees' }).first().click();
            /* Not innerText: what is not drawn yet (content-visibility) has none. */
            seen.card = await card(page, 'The fix').textContent();
            if (options.look) {
                await look(page, 'board-labels');
            }
            await card(page, 'The fix').getByRole('link').first().click();
            await page.getByRole('heading', { name: 'The fix' }).waitFor();
            await remove(page);
            /* The repository itself is not removed from here. */
            await page.goto(worktree(options.source));
            await page.getByRole('button', { name: 'Edit', exact: true }).waitFor();
            seen.sourceRemove = await page.getByRole('button', { name: 'Remove', exact: true }).count();
            await page.goto(worktree('/nowhere'));
            await page.getByRole('heading', { name: 'There is no such worktree' }).waitFor();
        },

        async projects({ page }) {
            await enter(page, options.url);
            const add = () => page.getByRole('button', { name: 'Add a project' }).click();
            await add();
            await dialog(page).getByLabel('Directory of a git repository').fill('/');
            await press(page, 'Add project');
            seen.refused = await dialog(page).getByRole('alert').textContent();
            await dialog(page).getByLabel('Directory of a git repository').fill(options.other);
            await look(page, 'add-project');
            await press(page, 'Add project');
            await closed(page);
            await page.getByRole('button', { name: 'Edit the project second' }).click();
            await dialog(page).getByLabel('Name', { exact: true }).fill('The other');
            await press(page, 'Save');
            await page.getByRole('region', { name: 'The other' }).waitFor();
            await page.getByRole('button', { name: 'Edit the project The other' }).click();
            await dialog(page).getByLabel(/^Take it off/).check();
            await press(page, 'Take it off the board');
            await page.getByRole('region', { name: 'The other' }).waitFor({ state: 'detached' });
        },

        async options({ page }) {
            await enter(page, worktree(options.path));
            const start = async (choose) => {
                await page.getByRole('button', { name: /^Start/ }).first().click();
                await choose();
                await press(page, 'Start');
                await closed(page);
            };
            await start(async () => {
                await dialog(page).getByLabel('Target').selectOption('small');
                await dialog(page).getByLabel('MODE').fill('from the form');
                await look(page, 'start-options');
            });
            await page.locator('.title .pill', { hasText: /running/ }).waitFor();
            await ask('started');
            await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
            seen.target = await page.locator('.service .name b').allTextContents();
            await page.getByRole('button', { name: 'Stop', exact: true }).click();
            await page.locator('.title .pill', { hasText: 'stopped' }).waitFor();
            await start(async () => {
                await dialog(page).getByLabel('worker', { exact: true }).check();
                await dialog(page).getByLabel(/force/).check();
            });
            await page.locator('.title .pill', { hasText: /running/ }).waitFor();
            await page.getByText('init ran again').first().waitFor({ state: 'attached' });
            await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
            seen.services = await page.locator('.service .name b').allTextContents();
            /* One service by itself. */
            await page.getByRole('button', { name: 'Restart worker' }).click();
            await page.getByText('Restart of a service').waitFor();
            await page.locator('.title .pill', { hasText: /running/ }).waitFor();
            await page.getByRole('button', { name: 'Stop worker' }).click();
            await page.locator('.service', { hasText: 'worker' }).getByText('stopped').waitFor();
            await page.getByRole('button', { name: 'Restart', exact: true }).waitFor({ state: 'detached' });
        },

        /* What one does, the other sees; one by the public name, one here. */
        async two({ page }) {
            const other = await open();
            await enter(page, options.url);
            await other.page.goto(options.local);
            await status(page, 'beta', 'running');
            await status(other.page, 'beta', 'running');
            await card(page, 'beta').getByRole('link', { name: 'beta', exact: true }).click();
            await page.getByRole('button', { name: 'Stop', exact: true }).click();
            await status(other.page, 'beta', 'stopped');
            await card(other.page, 'beta').getByRole('link', { name: 'beta', exact: true }).click();
            await other.page.getByRole('button', { name: 'Start', exact: true }).click();
            await press(other.page, 'Start');
            await page.locator('.title .pill', { hasText: 'running' }).waitFor();
            const write = (p) => p.getByRole('region', { name: 'Comments' });
            await write(other.page).getByLabel('New comment').fill('seen by both');
            await write(other.page).getByLabel('New comment').press('Enter');
            await write(page).getByText('seen by both').waitFor();
            await write(page).getByRole('button', { name: /^Delete the comment/ }).click();
            await write(other.page).getByText('seen by both').waitFor({ state: 'detached' });
            await other.context.close(); /* what it asks for later would be foreign */
            seen.foreign = seen.foreign.filter((url) => !url.startsWith(options.local));
        },

        /* The same page throughout: nothing is loaded anew. */
        async reconnect({ page }) {
            await enter(page, options.url);
            await status(page, 'alpha', 'running');
            await page.evaluate(() => { window.sameDocument = true; });
            await ask('stop');
            await page.getByText(/^Offline/).waitFor();
            await status(page, 'alpha', 'running'); /* as before */
            await ask('start');
            await page.getByText(/^Offline/).waitFor({ state: 'detached' });
            await ask('restart');
            await ask('down');
            await status(page, 'beta', 'stopped');
            await ask('up');
            await status(page, 'beta', 'running');
            /* A log that was open goes on. */
            await card(page, 'alpha').getByRole('link', { name: 'alpha', exact: true }).click();
            await page.getByRole('log').getByText('green').first().waitFor();
            await ask('restart');
            const last = await page.evaluate(() => document.querySelector('.log').textContent);
            await page.waitForFunction((text) => document.querySelector('.log').textContent !== text, last);
            seen.same = await page.evaluate(() => window.sameDocument === true);
        },

        async renew({ page }) {
            await page.goto(`${base}/edge`);
            const region = page.getByRole('region', { name: 'Certificate', exact: true });
            const row = (name) => region.locator('dt', { hasText: name }).locator('+ dd');
            const button = region.getByRole('button');
            await region.getByText('Pebble').first().waitFor();
            seen.certificate = await region.textContent();
            await look(page, 'edge-letsencrypt');
            await button.click();
            await ask('renewed');
            await region.getByRole('button', { name: 'Renew now', disabled: false }).waitFor();
            await ask('the CA goes');
            await button.click();
            await row('Last error').locator('.bad').waitFor();
            seen.error = await row('Last error').textContent();
            await look(page, 'edge-error');
        },

        async follow({ page }) {
            await enter(page, worktree(options.path));
            const log = page.getByRole('log');
            const follow = page.getByRole('button', { name: 'Follow' });
            await page.waitForFunction(() => {
                const b = document.querySelector('.log');
                return b !== null && b.scrollHeight > b.clientHeight + 200;
            });
            const atEnd = () => log.evaluate((b) => b.scrollTop + b.clientHeight >= b.scrollHeight - 40);
            seen.follows = await atEnd();
            /* The log is drawn once more between the scrolling and the browser's event of it. */
            seen.left = await log.evaluate(async (b) => {
                const search = document.querySelector('[aria-label="Search the log"]');
                b.scrollTop = 0;
                search.value = 'e';
                search.dispatchEvent(new Event('input', { bubbles: true }));
                for (let i = 0; i < 10; i++) {
                    await Promise.resolve();
                }
                const drawn = [...b.querySelectorAll('.logline')];
                return { drawn: drawn.length, top: b.scrollTop, room: b.scrollHeight - b.clientHeight };
            });
            await page.getByRole('button', { name: 'Follow', pressed: false }).waitFor();
            await page.getByLabel('Search the log').fill('');
            const height = await log.evaluate((b) => b.scrollHeight);
            await page.waitForFunction((h) => document.querySelector('.log').scrollHeight > h, height);
            seen.stays = await log.evaluate((b) => b.scrollTop) === 0;
            await follow.click();
            await page.waitForFunction(() => {
                const b = document.querySelector('.log');
                return b.scrollTop + b.clientHeight >= b.scrollHeight - 40;
            });
        },
    };
}
