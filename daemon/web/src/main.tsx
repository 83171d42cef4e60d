/* The web UI: who is asking (login or not), the frame around the pages, and which page it is. */
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, call, get, isOffline, useLoaded } from './api';
import { Board } from './board';
import { Devices } from './devices';
import { Edge } from './edge';
import { basename } from './format';
import { Login } from './login';
import { Empty, Note } from './parts';
import { useLocation } from './router';
import { Settings } from './settings';
import { Terminals } from './terminals';
import { Worktree } from './worktree';
import type { AuthSession } from './types';
import './style.css';

function Page({ at, isPublic }: { at: URL; isPublic: boolean }) {
    switch (at.pathname) {
    case '/':
        return <Board isPublic={isPublic} />;
    case '/worktree': {
        const path = at.searchParams.get('path') ?? '';
        return <Worktree key={path} path={path} />;
    }
    case '/terminal': {
        const path = at.searchParams.get('path') ?? '';
        return <Terminals key={path} path={path} id={at.searchParams.get('id')} />;
    }
    case '/edge':
        return <Edge isPublic={isPublic} />;
    case '/devices':
        return <Devices isPublic={isPublic} />;
    case '/settings':
        return isPublic ? <Empty title="Settings are changed on the machine itself" /> : <Settings />;
    default:
        return <Empty title="There is no such page"><p><a href="/">All worktrees</a></p></Empty>;
    }
}

/* For one of many tabs: which it is. */
function titleOf(at: URL, pages: string[][]): string {
    const tree = basename(at.searchParams.get('path') ?? '');
    switch (at.pathname) {
    case '/worktree':
        return tree || 'Worktree';
    case '/terminal':
        return tree ? `Terminal of ${tree}` : 'Terminal';
    default:
        return pages.find(([path]) => path === at.pathname)?.[1] ?? 'No such page';
    }
}

function Frame({ isPublic }: { isPublic: boolean }) {
    const at = useLocation();
    const health = useLoaded(() => get('/health'), 'health');
    const pages = [['/', 'Worktrees'], ['/edge', 'Edge'], ['/devices', 'Devices']];
    if (!isPublic) {
        pages.push(['/settings', 'Settings']);
    }
    const where = at.pathname + at.search;
    const isMoved = useRef(false);
    useEffect(() => {
        document.title = `${titleOf(at, pages)} – wos`;
        if (isMoved.current) { /* what had the focus is gone with its page */
            document.getElementById('main')!.focus({ preventScroll: true });
        }
        isMoved.current = true;
    }, [where]);
    const signOut = () => call('POST', '/auth/logout').finally(() => location.assign('/'));
    return <>
        <a class="skip" href="#main">Skip to the page</a>
        <header class="bar"><div class="inner">
            <a class="brand" href="/"><img src="/icon.svg" alt="" width="24" height="24" />wos</a>
            <nav aria-label="Pages">{pages.map(([path, text]) =>
                <a href={path} aria-current={path === at.pathname ? 'page' : undefined}>{text}</a>)}
            </nav>
            {isPublic && <button type="button" class="quiet" onClick={signOut}>Sign out</button>}
        </div></header>
        {isOffline(health.error) && <div class="inner">
            <Note kind="warn">Offline: the daemon does not answer. What you see is from before; it is tried
                again by itself.</Note></div>}
        <main id="main" class="inner" tabIndex={-1}><Page at={at} isPublic={isPublic} /></main>
    </>;
}

/* The grant of a one-time link. It leaves the address bar and the history at once. */
function takeGrant(): string | null {
    const match = /^#connect=([A-Za-z0-9_-]{1,200})$/.exec(location.hash);
    if (match !== null) {
        history.replaceState(null, '', location.pathname);
    }
    return match?.[1] ?? null;
}

const firstGrant = takeGrant();

function App() {
    const [session, setSession] = useState<AuthSession>();
    const [problem, setProblem] = useState<string>();
    const ask = () => get<AuthSession>('/auth/session').then((s) => {
        setSession(s);
        setProblem(undefined);
    }, (e: ApiError) => {
        setProblem(e.message);
        window.setTimeout(ask, 3000);
    });
    useEffect(() => {
        const enter = (grant: string | null) => {
            setProblem(undefined);
            const start = grant === null ? Promise.resolve()
                : call('POST', '/auth/exchange', { grant }).catch((e: ApiError) => setProblem(e.message));
            void start.then(() => get<AuthSession>('/auth/session')).then(setSession, () => void ask());
        };
        enter(firstGrant);
        const onOut = () => setSession((s) => s && { ...s, authenticated: false });
        const onHash = () => { /* a link opened in the tab that shows the login loads nothing anew */
            const grant = takeGrant();
            if (grant !== null) {
                enter(grant);
            }
        };
        window.addEventListener('wos-signed-out', onOut);
        window.addEventListener('hashchange', onHash);
        return () => {
            window.removeEventListener('wos-signed-out', onOut);
            window.removeEventListener('hashchange', onHash);
        };
    }, []);
    if (session === undefined) {
        return <main class="inner">{problem === undefined
            ? <p class="loading" role="status">Loading…</p>
            : <Empty title="The daemon does not answer"><p>{problem}. It is tried again by itself.</p></Empty>}
        </main>;
    }
    return session.authenticated ? <Frame isPublic={session.requiresAuth} />
        : <Login problem={problem} onDone={ask} />;
}

const root = document.getElementById('app')!;
root.replaceChildren();
render(<App />, root);
