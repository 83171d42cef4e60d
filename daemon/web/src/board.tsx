/* Every project with its worktrees: branch, state, services, addresses. */
import { useState } from 'preact/hooks';
import { ApiError, get, useLoaded } from './api';
import { ago, basename, bytes } from './format';
import { AddProject, CreateWorktree, EditProject } from './changes';
import { Await, Copy, Dot, Icon, Pill } from './parts';
import { RestartNote } from './restart';
import { QrButton } from './qrdialog';
import { worktreeHref } from './router';
import type { Health, Project, Service, Session, StatusAll, Tunnel, WorkflowStatus, WorktreeSummary } from './types';

interface BoardData {
    projects: Project[];
    sessions: Map<string, Session>;
    labels: Map<string, WorkflowStatus>;
    status?: StatusAll;
}

/* A daemon that keeps no list of projects: those of the sessions. */
function projectsOf(sessions: Session[]): Project[] {
    const out = new Map<string, Project>();
    for (const s of sessions) {
        const id = s.projectName ?? 'worktrees';
        const name = id.replace(/^wos-/, '').replace(/-[0-9a-f]{8}$/, '');
        const project = out.get(name) ?? { id: name, displayName: name, sourcePath: '', worktrees: [] };
        project.worktrees.push({ path: s.worktreePath, sessionName: s.sessionName, status: s.status });
        out.set(name, project);
    }
    return [...out.values()];
}

async function load(isPublic: boolean): Promise<BoardData> {
    const [{ sessions }, projects, labels, status] = await Promise.all([
        get<{ sessions: Session[] }>('/sessions'),
        get<{ projects: Project[] }>('/projects').then((p) => p.projects, (error: ApiError) => {
            if (error.status === 404) {
                return undefined;
            }
            throw error;
        }),
        get<{ statuses: WorkflowStatus[] }>('/statuses').then((s) => s.statuses, () => []),
        isPublic ? undefined : get<StatusAll>('/status/all'),
    ]);
    const byName = new Map(sessions.map((s) => [s.sessionName, s]));
    return {
        projects: projects ?? projectsOf(sessions), sessions: byName, status,
        labels: new Map(labels.map((l) => [l.id, l])),
    };
}

/* --- a card -------------------------------------------------------------------------------- */

function Branch({ of }: { of: WorktreeSummary }) {
    const branch = of.branch ?? (of.detached ? 'detached' : undefined);
    if (branch === undefined) {
        return null;
    }
    return <p class="branch"><span class="clip" title={branch}>{branch}</span>
        {of.aheadCount ? <span title={`${of.aheadCount} commits ahead`}>↑{of.aheadCount}</span> : null}
        {of.behindCount ? <span title={`${of.behindCount} commits behind`}>↓{of.behindCount}</span> : null}
        {of.uncommittedCount ? <span class="dirty">{of.uncommittedCount} changed</span> : null}
    </p>;
}

export function serviceState(service: Service, health: Health[] | undefined): string {
    const bad = health?.find((h) => h.service === service.service
        && (h.state === 'failed' || h.state === 'waiting'));
    return service.state === 'running' && bad !== undefined ? bad.state : service.state;
}

