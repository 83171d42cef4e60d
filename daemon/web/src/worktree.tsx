/* One worktree: what runs, what is under way, what failed, its logs; start and stop. */
import { useEffect, useState } from 'preact/hooks';
import { ApiError, call, get, useLoaded } from './api';
import { Address, Label, serviceState } from './board';
import { ago, basename, bytes, statusWord } from './format';
import { EditWorktree, FormDialog, RemoveWorktree } from './changes';
import { Comments } from './comments';
import { LogBuffer, Logs, LogText } from './logs';
import { Action, Await, Dot, Empty, ErrorNote, Icon, Pill } from './parts';
import { openTerminal, TerminalLink, useTerminals } from './terminals';
import { ProgressView, stepName, useProgress } from './progress';
import type { Detail, WorkflowStatus } from './types';

type OnError = (error?: ApiError) => void;

/* --- starting ------------------------------------------------------------------------------- */

interface Start { force: boolean; target: string; services: string[]; args: Record<string, string> }

function startRequest(path: string, s: Start) {
    const args = Object.fromEntries(Object.entries(s.args).filter(([, value]) => value !== ''));
    return {
        path,
        force: s.force || undefined,
        target: s.target || undefined,
        services: s.target === '' && s.services.length > 0 ? s.services : undefined,
        arguments: Object.keys(args).length > 0 ? args : undefined,
    };
}

function StartDialog({ of, onClose, onStarted }: { of: Detail; onClose: () => void; onStarted: () => void }) {
    const [start, setStart] = useState<Start>({ force: false, target: '', services: [], args: {} });
    const options = of.deploymentOptions;
    const services = options?.appServices ?? of.services.map((s) => s.service);
    const run = async () => {
        await call('POST', '/worktrees/up', startRequest(of.worktree.path, start));
        onStarted();
        onClose();
    };
    const toggle = (name: string, on: boolean) => setStart({
        ...start, services: on ? [...start.services, name] : start.services.filter((s) => s !== name),
    });
    return <FormDialog title={`Start ${of.worktree.displayName ?? basename(of.worktree.path)}`} action="Start"
        busyText="Starting…" onClose={onClose} run={run}>
            {options !== undefined && options.targets.length > 0 && <label>Target
                <select value={start.target} onChange={(e) => setStart({ ...start, target: e.currentTarget.value })}>
                    <option value="">none</option>
                    {options.targets.map((t) => <option value={t.name}>{t.name} ({t.services.join(', ')})</option>)}
                </select></label>}
            {start.target === '' && services.length > 1 && <fieldset><legend>Services (none chosen: all)</legend>
                {services.map((s) => <label class="check"><input type="checkbox"
                    checked={start.services.includes(s)} onChange={(e) => toggle(s, e.currentTarget.checked)} />
                {s}</label>)}</fieldset>}
            {options?.arguments.map((name) => <label>{name}
                <input value={start.args[name] ?? ''} onInput={(e) => setStart({
                    ...start, args: { ...start.args, [name]: e.currentTarget.value },
                })} /></label>)}
            <label class="check"><input type="checkbox" checked={start.force}
                onChange={(e) => setStart({ ...start, force: e.currentTarget.checked })} />
            Set the worktree up again (force)</label>
    </FormDialog>;
}

/* --- parts of the page ------------------------------------------------------------------------ */

function Failure({ of, failedStep }: { of: Detail; failedStep?: string }) {
    const failure = of.failureContext!;
    const step = failure.step ?? failedStep;
    const tail = new LogBuffer();
    failure.logTail?.forEach((l) => tail.add('', '', l.replace(/\n?$/, '\n')));
    return <section class="failure" role="alert" aria-label="What failed">
        <h2>{step === undefined ? 'It failed' : `Failed at: ${stepName(step)}`}</h2>
        <p>{failure.message}</p>
        {tail.lines.length > 0 && <pre class="tail" tabIndex={0}>
            {tail.lines.map((l) => <><LogText line={l} />{'\n'}</>)}</pre>}
    </section>;
}

