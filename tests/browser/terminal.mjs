/* Scenarios of ui.mjs about terminals: typed into and read as a person does. */

export function terminalScenarios({ seen, options, base, open, ask, look }) {
    const patience = 120000; /* a slow machine is no failure */
    const href = (path, rest = '') => `${base}/terminal?path=${encodeURIComponent(path)}${rest}`;
    const box = (page, link) => page.locator(`.xtermbox[data-link=${link}]`);
    const screen = (page) => page.locator('.xterm-rows').innerText();
    const size = (page) => page.locator('.xtermbox').getAttribute('data-size');

    async function shows(page, text) {
        await page.waitForFunction((wanted) => document.querySelector('.xterm-rows')?.innerText
            .replaceAll('\u00a0', ' ').includes(wanted), text);
    }

    async function type(page, text) {
        await page.locator('.xterm-helper-textarea').focus();
        await page.keyboard.type(text);
        await page.keyboard.press('Enter');
    }

    /* Asks the terminal what it is and where its cursor stands, and reads the answer up to the last letter. */
    const QUESTION = "bash -c 'printf \"\\033[c\\033[6n\"; read -s -d R answer; echo asked-${#answer}'";

    /* An answer that nobody waits for is text on the shell's line. */
    async function isTidy(page, word) {
        await type(page, `echo ${word}-$((4+4))`);
        await shows(page, `${word}-8`);
        return !(await screen(page)).includes('1;2c');
    }

    async function newShell(page, name = 'New shell') {
        const made = page.waitForResponse((r) => r.request().method() === 'POST');
        await page.getByRole('button', { name, exact: true }).click();
        const { id } = await (await made).json();
        await page.locator(`.xtermbox[data-id="${id}"][data-link=open][data-size]`).waitFor();
    }

    return {
        async terminal({ page }) {
            page.setDefaultTimeout(patience);
            await page.goto(href('/nowhere'));
            await page.getByRole('heading', { name: 'There is no such worktree' }).waitFor();
            seen.nowhere = await page.getByRole('button', { name: 'New shell' }).count();
            await look(page, 'terminal-nowhere', ['desktop', 'phone-dark']);
            await page.goto(`${base}/worktree?path=${encodeURIComponent(options.path)}`);
            await page.getByRole('link', { name: 'Terminal', exact: true }).click();
            await page.getByRole('heading', { name: 'No terminal is open here' }).waitFor();
            await look(page, 'terminal-none');
            await newShell(page);
            /* What is typed is not what is looked for. */
            await type(page, 'echo first-$((40+2)); pwd');
            await shows(page, 'first-42');
            seen.cwd = (await screen(page)).replaceAll(/\s/g, '').includes(options.path);
            await type(page, "printf '\\033[38;2;200;30;30mtrue-%s\\033[0m\\n' colour");
            await shows(page, 'true-colour');
            seen.colour = await page.locator('.xterm-rows span', { hasText: /^true-colour/ }).first()
                .evaluate((e) => getComputedStyle(e).color);
            seen.cellHeight = await page.locator('.xterm-rows > div').first()
                .evaluate((e) => e.getBoundingClientRect().height);
            await type(page, 'stty size | sed "s/^/size=/"');
            const before = await size(page);
            await shows(page, `size=${before.split('x').reverse().join(' ')}`);
            await look(page, 'terminal');
            await page.setViewportSize({ width: 900, height: 700 });
            await page.waitForFunction((old) => document.querySelector('.xtermbox').dataset.size !== old, before);
            await type(page, 'stty size | sed "s/^/now=/"');
            await shows(page, `now=${(await size(page)).split('x').reverse().join(' ')}`);
            /* The keys that a phone has not got. */
            await type(page, 'cat');
            await page.setViewportSize({ width: 390, height: 844 });
            await page.getByRole('button', { name: 'Ctrl', exact: true }).click();
            await page.keyboard.type('c');
            await type(page, 'echo again-$((1+1))');
            await shows(page, 'again-2');
            await page.getByRole('button', { name: 'Up', exact: true }).click();
            await page.keyboard.press('Enter');
            await page.waitForFunction(() => document.querySelector('.xterm-rows').innerText
                .match(/again-2/g)?.length >= 2);
            await page.setViewportSize({ width: 1280, height: 860 });
            /* Pasted, with what must not be run before Enter. */
            await type(page, 'clear');
            await page.locator('.xterm-helper-textarea').evaluate((area) => {
                const data = new DataTransfer();
                data.setData('text/plain', 'echo pasted-$((3*3))');
                area.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
            });
            await page.keyboard.press('Enter');
            await shows(page, 'pasted-9');
            await type(page, QUESTION);
            await shows(page, 'asked-1');
            await page.reload();
            await box(page, 'open').waitFor();
            await shows(page, 'pasted-9');
            seen.tidy = [await isTidy(page, 'replayed')];
            await type(page, QUESTION.replace('asked', 'anew'));
            await shows(page, 'anew-1');
            /* A row of underscores looks like none where its last pixels are cut off. */
            await type(page, "clear; printf '____\\n    \\n%s-drawn\\n' all");
            await shows(page, 'all-drawn');
            const row = (text) => page.locator('.xterm-rows > div').filter({ hasText: text }).first().screenshot();
            seen.underscores = !(await row(/^_{4}\s*$/)).equals(await row(/^\s*$/));
            /* By keyboard out of the terminal, and back into it. */
            const where = () => page.evaluate(() => document.activeElement.textContent
                || document.activeElement.getAttribute('aria-label'));
            await page.locator('.xterm-helper-textarea').focus();
            seen.leave = [];
            for (const key of ['Tab', 'Control+Shift+Enter', 'Shift+Tab']) {
                await page.keyboard.press(key);
                seen.leave.push(await where());
            }
            seen.hint = await page.locator('.xterm-helper-textarea').evaluate((area) =>
                document.getElementById(area.getAttribute('aria-describedby')).innerText);
            await page.keyboard.press('Control+u');
            /* A second tab, renamed, closed. */
            await newShell(page);
            await page.getByRole('button', { name: /^Rename/ }).click();
            await page.getByRole('textbox', { name: 'Name', exact: true }).fill('build & test');
            await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
            await page.getByRole('link', { name: 'build & test' }).waitFor();
            seen.tabs = await page.getByRole('navigation', { name: 'Terminals' }).getByRole('link').count();
            await page.getByRole('button', { name: 'Screen reader' }).click();
            await type(page, 'echo heard-$((5+5))');
            await page.locator('.xterm-accessibility').getByText('heard-10').first().waitFor();
            await look(page, 'terminal-reader');
            await page.getByRole('button', { name: 'Screen reader' }).click();
            await page.getByRole('button', { name: 'Close build & test' }).click();
            await page.getByRole('link', { name: 'build & test' }).waitFor({ state: 'detached' });
            await box(page, 'open').waitFor(); /* what is typed before goes nowhere */
            await type(page, 'exit 3');
            await page.getByText('It has ended (exit 3).').waitFor();
        },

        async terminalTwo({ page }) {
            page.setDefaultTimeout(patience);
            await page.goto(href(options.path));
            await newShell(page);
            await type(page, 'echo from-one-$((1+0))');
            await shows(page, 'from-one-1');
            const other = await open();
            other.page.setDefaultTimeout(patience);
            await other.page.setViewportSize({ width: 700, height: 600 });
            await other.page.goto(page.url());
            await box(other.page, 'open').waitFor();
            await shows(other.page, 'from-one-1');
            await type(other.page, 'echo from-two-$((1+1))');
            await shows(page, 'from-two-2');
            await shows(other.page, 'from-two-2');
            const mine = await size(other.page);
            await page.waitForFunction((s) => document.querySelector('.xtermbox').dataset.size === s, mine);
            /* What is beside a screen that is smaller than its box is the page. */
            seen.beside = [];
            for (const colorScheme of ['light', 'dark']) {
                await page.emulateMedia({ colorScheme });
                await page.waitForFunction((is) => matchMedia(`(prefers-color-scheme: ${is})`).matches, colorScheme);
                seen.beside.push(await page.evaluate(() => {
                    const box = document.querySelector('.xtermbox').getBoundingClientRect();
                    const colour = (e) => getComputedStyle(e).backgroundColor;
                    const at = (x, y) => colour(document.elementsFromPoint(x, y)
                        .find((e) => colour(e) !== 'rgba(0, 0, 0, 0)'));
                    return [[box.right - 20, box.top + 20], [box.left + 20, box.bottom - 20], [box.left + 20, box.top + 20]]
                        .map(([x, y]) => at(x, y) === colour(document.body));
                }));
            }
            await look(page, 'terminal-smaller');
            await type(other.page, QUESTION);
            await shows(other.page, 'asked-1');
            seen.tidy = [await isTidy(other.page, 'once')];
            /* Who types has it at their size again. Of two of the same size one answers too. */
            await type(page, 'echo wide-$((2+2))');
            await shows(other.page, 'wide-4');
            seen.sizes = [mine, await size(page)];
            await other.page.waitForFunction((s) => document.querySelector('.xtermbox').dataset.size === s,
                await size(page));
            await other.page.setViewportSize(page.viewportSize());
            await type(other.page, 'echo same-$((3+3))');
            await shows(page, 'same-6');
            seen.same = await size(page) === await size(other.page) && await size(page) === seen.sizes[1];
            for (const [who, word] of [[page, 'left'], [other.page, 'right']]) {
                await type(who, QUESTION.replace('asked', word));
                await shows(page, `${word}-1`);
                seen.tidy.push(await isTidy(page, word));
            }
            /* A program that wants to know is told that somebody came, by a view that did not answer. */
            await page.getByRole('button', { name: 'Copy', exact: true }).focus();
            await type(other.page, "printf '\\033[?1004h'; cat");
            await shows(page, '^[[I');
            await page.locator('.xterm-helper-textarea').focus();
            await shows(page, '^[[I^[[I');
            await page.keyboard.press('Control+c');
            await type(page, "printf '\\033[?1004l'; echo calm-$((4+4))");
            await shows(page, 'calm-8');
            await ask('restart');
            await page.getByText('This terminal is no more').first().waitFor();
            await look(page, 'terminal-gone');
        },

        async terminalService({ page }) {
            page.setDefaultTimeout(patience);
            await page.goto(`${base}/worktree?path=${encodeURIComponent(options.path)}`);
            await page.getByRole('button', { name: 'Shell in web' }).click();
            await box(page, 'open').waitFor();
            await type(page, 'echo port=$WOS_SERVICE_PORT=');
            await shows(page, `port=${options.port}=`);
        },

        async terminalPublic({ page }) {
            page.setDefaultTimeout(patience);
            await page.goto(options.url);
            await page.getByLabel('Secret').fill(options.secret);
            await page.getByRole('button', { name: 'Sign in' }).click();
            await page.getByRole('link', { name: 'alpha', exact: true }).waitFor();
            await page.goto(href(options.path));
            await page.getByText('restricted to trusted local clients').waitFor();
            seen.refused = await page.evaluate(() => fetch('/ui/v1/terminals').then((r) => r.status));
            await page.goto(`${base}/worktree?path=${encodeURIComponent(options.path)}`);
            await page.getByRole('heading', { name: 'alpha' }).waitFor();
            seen.links = await page.getByRole('link', { name: 'Terminal', exact: true }).count();
            await ask('on');
            await page.goto(href(options.path));
            await newShell(page);
            await type(page, 'echo outside-$((6*7))');
            await shows(page, 'outside-42');
            seen.protocol = await page.evaluate(() =>
                performance.getEntriesByType('navigation')[0].nextHopProtocol);
            /* A break: the terminal goes on, and what is missing comes, once. */
            await page.evaluate(() => {
                const view = document.querySelector('.xtermbox');
                window.links = [];
                new MutationObserver(() => window.links.push(view.dataset.link))
                    .observe(view, { attributeFilter: ['data-link'] });
            });
            await type(page, '(sleep 1; echo meanwhile-$((3+3))) & echo begun-$((2+2))');
            await shows(page, 'begun-4');
            await ask('break');
            await page.waitForFunction(() => window.links.join().includes('lost,open'));
            await shows(page, 'meanwhile-6');
            await type(page, 'echo back-$((1+1))');
            await shows(page, 'back-2');
            seen.once = (await screen(page)).match(/outside-42|meanwhile-6/g).length;
            await ask('off');
            await page.getByText('restricted to trusted local clients').first().waitFor();
        },
    };
}
