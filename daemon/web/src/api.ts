/* The daemon's API at /ui/v1, its one event stream, and a hook that keeps what a page shows
 * fresh: on events where there are any, by asking now and then where not.
 *
 * Only a tab that is in view keeps a stream open: over HTTP/1.1 a browser has six connections to a
 * host, for all of its tabs together, and those of a few forgotten tabs would be all of them. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

const BASE = '/ui/v1';
const POLL_MS = 3000; /* without an event stream */
const SLOW_POLL_MS = 15000; /* beside one: what has no event */
const GATHER_MS = 150; /* events come in bursts */
const REFUSED_MS = 5000; /* until an event stream that was refused is asked for again */

export class ApiError extends Error {
    constructor(
        readonly status: number,
        readonly code: string,
        message: string,
        readonly body: Record<string, unknown>,
    ) {
        super(message);
    }
}

export function isOffline(error: unknown): boolean {
    return error instanceof ApiError && error.status === 0;
}

async function failure(response: Response): Promise<ApiError> {
    let body: Record<string, unknown> = {};
    try {
        body = await response.json();
    } catch {
        if (response.status >= 502 && response.status <= 504) { /* the gateway's, for want of a daemon */
            return new ApiError(0, 'offline', 'the daemon does not answer', {});
        }
    }
    if (response.status === 401) {
        window.dispatchEvent(new Event('wos-signed-out'));
    }
    return new ApiError(response.status, String(body.error ?? 'unknown'),
        String(body.message ?? `the daemon answered ${response.status}`), body);
}

async function send(method: string, path: string, body?: unknown, signal?: AbortSignal) {
    let response: Response;
    try {
        response = await fetch(BASE + path, {
            method,
            signal,
            cache: 'no-store',
            headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
            body: body === undefined ? undefined : JSON.stringify(body),
        });
    } catch (error) {
        if (signal?.aborted) {
            throw error;
        }
        throw new ApiError(0, 'offline', 'the daemon does not answer', {});
    }
    if (!response.ok) {
        throw await failure(response);
    }
    return response;
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    return await (await send(method, path, body)).json() as T;
}

export const get = <T>(path: string) => call<T>('GET', path);

/* Reads NDJSON to its end; empty lines are heartbeats. */
export async function readLines(path: string, onLine: (line: any) => void, signal: AbortSignal) {
    const response = await send('GET', path, undefined, signal);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
        const { done, value } = await reader.read();
        if (done) {
            return;
        }
        const lines = (rest + value).split('\n');
        rest = lines.pop()!;
        for (const line of lines) {
            if (line !== '') {
                onLine(JSON.parse(line));
            }
        }
    }
}

/* Runs `run` while the tab is in view: its signal aborts when the tab is hidden, and it runs anew,
 * from the beginning, when the tab is shown. Gives what ends it for good. */
export function whileShown(run: (signal: AbortSignal) => void): () => void {
    let now: AbortController | undefined;
    const look = () => {
        if (document.hidden) {
            now?.abort();
            now = undefined;
        } else if (now === undefined) {
            now = new AbortController();
            run(now.signal);
        }
    };
    document.addEventListener('visibilitychange', look);
    look();
    return () => {
        document.removeEventListener('visibilitychange', look);
        now?.abort();
    };
}

/* --- events ------------------------------------------------------------------------------ */

/* All but log.appended: who wants log lines reads them themselves. */
const EVENTS = [
    'project.added', 'project.updated', 'project.removed', 'project.stale', 'project.recovered',
    'worktree.added', 'worktree.removed', 'worktree.updated', 'worktree.created',
    'worktree.deployment-status.changed', 'operation.started', 'operation.finished',
    'operation.failed', 'operation.conflict', 'deployment.step', 'deployment.completed',
    'deployment.failed', 'service.discovered', 'service.started', 'service.stopped',
    'service.crashed', 'service.removed', 'service.state.changed', 'healthcheck.changed',
    'tunnel.opened', 'tunnel.failed', 'tunnel.closed', 'tunnel.reset', 'tunnel.dropped',
    'certificate.issued', 'certificate.renewed', 'certificate.activated', 'certificate.failed',
    'config.changed', 'compose.status.changed', 'worktree.board.changed', 'worktree.comment.changed',
    'status.catalog.changed',
    'terminal.started', 'terminal.updated', 'terminal.exited', 'terminal.removed',
];

const listeners = new Set<() => void>();
let endEvents: (() => void) | undefined; /* while anybody listens */
let isStreaming = false;
let gathering: number | undefined;

function tell() {
    if (gathering === undefined) {
        gathering = window.setTimeout(() => {
            gathering = undefined;
            listeners.forEach((listener) => listener());
        }, GATHER_MS);
    }
}

/* What was before does not matter: everything is fetched when the stream opens. */
function openEvents(signal: AbortSignal) {
    const source = new EventSource(`${BASE}/events?history=0`);
    signal.addEventListener('abort', () => {
        source.close();
        isStreaming = false;
    });
    source.onopen = () => {
        isStreaming = true;
        tell(); /* what happened while there was no stream */
    };
    source.onerror = () => {
        isStreaming = false;
        tell(); /* the fetch that follows finds out whether the daemon is there */
        if (source.readyState === EventSource.CLOSED) { /* not logged in, or a gateway without a daemon */
            window.setTimeout(() => signal.aborted || openEvents(signal), REFUSED_MS);
        }
    };
    EVENTS.forEach((type) => source.addEventListener(type, tell));
}

function listen(listener: () => void) {
    listeners.add(listener);
    endEvents ??= whileShown(openEvents);
    return () => {
        listeners.delete(listener);
        if (listeners.size === 0) {
            endEvents?.();
            endEvents = undefined;
        }
    };
}

export interface Loaded<T> {
    data?: T;
    error?: ApiError;
    reload: () => void;
}

/* What `load` gives, loaded again on events, every `everyMs` where that is given, and when the page
 * comes back into view. Data of the last good answer stays while an error shows. */
export function useLoaded<T>(load: () => Promise<T>, key: string, everyMs?: number): Loaded<T> {
    const [state, setState] = useState<{ key: string; data?: T; error?: ApiError }>({ key });
    const current = useRef({ load, busy: false, again: false, alive: true });
    current.current.load = load;
    const reload = useCallback(async () => {
        const c = current.current;
        if (c.busy) {
            c.again = true;
            return;
        }
        c.busy = true;
        do {
            c.again = false;
            try {
                const data = await c.load();
                if (c.alive) {
                    setState({ key, data });
                }
            } catch (error) {
                if (c.alive && error instanceof ApiError) {
                    setState((old) => ({ key, data: old.key === key ? old.data : undefined, error }));
                }
            }
        } while (c.again && c.alive);
        c.busy = false;
    }, [key]);
    useEffect(() => {
        const mine = current.current;
        mine.alive = true;
        void reload();
        const stop = listen(reload);
        let last = Date.now();
        const timer = window.setInterval(() => {
            const pause = everyMs ?? (isStreaming ? SLOW_POLL_MS : POLL_MS);
            if (!document.hidden && Date.now() - last >= pause - 50) {
                last = Date.now();
                void reload();
            }
        }, Math.min(everyMs ?? 1000, 1000));
        const onShown = () => !document.hidden && void reload();
        document.addEventListener('visibilitychange', onShown);
        return () => {
            mine.alive = false;
            stop();
            window.clearInterval(timer);
            document.removeEventListener('visibilitychange', onShown);
        };
    }, [reload, everyMs]);
    return state.key === key ? { ...state, reload } : { reload };
}
