/* One operation: its steps as they happen, and what it writes. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, isOffline, readLines, whileShown } from './api';
import { ago } from './format';
import { Dot, Pill } from './parts';
import { LogBuffer, LogText } from './logs';
import type { Operation } from './types';

const STEP_NAMES: Record<string, string> = {
    'prepare': 'Read the configuration', 'release-ports': 'Free the ports',
    'first-run-setup': 'Set up the worktree', 'init-script': 'Run the init script',
    'compose-up': 'Start the services', 'status': 'Look at the services',
    'healthcheck': 'Wait until they are healthy',
};

export function stepName(id: string): string {
    return STEP_NAMES[id] ?? id;
}

interface Step { id: string; state: string; message?: string }

interface Progress { steps: Step[]; log: LogBuffer; notes: string[]; isOver: boolean }

function take(p: Progress, line: any) {
    const event = line.event;
    if (line.terminal !== undefined) {
        p.isOver = true;
    } else if (event.type === 'step') {
        const step = p.steps.find((s) => s.id === event.id);
        if (step === undefined) {
            p.steps.push({ id: event.id, state: event.state, message: event.message });
        } else {
            Object.assign(step, { state: event.state, message: event.message ?? step.message });
        }
    } else if (event.type === 'log') {
        p.log.add(event.channel, event.stream, event.chunk);
    } else if (event.type === 'retry') {
        p.notes = [`Attempt ${event.attempt} of ${event.maxAttempts}: ${event.reason}`];
    } else if (event.type === 'healthcheck-attempt') {
        p.notes = [`${event.service}: check ${event.attempt} of ${event.maxAttempts}: `
            + (event.error ?? `status ${event.status}`)];
    } else if (event.type === 'volume-clone') {
        p.notes = [`Copying ${event.path} (${event.index} of ${event.total})`];
    }
}

export function useProgress(id: string | undefined): Progress | undefined {
    const [, redraw] = useState(0);
    const progress = useRef<Progress | undefined>(undefined);
    useEffect(() => {
        progress.current = undefined;
        if (id === undefined) {
            return undefined;
        }
        const mine: Progress = { steps: [], log: new LogBuffer(), notes: [], isOver: false };
        progress.current = mine;
        let frame = 0;
        const onLine = (line: any) => {
            take(mine, line);
            frame ||= requestAnimationFrame(() => {
                frame = 0;
                redraw((n) => n + 1);
            });
        };
        const read = async (signal: AbortSignal) => {
            while (!mine.isOver && !signal.aborted) {
                Object.assign(mine, { steps: [], log: new LogBuffer(), notes: [] });
                try {
                    await readLines(`/operations/${id}/events`, onLine, signal);
                } catch (error) {
                    mine.isOver = error instanceof ApiError && !isOffline(error); /* forgotten */
                }
                if (!mine.isOver) { /* cut off: it comes again from its beginning */
                    await new Promise((done) => window.setTimeout(done, 2000));
                }
            }
        };
        const stop = whileShown(read);
        return () => {
            stop();
            cancelAnimationFrame(frame);
        };
    }, [id]);
    return progress.current;
}

const WORDS: Record<string, string> = {
    up: 'Start', down: 'Stop', 'service-stop': 'Stop of a service', 'service-restart': 'Restart of a service',
    'worktree-remove': 'Removal', 'worktree-create': 'Creation',
};

export function ProgressView({ operation, progress }: { operation: Operation; progress?: Progress }) {
    const box = useRef<HTMLPreElement>(null);
    const lines = progress?.log.all().slice(-200) ?? [];
    const isActive = operation.finishedAt === undefined;
    useEffect(() => {
        if (box.current !== null && isActive) {
            box.current.scrollTop = box.current.scrollHeight;
        }
    });
    const steps = <>
        <ol class="steps" aria-live="polite">{progress?.steps.map((s) => <li key={s.id} class={s.state}>
            <Dot status={s.state === 'running' ? 'pending' : s.state} label={s.state} />
            {stepName(s.id)}{s.message && <span class="dim"> {s.message}</span>}</li>)}</ol>
        {isActive && progress?.notes.map((n) => <p class="dim">{n}</p>)}
        {lines.length > 0 && <pre class="tail" ref={box} tabIndex={0} aria-label="Output">{lines.map((l) => <>
            <LogText line={l} />{'\n'}</>)}</pre>}
    </>;
    /* What went well is a line; what is under way or failed is shown step by step. */
    const isCancelled = operation.code === 'cancelled'; /* an up has succeeded then all the same */
    const isGood = operation.status === 'succeeded' && !isCancelled;
    return <section class="panel" aria-label="Operation">
        <div class="tools"><h2>{WORDS[operation.kind] ?? operation.kind}</h2>
            <Pill status={isCancelled ? 'stopped' : operation.status} text={isCancelled ? 'cancelled' : operation.status} />
            <span class="dim">{ago(operation.finishedAt ?? operation.startedAt)}</span></div>
        {isGood ? progress !== undefined && <details><summary>Steps and output</summary>{steps}</details> : steps}
    </section>;
}
