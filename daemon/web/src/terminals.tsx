/* The terminals of a worktree, as tabs: open, rename, close, and the one that is shown. */
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError, call, get, useLoaded, type Loaded } from './api';
import { basename } from './format';
import { Action, Await, Dialog, Dot, Empty, ErrorNote, Icon } from './parts';
import { go, worktreeHref } from './router';
import type { Detail, Shell } from './types';

export function terminalHref(path: string, id?: string): string {
    return `/terminal?path=${encodeURIComponent(path)}${id === undefined ? '' : `&id=${id}`}`;
}

/* Opens one and shows it. */
export async function openTerminal(path: string, service?: string) {
    const shell = await call<Shell>('POST', '/terminals', { path, service });
    go(terminalHref(path, shell.id));
}

/* Those of a worktree; 403 where this client may not have any. */
export function useTerminals(path: string): Loaded<{ terminals: Shell[] }> {
    return useLoaded(() => get<{ terminals: Shell[] }>(`/terminals?path=${encodeURIComponent(path)}`),
        `terminals ${path}`);
}

/* A link to the terminals of a worktree. */
export function TerminalLink({ path, count }: { path: string; count: number }) {
    return <a class="button" href={terminalHref(path)}>
        <Icon name="terminal" />Terminal{count > 0 && ` (${count})`}</a>;
}

type ViewProps = { shell: Shell; readerMode: boolean };

function View(props: ViewProps) {
    const [view, setView] = useState<{ It: ComponentType<ViewProps> }>();
    const [failed, setFailed] = useState(false);
    useEffect(() => {
        import('./terminalview').then((module) => setView({ It: module.default }), () => setFailed(true));
    }, []);
    if (failed) {
        return <Empty title="The terminal could not be loaded"><p>Load the page again.</p></Empty>;
    }
    return view === undefined ? <div class="xtermbox" role="status" aria-label="Loading" />
        : <view.It {...props} />;
}

function RenameDialog({ shell, onClose, reload }: { shell: Shell; onClose: () => void; reload: () => void }) {
    const [title, setTitle] = useState(shell.title);
    const [error, setError] = useState<ApiError>();
    const run = async () => {
        await call('PATCH', `/terminals/${shell.id}`, { title });
        reload();
        onClose();
    };
    return <Dialog title="Rename the terminal" onClose={onClose}><div class="form">
        <label>Name<input value={title} maxLength={80} onInput={(e) => setTitle(e.currentTarget.value)} /></label>
        <ErrorNote error={error} />
        <Action kind="primary" run={run} onError={setError} disabled={title.trim() === ''}>Rename</Action>
    </div></Dialog>;
}

function Tabs({ path, all, shown, reload, onError }: {
    path: string; all: Shell[]; shown?: Shell; reload: () => void; onError: (error?: ApiError) => void;
}) {
    const [renaming, setRenaming] = useState(false);
    const close = async () => {
        await call('DELETE', `/terminals/${shown!.id}`);
        const next = all.find((t) => t.id !== shown!.id);
        go(terminalHref(path, next?.id));
        reload();
    };
    return <div class="tabbar">
        <nav class="tabs" aria-label="Terminals">{all.map((t) => <a key={t.id} href={terminalHref(path, t.id)}
            aria-current={t.id === shown?.id ? 'page' : undefined}>
            <Dot status={t.state === 'running' ? 'running' : 'stopped'} /><span class="clip">{t.title}</span></a>)}</nav>
        {shown !== undefined && <>
            <button type="button" class="icon" aria-label={`Rename ${shown.title}`} title="Rename"
                onClick={() => setRenaming(true)}><Icon name="edit" /></button>
            <Action kind="icon" run={close} onError={onError} label={`Close ${shown.title}`}>
                <Icon name="close" /></Action></>}
        {renaming && shown !== undefined && <RenameDialog shell={shown} reload={reload}
            onClose={() => setRenaming(false)} />}
    </div>;
}

function NewButtons({ path, detail, reload, onError }:
{ path: string; detail?: Detail; reload: () => void; onError: (error?: ApiError) => void }) {
    const services = detail?.services.filter((s) => s.state === 'running') ?? [];
    const open = (service?: string) => async () => {
        await openTerminal(path, service);
        reload();
    };
    return <>
        <Action run={open()} onError={onError}><Icon name="terminal" />New shell</Action>
        {services.map((s) => <Action key={s.service} run={open(s.service)} onError={onError}
            label={`New shell in ${s.service}`}>in {s.service}</Action>)}
    </>;
}

const READER_KEY = 'wos-terminal-reader';

function Page({ path, id, all, reload }: { path: string; id: string | null; all: Shell[]; reload: () => void }) {
    const [error, setError] = useState<ApiError>();
    const [reader, setReader] = useState(localStorage.getItem(READER_KEY) === '1');
    const detail = useLoaded(() => get<Detail>(`/worktrees?path=${encodeURIComponent(path)}`), path);
    const shown = id === null ? all[0] : all.find((t) => t.id === id);
    const status = detail.error?.status;
    if (all.length === 0 && (status === 400 || status === 404)) {
        return <Empty title="There is no such worktree"><p>{detail.error!.message}</p>
            <p><a href="/">All worktrees</a></p></Empty>;
    }
    const toggle = () => {
        localStorage.setItem(READER_KEY, reader ? '0' : '1');
        setReader(!reader);
    };
    return <div class="terminalpage">
        <p class="crumb"><a href="/">Worktrees</a> / <a href={worktreeHref(path)}>{basename(path)}</a></p>
        <div class="title"><h1 class="clip">Terminal</h1>
            <NewButtons path={path} detail={detail.data} reload={reload} onError={setError} /><span class="grow" />
            <button type="button" class="quiet" aria-pressed={reader} onClick={toggle}>Screen reader</button></div>
        <ErrorNote error={error} />
        {all.length > 0 && <Tabs path={path} all={all} shown={shown} reload={reload} onError={setError} />}
        {shown !== undefined ? <View key={shown.id} shell={shown} readerMode={reader} />
            : <Empty title={id === null ? 'No terminal is open here' : 'This terminal is no more'}>
                <p>{id === null ? '' : 'It was closed, or the daemon was restarted. '}
                    {detail.data !== undefined && `A new shell starts in ${path}.`}</p>
            </Empty>}
    </div>;
}

export function Terminals({ path, id }: { path: string; id: string | null }) {
    const loaded = useTerminals(path);
    return <Await of={loaded}>{(data) => <Page path={path} id={id} all={data.terminals}
        reload={loaded.reload} />}</Await>;
}