function ServiceRow({ name, of, canAct, hasShells, reload, onError }: {
    name: string; of: Detail; canAct: boolean; hasShells: boolean; reload: () => void; onError: OnError;
}) {
    const service = of.services.find((s) => s.service === name)!;
    const usage = service.resourceUsage;
    const health = of.appPortHealthchecks.find((h) => h.service === name && h.state !== 'disabled');
    const act = (what: string) => async () => {
        await call('POST', `/worktrees/services/${what}`, { path: of.worktree.path, service: name });
        reload();
    };
    return <li class="service">
        <span class="name"><Dot status={serviceState(service, of.appPortHealthchecks)} /><b class="clip">{name}</b>
            <span class="dim">{service.status ?? service.state}{health !== undefined && `, ${health.state}`}</span></span>
        <span class="dim facts">{service.ports.map((p) => p.hostPort && <span>port {p.hostPort}</span>)}
            {usage?.memUsedBytes ? <span>{Math.round(usage.cpuPercent ?? 0)} % CPU, {bytes(usage.memUsedBytes)}</span>
                : null}
            {service.startedAt && <span>since {ago(service.startedAt).replace(' ago', '')}</span>}</span>
        <span class="addresses">{of.tunnels.filter((t) => t.service === name).map((t) =>
            <Address key={t.containerPort} of={t} />)}</span>
        <span class="actions">
            {hasShells && <Action kind="icon" disabled={service.state !== 'running'} onError={onError}
                run={() => openTerminal(of.worktree.path, name)} label={`Shell in ${name}`}>
                <Icon name="terminal" /></Action>}
            <Action kind="icon" disabled={!canAct} run={act('restart')} onError={onError}
                label={`Restart ${name}`}><Icon name="restart" /></Action>
            <Action kind="icon" disabled={!canAct || service.state === 'stopped'} run={act('stop')}
                onError={onError} label={`Stop ${name}`}><Icon name="stop" /></Action>
        </span>
        {health?.message && <p class="dim wide">{health.message}</p>}
    </li>;
}

function Actions({ of, reload, onError }: { of: Detail; reload: () => void; onError: OnError }) {
    const [asking, setAsking] = useState<'start' | 'edit' | 'remove'>();
    const close = () => setAsking(undefined);
    const isBusy = of.activeOperation !== undefined;
    const isUp = of.services.some((s) => ['running', 'restarting', 'paused'].includes(s.state));
    const config = of.projectConfig?.status;
    const path = of.worktree.path;
    const down = async () => {
        await call('POST', '/worktrees/down', { path });
        reload();
    };
    const again = async () => {
        await call('POST', '/worktrees/up', { path });
        reload();
    };
    const cannot = isBusy || config === 'missing' || config === 'invalid';
    return <>
        {isUp && <Action run={again} onError={onError} disabled={cannot}><Icon name="restart" />Restart</Action>}
        {(isUp || isBusy) && <Action run={down} onError={onError}
            disabled={isBusy && of.activeOperation!.kind !== 'up'}><Icon name="stop" />
            {isBusy && of.activeOperation!.kind === 'up' ? 'Cancel' : 'Stop'}</Action>}
        <button type="button" class={isUp ? '' : 'primary'} disabled={cannot} onClick={() => setAsking('start')}>
            <Icon name="play" />{isUp ? 'Start with…' : 'Start'}</button>
        <button type="button" class="icon" aria-label="Edit" title="Edit" onClick={() => setAsking('edit')}>
            <Icon name="edit" /></button>
        {!of.worktree.isSource && <button type="button" class="icon" aria-label="Remove" title="Remove"
            disabled={isBusy && of.activeOperation!.kind !== 'up'} onClick={() => setAsking('remove')}>
            <Icon name="trash" /></button>}
        {asking === 'start' && <StartDialog of={of} onClose={close} onStarted={reload} />}
        {asking === 'edit' && <EditWorktree of={of.worktree} onClose={close} onDone={reload} />}
        {asking === 'remove' && <RemoveWorktree of={of.worktree} onClose={close} />}
    </>;
}

