/* What people wrote about a worktree. */
import { useState } from 'preact/hooks';
import { ApiError, call, get, useLoaded } from './api';
import { ago } from './format';
import { Action, ErrorNote, Icon } from './parts';
import type { Comment } from './types';

export function Comments({ path }: { path: string }) {
    const query = `?path=${encodeURIComponent(path)}`;
    const loaded = useLoaded(() => get<{ comments: Comment[] }>(`/worktrees/comments${query}`), `comments ${path}`);
    const [text, setText] = useState('');
    const [error, setError] = useState<ApiError>();
    const add = async (event: Event) => {
        event.preventDefault();
        try {
            await call('POST', '/worktrees/comments', { path, text: text.trim() });
            setText('');
            setError(undefined);
            loaded.reload();
        } catch (e) {
            setError(e as ApiError);
        }
    };
    const remove = (id: string) => async () => {
        await call('DELETE', '/worktrees/comments', { path, id });
        loaded.reload();
    };
    return <section class="panel" aria-label="Comments"><h2>Comments</h2>
        <ErrorNote error={error ?? loaded.error} />
        <ul class="comments">{loaded.data?.comments.map((c) => <li key={c.id}>
            <p>{c.text}</p><span class="dim small"><time dateTime={c.createdAt}>{ago(c.createdAt)}</time></span>
            <Action kind="icon" run={remove(c.id)} onError={setError} label={`Delete the comment ${c.text.slice(0, 40)}`}>
                <Icon name="close" /></Action>
        </li>)}</ul>
        <form class="inline" onSubmit={add}>
            <input value={text} required maxLength={2000} placeholder="Write a comment" aria-label="New comment"
                onInput={(e) => setText(e.currentTarget.value)} />
            <button type="submit" disabled={text.trim() === ''}>Comment</button>
        </form>
    </section>;
}
