/* Scenarios of ui.mjs: what pages of others try, in a browser where the user is signed in. */
export function attacks({ options, base, seen, open, ask }) {
    /* Each way of a page to make the browser ask; what the page learns of it. */
    async function everything(page, target, attach) {
        return page.evaluate(async ({ target, path, attach }) => {
            const body = JSON.stringify({ path });
            const out = {};
            const attempt = async (name, ask) => {
                try {
                    out[name] = await ask();
                } catch (error) {
                    out[name] = error.name;
                }
            };
            const down = `${target}/ui/v1/worktrees/down`;
            const json = { 'Content-Type': 'application/json' };
            const all = { credentials: 'include', method: 'POST', body };
            await attempt('json', async () => (await fetch(down, { ...all, headers: json })).status);
            await attempt('simple', async () => (await fetch(down, all)).status);
            await attempt('no-cors', async () => (await fetch(down, { ...all, mode: 'no-cors' })).type);
            await attempt('delete', async () => (await fetch(`${target}/ui/v1/auth/sessions`,
                { credentials: 'include', method: 'DELETE' })).status);
            await attempt('read', async () => (await (await fetch(`${target}/ui/v1/sessions`,
                { credentials: 'include' })).text()));
            await attempt('beacon', () => navigator.sendBeacon(down, body) && 'sent');
            await attempt('frame', () => new Promise((done) => {
                const frame = document.createElement('iframe');
                frame.src = `${target}/`;
                frame.onload = () => {
                    try {
                        done(frame.contentDocument === null ? 'closed' : frame.contentDocument.title || 'blank');
                    } catch {
                        done('closed');
                    }
                };
                document.body.append(frame);
            }));
            await attempt('script', () => new Promise((done) => {
                const script = document.createElement('script');
                script.src = `${target}/ui/v1/sessions`;
                script.onload = () => done('loaded');
                script.onerror = () => done('refused');
                document.head.append(script);
            }));
            await attempt('socket', () => new Promise((done) => {
                const ws = new WebSocket(target.replace(/^http/, 'ws') + attach);
                ws.onopen = () => done('open');
                ws.onerror = () => done('refused');
            }));
            return out;
        }, { target, path: options.path, attach });
    }

    async function form(page, target) {
        await page.evaluate(({ target, path }) => {
            const form = document.createElement('form');
            form.method = 'post';
            form.enctype = 'text/plain';
            form.action = `${target}/ui/v1/worktrees/down`;
            const input = document.createElement('input');
            input.name = `{"path":"${path}","x":"`;
            input.value = '"}';
            form.append(input);
            document.body.append(form);
            form.submit();
        }, { target, path: options.path });
        await page.waitForURL(`${target}/**`);
        return page.evaluate(() => document.body.textContent);
    }

    return {
        async attack({ context, page }) {
            /* The user is signed in at the public name, in this very browser. */
            await page.goto(options.public);
            await page.getByLabel('Secret').fill(options.secret);
            await page.getByRole('button', { name: 'Sign in' }).click();
            await page.getByRole('navigation').waitFor();
            seen.results = {};
            seen.answers = {};
            for (const [from, origin] of Object.entries(options.pages)) {
                for (const [to, target] of Object.entries({ local: base, public: options.public })) {
                    const name = `${from} to ${to}`;
                    const answers = seen.answers[name] = [];
                    const evil = await context.newPage();
                    evil.on('response', (r) => {
                        if (new URL(r.url()).pathname.startsWith('/ui/')) {
                            answers.push(`${r.request().method()} ${r.status()}`);
                        }
                    });
                    await evil.route(`${origin}/attack`, (route) => route.fulfill({
                        contentType: 'text/html', body: '<!doctype html><title>evil</title>' }));
                    await evil.goto(`${origin}/attack`);
                    seen.results[name] = await everything(evil, new URL(target).origin,
                        await ask('terminal'));
                    seen.results[name].form = await form(evil, new URL(target).origin);
                    await evil.close();
                }
            }
            await page.reload();
            await page.getByRole('navigation').waitFor(); /* still signed in */
            seen.foreign = []; /* the attacks themselves */
        },

        /* evil.example leads to loopback: its pages are of the same origin as what they ask. */
        async rebind() {
            const { page } = await open();
            const url = `http://evil.example:${new URL(base).port}`;
            const answer = await page.goto(`${url}/`);
            seen.first = answer.status();
            seen.rest = await page.evaluate((attach) => Promise.all([
                fetch('/ui/v1/sessions').then((r) => r.status),
                fetch('/ui/v1/status/all').then((r) => r.status),
                fetch('/ui/v1/daemon/stop', { method: 'POST' }).then((r) => r.status),
                new Promise((done) => {
                    const ws = new WebSocket(`ws://${location.host}${attach}`);
                    ws.onopen = () => done('open');
                    ws.onerror = () => done('refused');
                }),
            ]), await ask('terminal'));
            seen.foreign = [];
            seen.errors = []; /* Chromium's own words about the refused socket */
        },
    };
}