function Facts({ of }: { of: Detail }) {
    const w = of.worktree;
    return <p class="facts dim">
        <span>{w.branch ?? (w.detached ? 'detached' : '')}</span>
        {w.aheadCount ? <span>↑{w.aheadCount}</span> : null}{w.behindCount ? <span>↓{w.behindCount}</span> : null}
        {w.uncommittedCount ? <span>{w.uncommittedCount} changed</span> : null}
        <span>{w.path}</span>
        {of.state?.lastUp && <span>started {ago(of.state.lastUp)}</span>}
    </p>;
}

function ConfigNote({ of }: { of: Detail }) {
    const config = of.projectConfig;
    if (config === undefined || config.status === 'valid' || config.status === 'unknown') {
        return null;
    }
    return <div class="note warn"><b>{config.status === 'missing' ? 'There is no deploy config' :
        'The deploy config has mistakes'}</b> {config.path}
        {config.errors?.length ? <ul>{config.errors.map((e) => <li>{e}</li>)}</ul>
            : config.message && <p>{config.message}</p>}</div>;
}

/* --- the page ---------------------------------------------------------------------------------- */

function Page({ of, reload }: { of: Detail; reload: () => void }) {
    const [error, setError] = useState<ApiError>();
    const operation = of.activeOperation ?? of.latestOperation;
    const progress = useProgress(operation?.operationId);
    const services = of.services.map((s) => s.service);
    const statuses = useLoaded(() => get<{ statuses: WorkflowStatus[] }>('/statuses'), 'statuses');
    const terminals = useTerminals(of.worktree.path);
    const shells = terminals.error?.status === 403 ? undefined : terminals.data?.terminals;
    const name = of.worktree.displayName ?? basename(of.worktree.path);
    useEffect(() => {
        document.title = `${name} – wos`;
    }, [name]);
    const label = statuses.data?.statuses.find((s) => s.id === of.worktree.workflowStatusId);
    return <>
        <p class="crumb"><a href="/">Worktrees</a></p>
        <div class="title work"><h1 class="clip">{name}</h1>
            <Pill status={of.worktree.status} />{label !== undefined && <Label of={label} />}<span class="grow" />
            {shells !== undefined && <TerminalLink path={of.worktree.path} count={shells.length} />}
            <Actions of={of} reload={reload} onError={setError} /></div>
        <Facts of={of} />
        {of.worktree.note && <p class="note-text">{of.worktree.note}</p>}
        <ErrorNote error={error} />
        <ConfigNote of={of} />
        {of.failureContext !== undefined && of.activeOperation === undefined && <Failure of={of}
            failedStep={progress?.steps.find((s) => s.state === 'failed')?.id} />}
        {services.length > 0 && <section class="panel" aria-label="Services"><h2>Services</h2>
            <ul class="rows">{services.map((name) => <ServiceRow key={name} name={name} of={of}
                canAct={of.activeOperation === undefined} hasShells={shells !== undefined} reload={reload} onError={setError} />)}</ul></section>}
        {operation !== undefined && <ProgressView key={operation.operationId} operation={operation}
            progress={progress} />}
        {services.length > 0 ? <Logs session={of.worktree.sessionName} services={services} />
            : operation === undefined && <Empty title={`This worktree is ${statusWord(of.worktree.status)}`}>
                <p>Start it here, or run <code>wos up</code> in {of.worktree.path}.</p></Empty>}
        <Comments path={of.worktree.path} />
    </>;
}

export function Worktree({ path }: { path: string }) {
    const loaded = useLoaded(() => get<Detail>(`/worktrees?path=${encodeURIComponent(path)}`), path);
    const status = loaded.error?.status;
    if (status === 400 || status === 404) {
        return <Empty title="There is no such worktree"><p>{loaded.error!.message}</p><p><a href="/">All worktrees</a></p></Empty>;
    }
    return <Await of={loaded}>{(of) => <Page of={of} reload={loaded.reload} />}</Await>;
}
