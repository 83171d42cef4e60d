/* Forms that change projects and worktrees: add, make, name, note, status, remove. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError, call, get, readLines, useLoaded, whileShown } from './api';
import { basename, count } from './format';
import { Dialog, Note } from './parts';
import { go, worktreeHref } from './router';
import type { Project, Started, WorkflowStatus, WorktreeSummary } from './types';

/* Fields, what went wrong, and the two buttons. `run` may throw an ApiError: it is shown. */
export function FormDialog({ title, action, kind, busyText, onClose, run, disabled, children }: {
    title: string; action: string; kind?: string; busyText?: string; onClose: () => void;
    run: () => Promise<void>; disabled?: boolean; children: ComponentChildren;
}) {
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<ApiError>();
    const submit = async (event: Event) => {
        event.preventDefault();
        setBusy(true);
        setError(undefined);
        try {
            await run();
        } catch (e) {
            setError(e as ApiError);
        }
        setBusy(false);
    };
    return <Dialog title={title} onClose={onClose}>
        <form class="form" onSubmit={submit}>
            {children}
            {error !== undefined && <Note kind="bad">{error.message}</Note>}
            <div class="buttons">
                <button type="button" onClick={onClose}>Cancel</button>
                <button type="submit" class={kind ?? 'primary'} disabled={busy || disabled} aria-busy={busy}>
                    {busy && busyText !== undefined ? busyText : action}</button>
            </div>
        </form>
    </Dialog>;
}

/* Waits for the end of what the daemon accepted; throws what made it fail. */
export async function ended(started: Started): Promise<void> {
    let failure: string | undefined;
    const onLine = (line: any) => {
        if (line.terminal?.status === 'failed') {
            failure = line.terminal.failureMessage ?? 'it failed';
        }
    };
    let stop = () => {};
    await new Promise<void>((done, fail) => {
        stop = whileShown((signal) => readLines(`/operations/${started.operationId}/events`, onLine, signal)
            .then(done, (error) => signal.aborted || fail(error)));
    }).finally(() => stop());
    if (failure !== undefined) {
        throw new ApiError(500, 'failed', failure, {});
    }
}

/* --- projects ------------------------------------------------------------------------------- */

/* Directories below what is typed, where this client may ask for them. */
function useDirectories(path: string): string[] {
    const [found, setFound] = useState<string[]>([]);
    useEffect(() => {
        if (!path.startsWith('/')) {
            return undefined;
        }
        const folder = path.slice(0, path.lastIndexOf('/')) || '/';
        const timer = window.setTimeout(() => {
            get<{ entries: { path: string }[] }>(`/filesystem/directories?path=${encodeURIComponent(folder)}`)
                .then((answer) => setFound(answer.entries.map((e) => e.path)), () => setFound([]));
        }, 150);
        return () => window.clearTimeout(timer);
    }, [path]);
    return found.filter((p) => p.startsWith(path)).slice(0, 30);
}

