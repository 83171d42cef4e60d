/* The way in from outside: the secret of tunnel.webUi, or a one-time link. */
import { useEffect, useState } from 'preact/hooks';
import { ApiError, call } from './api';
import { Note } from './parts';

function explain(error: ApiError): string {
    return error.status === 401 ? 'Invalid secret.' : error.message;
}

export function Login({ problem, onDone }: { problem?: string; onDone: () => void }) {
    const [secret, setSecret] = useState('');
    const [wrong, setWrong] = useState(problem);
    const [busy, setBusy] = useState(false);
    useEffect(() => setWrong(problem), [problem]); /* a link that was opened here */
    const submit = async (event: Event) => {
        event.preventDefault();
        setBusy(true);
        try {
            await call('POST', '/auth/login', { secret });
            onDone();
        } catch (error) {
            setWrong(explain(error as ApiError));
        }
        setBusy(false);
    };
    return <main class="login">
        <form onSubmit={submit}>
            <img src="/icon.svg" alt="" width="48" height="48" />
            <h1>wos</h1>
            <p class="dim">{location.hostname}</p>
            {wrong !== undefined && <Note kind="bad">{wrong}</Note>}
            <label for="secret">Secret</label>
            <input id="secret" type="password" autocomplete="current-password" required autofocus
                value={secret} onInput={(e) => setSecret(e.currentTarget.value)} />
            <button type="submit" class="primary" disabled={busy}>Sign in</button>
            <p class="dim">Or run <code>wos connect --qr</code> on the machine and open its link here.</p>
        </form>
    </main>;
}
