/* What was saved and waits for a restart, with the button that does it. */
import { useState } from 'preact/hooks';
import { ApiError, call, get } from './api';
import { Action, ErrorNote, Note } from './parts';

const NAMED_MAX = 3;

function named(keys: string[]): string {
    return keys.length <= NAMED_MAX ? keys.join(', ')
        : `${keys.slice(0, NAMED_MAX - 1).join(', ')} and ${keys.length - NAMED_MAX + 1} other keys`;
}

export function RestartNote({ keys, isSaved, onDone }: { keys: string[]; isSaved?: boolean; onDone: () => void }) {
    const [error, setError] = useState<ApiError>();
    const restart = async () => {
        const before = (await get<{ startedAt: string }>('/health')).startedAt;
        await call('POST', '/daemon/restart', { start: true });
        for (let tries = 0; tries < 120; tries++) {
            await new Promise((done) => window.setTimeout(done, 500));
            const now = await get<{ startedAt: string }>('/health').catch(() => undefined);
            if (now !== undefined && now.startedAt !== before) {
                onDone();
                return;
            }
        }
        throw new ApiError(0, 'timeout', 'the daemon did not come back within a minute', {});
    };
    return <Note kind="warn">{isSaved && 'Saved. '}{named(keys)} {keys.length === 1 ? 'applies' : 'apply'} when the
        daemon starts anew; services and connections stay. <Action run={restart} onError={setError}>Restart
        the daemon</Action><ErrorNote error={error} /></Note>;
}