export function Address({ of }: { of: Tunnel }) {
    if (of.url === undefined) {
        return <span class="dim" title={of.message}>{of.state === 'private' ? 'private' : of.message ?? of.state}</span>;
    }
    const text = of.url.replace(/^https?:\/\//, '').replace(/\/$/, '');
    return <span class="address"><a href={of.url} target="_blank" rel="noreferrer" class="clip">{text}</a>
        <Copy text={of.url} what={`address of ${of.service}`} /><QrButton url={of.url} /></span>;
}

function Services({ of }: { of: Session }) {
    const names = new Set([...of.services.map((s) => s.service), ...of.tunnels.map((t) => t.service)]);
    return <ul class="services">{[...names].map((name) => {
        const service = of.services.find((s) => s.service === name);
        const state = service === undefined ? 'stopped' : serviceState(service, of.appPortHealthchecks);
        return <li key={name}>
            <span class="name"><Dot status={state} /><span class="clip">{name}</span></span>
            {of.tunnels.filter((t) => t.service === name).map((t) => <Address key={t.containerPort} of={t} />)}
        </li>;
    })}</ul>;
}

function lastActivity(of: WorktreeSummary, session?: Session): string | undefined {
    const operation = session?.activeOperation ?? session?.latestOperation;
    return [operation?.finishedAt ?? operation?.startedAt, of.lastCommitTime]
        .filter((t): t is string => t !== undefined)
        .sort((a, b) => Date.parse(b) - Date.parse(a))[0];
}

export function Label({ of }: { of: WorkflowStatus }) {
    return <span class={`label slot${of.colorSlot % 8}`}>{of.name}</span>;
}

function Card({ of, session, label }: { of: WorktreeSummary; session?: Session; label?: WorkflowStatus }) {
    const name = of.displayName ?? basename(of.path);
    const usage = of.resourceUsage;
    const active = lastActivity(of, session);
    return <li class="card" data-path={of.path}>
        <header><h3 class="clip"><a href={worktreeHref(of.path)}>{name}</a></h3>
            {label !== undefined && <Label of={label} />}<span class="grow" />
            <Pill status={session?.status ?? of.status} /></header>
        <Branch of={of} />
        {of.note && <p class="note-line" title={of.note}>{of.note}</p>}
        {session !== undefined && session.services.length + session.tunnels.length > 0 && <Services of={session} />}
        <footer class="dim">
            <span class="clip" title={of.path}>{of.lastCommitSubject ?? of.path}</span>
            {usage?.memUsedBytes ? <span>{Math.round(usage.cpuPercent ?? 0)} % · {bytes(usage.memUsedBytes)}</span>
                : null}
            {active !== undefined && <time dateTime={active}>{ago(active)}</time>}
        </footer>
    </li>;
}

/* --- first run ------------------------------------------------------------------------------ */

function FirstRun({ status, reload }: { status?: StatusAll; reload: () => void }) {
    const [isAdding, setAdding] = useState(false);
    const tunnel = status?.tunnel;
    const hasNames = tunnel === undefined || tunnel.state === 'serving';
    const steps = [
        { done: true, text: <>The daemon runs.</> },
        { done: hasNames, text: tunnel?.enabled
            ? <>The gateway serves {tunnel.domain}. {tunnel.error && <b>{tunnel.error}</b>}</>
            : <>Services get HTTPS names: set <code>tunnel.domain</code> and <code>tunnel.enabled</code> in
                the <a href="/settings">settings</a>.</> },
        { done: false, text: <>A worktree runs: in a git repository write <code>.wos/deploy.yaml</code>, then
            run <code>wos up</code> there.</> },
    ];
    const next = steps.findIndex((s) => !s.done);
    return <section class="firstrun panel">
        <h2>Nothing is deployed yet</h2>
        <ol>{steps.map((s, i) => <li class={s.done ? 'done' : i === next ? 'next' : ''}>
            {i === next && <b>Next: </b>}{s.text}</li>)}</ol>
        <p class="buttons start"><button type="button" class="primary" onClick={() => setAdding(true)}>
            <Icon name="plus" />Add a project</button></p>
        {isAdding && <AddProject onClose={() => setAdding(false)} onDone={reload} />}
    </section>;
}

/* --- the page --------------------------------------------------------------------------------- */

function Section({ of, data, reload }: { of: Project; data: BoardData; reload: () => void }) {
    const [asking, setAsking] = useState<'create' | 'edit'>();
    const close = () => setAsking(undefined);
    return <section class="project" aria-label={of.displayName}>
        <div class="tools"><h2 class="clip">{of.displayName} <span class="dim">{of.worktrees.length}</span></h2>
            {of.sourcePath !== '' && <>
                <button type="button" class="icon" aria-label={`Edit the project ${of.displayName}`} title="Edit"
                    onClick={() => setAsking('edit')}><Icon name="edit" /></button><span class="grow" />
                <button type="button" class="quiet" onClick={() => setAsking('create')}
                    aria-label={`New worktree of ${of.displayName}`}><Icon name="plus" />New worktree</button></>}
        </div>
        {asking === 'create' && <CreateWorktree of={of} onClose={close} onDone={reload} />}
        {asking === 'edit' && <EditProject of={of} onClose={close} onDone={reload} />}
        {of.error && <p class="note warn">{of.error}</p>}
        <ul class="cards">{of.worktrees.map((w) =>
            <Card key={w.path} of={w} session={data.sessions.get(w.sessionName)}
                label={data.labels.get(w.workflowStatusId ?? '')} />)}</ul>
    </section>;
}

function matches(of: WorktreeSummary, text: string): boolean {
    return `${of.displayName ?? ''} ${of.path} ${of.branch ?? ''} ${of.status} ${of.note ?? ''}`.toLowerCase().includes(text);
}

function Projects({ data, reload }: { data: BoardData; reload: () => void }) {
    const [filter, setFilter] = useState('');
    const [isAdding, setAdding] = useState(false);
    const all = data.projects.flatMap((p) => p.worktrees);
    const text = filter.trim().toLowerCase();
    const shown = data.projects.map((p) => ({ ...p, worktrees: p.worktrees.filter((w) => matches(w, text)) }))
        .filter((p) => text === '' || p.worktrees.length > 0);
    const running = [...data.sessions.values()].filter((s) => s.status === 'running').length;
    return <>
        <div class="title"><h1>Worktrees</h1>
            {all.length > 0 && <span class="dim">{running} of {all.length} running</span>}
            {all.length > 4 && <input type="search" class="search" placeholder="Filter" aria-label="Filter worktrees"
                value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />}
            <span class="grow" />
            {all.length > 0 && <button type="button" onClick={() => setAdding(true)}>
                <Icon name="plus" />Add a project</button>}
        </div>
        {isAdding && <AddProject onClose={() => setAdding(false)} onDone={reload} />}
        {data.status !== undefined && data.status.config.restartKeys.length > 0
            && <RestartNote keys={data.status.config.restartKeys} onDone={reload} />}
        {data.status?.config.problems.map((p) =>
            <p class="note warn" key={p.key}><b>{p.key}</b> {p.message}</p>)}
        {all.length === 0 && <FirstRun status={data.status} reload={reload} />}
        {shown.map((p) => <Section key={p.id} of={p} data={data} reload={reload} />)}
        {all.length > 0 && shown.length === 0 && <p class="empty">No worktree matches “{filter}”.</p>}
    </>;
}

export function Board({ isPublic }: { isPublic: boolean }) {
    const loaded = useLoaded(() => load(isPublic), 'board');
    return <Await of={loaded}>{(data) => <Projects data={data} reload={loaded.reload} />}</Await>;
}