export function AddProject({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
    const [path, setPath] = useState('');
    const directories = useDirectories(path);
    const run = async () => {
        await call('POST', '/projects', { path: path.trim() });
        onDone();
        onClose();
    };
    return <FormDialog title="Add a project" action="Add project" onClose={onClose} run={run}
        disabled={path.trim() === ''}>
        <label>Directory of a git repository
            <input value={path} required placeholder="/home/me/project" spellcheck={false} autocomplete="off"
                list="directories" onInput={(e) => setPath(e.currentTarget.value)} /></label>
        <datalist id="directories">{directories.map((d) => <option value={d} />)}</datalist>
        <p class="dim small">Any directory in one of its worktrees. All of its worktrees appear on the board.</p>
    </FormDialog>;
}

export function EditProject({ of, onClose, onDone }: { of: Project; onClose: () => void; onDone: () => void }) {
    const [name, setName] = useState(of.displayName);
    const [isLeaving, setLeaving] = useState(false);
    const run = async () => {
        await (isLeaving ? call('DELETE', `/projects/${of.id}`)
            : call('PATCH', `/projects/${of.id}`, { displayName: name }));
        onDone();
        onClose();
    };
    return <FormDialog title={`Project ${of.displayName}`} action={isLeaving ? 'Take it off the board' : 'Save'}
        kind={isLeaving ? 'danger' : 'primary'} onClose={onClose} run={run}>
        <label>Name<input value={name} maxLength={120} required disabled={isLeaving}
            onInput={(e) => setName(e.currentTarget.value)} /></label>
        <p class="dim small">{of.sourcePath}</p>
        <label class="check"><input type="checkbox" checked={isLeaving}
            onChange={(e) => setLeaving(e.currentTarget.checked)} />Take it off the board. Nothing of the
            repository is touched.</label>
    </FormDialog>;
}

/* --- worktrees ------------------------------------------------------------------------------ */

export function CreateWorktree({ of, onClose, onDone }: { of: Project; onClose: () => void; onDone: () => void }) {
    const [name, setName] = useState('');
    const [branch, setBranch] = useState<string>();
    const run = async () => {
        const started = await call<Started & { targetPath: string }>('POST', '/worktrees/create', {
            projectId: of.id, name: name.trim(), branch: (branch ?? name).trim() || undefined,
        });
        await ended(started);
        onDone();
        onClose();
        go(worktreeHref(started.targetPath));
    };
    return <FormDialog title={`New worktree of ${of.displayName}`} action="Create" busyText="Creating…"
        onClose={onClose} run={run} disabled={name.trim() === ''}>
        <label>Name<input value={name} required maxLength={100} spellcheck={false} autocomplete="off"
            placeholder="feature-x" aria-describedby="create-name"
            onInput={(e) => setName(e.currentTarget.value)} /></label>
        <p class="dim small hint" id="create-name">The first part of the names of its services.</p>
        <label>Branch<input value={branch ?? name} spellcheck={false} autocomplete="off"
            aria-describedby="create-branch" onInput={(e) => setBranch(e.currentTarget.value)} /></label>
        <p class="dim small hint" id="create-branch">Made from HEAD where there is none of that name. Empty: no
            branch.</p>
    </FormDialog>;
}

const NONE = '';
const NEW = ' new';

function StatusField({ statuses, value, fresh, onChange, onFresh }: {
    statuses: WorkflowStatus[]; value: string; fresh: string;
    onChange: (id: string) => void; onFresh: (name: string) => void;
}) {
    return <>
        <label>Status<select value={value} onChange={(e) => onChange(e.currentTarget.value)}>
            <option value={NONE}>none</option>
            {statuses.map((s) => <option value={s.id}>{s.name}</option>)}
            <option value={NEW}>A new one…</option>
        </select></label>
        {value === NEW && <label>Name of the new status<input value={fresh} required maxLength={120}
            placeholder="In review" onInput={(e) => onFresh(e.currentTarget.value)} /></label>}
    </>;
}

export function EditWorktree({ of, onClose, onDone }:
{ of: WorktreeSummary; onClose: () => void; onDone: () => void }) {
    const statuses = useLoaded(() => get<{ statuses: WorkflowStatus[] }>('/statuses'), 'statuses');
    const [name, setName] = useState(of.displayName ?? '');
    const [note, setNote] = useState(of.note ?? '');
    const [status, setStatus] = useState(of.workflowStatusId ?? NONE);
    const [fresh, setFresh] = useState('');
    const save = async () => {
        const path = of.path;
        if (name.trim() !== (of.displayName ?? '')) {
            await call('PATCH', '/worktrees/name', { path, displayName: name.trim() || null });
        }
        if (note.trim() !== (of.note ?? '')) {
            await call('PATCH', '/worktrees/note', { path, note: note.trim() || null });
        }
        const id = status !== NEW ? status
            : (await call<{ status: WorkflowStatus }>('POST', '/statuses', { name: fresh.trim() })).status.id;
        if (id !== (of.workflowStatusId ?? NONE)) {
            await call('PATCH', '/worktrees/status', { path, workflowStatusId: id === NONE ? null : id });
        }
        onDone();
        onClose();
    };
    return <FormDialog title={`Edit ${of.displayName ?? basename(of.path)}`} action="Save" onClose={onClose}
        run={save}>
        <label>Name on the board<input value={name} maxLength={120} placeholder={basename(of.path)}
            onInput={(e) => setName(e.currentTarget.value)} /></label>
        <label>Note<textarea rows={3} maxLength={1000} value={note}
            onInput={(e) => setNote(e.currentTarget.value)} /></label>
        <StatusField statuses={statuses.data?.statuses ?? []} value={status} fresh={fresh} onChange={setStatus}
            onFresh={setFresh} />
        <p class="dim small">Directory, branch and public names stay as they are.</p>
    </FormDialog>;
}

interface Changes { total?: number; staged?: number; unstaged?: number; untracked?: number }

function changesText(of: Changes): string {
    const kinds = ([['staged', of.staged], ['changed', of.unstaged], ['not in git', of.untracked]] as const)
        .filter(([, n]) => n).map(([kind, n]) => `${count(n!)} ${kind}`);
    return kinds.length > 0 ? kinds.join(', ') : `${of.total ?? 'some'} changes`;
}

export function RemoveWorktree({ of, onClose }: { of: WorktreeSummary; onClose: () => void }) {
    const [dirty, setDirty] = useState<Changes>();
    const [discard, setDiscard] = useState(false);
    const run = async () => {
        try {
            await ended(await call<Started>('POST', '/worktrees/remove',
                { path: of.path, discardChanges: discard || undefined }));
        } catch (error) {
            if (!(error instanceof ApiError) || error.code !== 'worktree-dirty') {
                throw error;
            }
            setDirty(error.body.changes as Changes ?? {});
            return;
        }
        go('/');
    };
    return <FormDialog title={`Remove ${of.displayName ?? basename(of.path)}`} action="Remove" kind="danger"
        busyText="Removing…" onClose={onClose} run={run} disabled={dirty !== undefined && !discard}>
        <p>Its services stop, their names go, and git removes the directory <code>{of.path}</code>.
            {of.branch && <> The branch {of.branch} stays.</>}</p>
        {dirty !== undefined && <><Note kind="warn">There is work that is not committed: {changesText(dirty)}.
        </Note>
        <label class="check"><input type="checkbox" checked={discard}
            onChange={(e) => setDiscard(e.currentTarget.checked)} />Throw it away for good</label></>}
    </FormDialog>;
}

