/* Live logs: the newest lines in memory, only those in view in the page, so that a service which
 * writes thousands of lines a second does not stop the browser. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ApiError, isOffline, readLines, whileShown } from './api';
import { PLAIN, pieces, plain, styleAfter, withoutCutOff, type Style } from './ansi';
import { Icon } from './parts';

const LINES_MAX = 20000;
const LINE_MAX = 16384; /* characters: what has no end by then is a line all the same */
const LINE_PX = 20; /* of .logline in style.css */
const BEYOND = 20; /* lines drawn above and below the view */

interface Chunk { service?: string; channel: string; stream: string; chunk: string; past?: boolean }

/* `style` is what holds where it begins. */
export interface Line { service: string; stream: string; text: string; style: Style }

/* What is seen of a line that was written over: what follows its last carriage return. */
function overwritten(line: Line): Line {
    let end = line.text.length;
    while (line.text[end - 1] === '\r') {
        end--;
    }
    const at = line.text.lastIndexOf('\r', end - 1) + 1;
    return at === 0 ? line
        : { ...line, text: line.text.slice(at), style: styleAfter(line.text.slice(0, at), line.style) };
}

/* Chunks in, lines out: a chunk may end within a line, and colours go on beyond its end. */
export class LogBuffer {
    lines: Line[] = [];
    dropped = 0;
    private isPast = false;
    private open = new Map<string, Line>(); /* by service and stream: what has no end yet */

    /* `isPast`: of what was there before; it comes service by service, as files have no times. */
    add(service: string, stream: string, chunk: string, isPast = false) {
        if (!isPast && this.isPast && this.lines.length > 0) {
            this.lines.push({ service: '', stream: 'mark', text: 'from here on in the order of time', style: PLAIN });
        }
        this.isPast = isPast;
        const key = `${service} ${stream}`;
        const before = this.open.get(key);
        let style = before?.style ?? PLAIN;
        const parts = ((before?.text ?? '') + chunk).split('\n');
        const take = (text: string) => {
            this.lines.push(overwritten({ service, stream, text, style }));
            style = styleAfter(text, style);
        };
        let rest = parts.pop()!;
        parts.forEach(take);
        for (; rest.length > LINE_MAX; rest = rest.slice(LINE_MAX)) {
            take(rest.slice(0, LINE_MAX));
        }
        this.open.set(key, overwritten({ service, stream, text: rest, style }));
        if (this.lines.length > LINES_MAX * 1.25) {
            this.dropped += this.lines.length - LINES_MAX;
            this.lines = this.lines.slice(-LINES_MAX);
        }
    }

    /* All there is to show: at the end what has none yet, such as a prompt. */
    all(): Line[] {
        const open = [...this.open.values()].map((l) => ({ ...l, text: withoutCutOff(l.text) }))
            .filter((l) => plain(l.text) !== '');
        return open.length === 0 ? this.lines : this.lines.concat(open);
    }
}

export function LogText({ line }: { line: Line }) {
    return <>{pieces(line.text, line.style).map((p) => (p.classes === '' && p.colour === undefined ? p.text
        : <span class={p.classes} style={p.colour}>{p.text}</span>))}</>;
}

function LogLine({ line, named }: { line: Line; named: boolean }) {
    return <div class={`logline ${line.stream}`}>
        {named && line.service !== '' && <span class="who">{line.service}</span>}
        <LogText line={line} />
    </div>;
}

/* `lines` is what is shown already filtered. */
function View({ lines, named, follow, onFollow }:
{ lines: Line[]; named: boolean; follow: boolean; onFollow: (on: boolean) => void }) {
    const box = useRef<HTMLDivElement>(null);
    const body = useRef<HTMLDivElement>(null);
    const led = useRef(-1); /* where following has put the view; -1: it does not follow */
    const [top, setTop] = useState(0);
    const height = box.current?.clientHeight ?? 400;
    const first = Math.max(0, Math.floor(top / LINE_PX) - BEYOND);
    const last = Math.min(lines.length, Math.ceil((top + height) / LINE_PX) + BEYOND);
    useLayoutEffect(() => { /* not after the next paint: whoever has scrolled up by then would be thrown to the end */
        body.current!.style.height = `${lines.length * LINE_PX}px`;
        body.current!.style.paddingTop = `${first * LINE_PX}px`;
        const b = box.current!;
        /* Scrolled up already, and the browser has not told yet? */
        const isLeft = led.current >= 0 && b.scrollTop < Math.min(led.current, b.scrollHeight - b.clientHeight) - 1;
        if (follow && !isLeft) {
            b.scrollTop = lines.length * LINE_PX;
            led.current = b.scrollTop;
        } else if (!follow) {
            led.current = -1;
        }
    });
    const onScroll = () => {
        const b = box.current!;
        setTop(b.scrollTop);
        const atEnd = b.scrollTop + b.clientHeight >= b.scrollHeight - LINE_PX;
        if (atEnd !== follow && (atEnd || b.scrollTop < top)) {
            onFollow(atEnd);
        }
    };
    return <div class={lines.length === 0 ? 'log short' : 'log'} ref={box} onScroll={onScroll} tabIndex={0} role="log" aria-live="off"
        aria-label="Log">
        <div class="logbody" ref={body}>
            {lines.slice(first, last).map((line, i) => <LogLine key={first + i} line={line} named={named} />)}
        </div>
        {lines.length === 0 && <p class="dim nolog">Nothing here yet.</p>}
    </div>;
}

function download(lines: Line[], name: string) {
    const text = lines.filter((l) => l.stream !== 'mark').map((l) => `${l.service}: ${plain(l.text)}\n`).join('');
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    link.download = `${name}.log`;
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/* What is shown of one service's log, or of all; `buffer` is another after each break. */
interface Shown { buffer: LogBuffer }

/* Reads the log as long as the view is there; on its end, reads on after a moment. Another session or
 * service has a Shown of its own: never a line of the one before. */
function useLog(session: string, service: string): { shown: Shown; problem?: string } {
    const [, redraw] = useState(0);
    const [problem, setProblem] = useState<string>();
    const shown = useMemo<Shown>(() => ({ buffer: new LogBuffer() }), [session, service]);
    useEffect(() => {
        let frame = 0;
        let isFresh = true;
        const draw = () => {
            frame = 0;
            redraw((n) => n + 1);
        };
        const onLine = (line: Chunk) => {
            if (isFresh) { /* what was shown stays until there is something new */
                shown.buffer = new LogBuffer();
                isFresh = false;
            }
            shown.buffer.add(line.service ?? line.channel, line.stream, line.chunk, line.past === true);
            frame ||= requestAnimationFrame(draw);
        };
        const path = `/sessions/${encodeURIComponent(session)}/logs?follow=1`
            + (service === '' ? '' : `&service=${encodeURIComponent(service)}`);
        const read = async (signal: AbortSignal) => {
            while (!signal.aborted) {
                isFresh = true;
                try {
                    setProblem(undefined);
                    await readLines(path, onLine, signal);
                } catch (error) {
                    if (error instanceof ApiError && error.status !== 404 && !isOffline(error)) {
                        setProblem(error.message);
                    }
                }
                await new Promise((done) => window.setTimeout(done, 2000));
            }
        };
        const stop = whileShown(read);
        return () => {
            stop();
            cancelAnimationFrame(frame);
        };
    }, [shown]);
    return { shown, problem };
}

export function Logs({ session, services }: { session: string; services: string[] }) {
    const [service, setService] = useState('');
    const [follow, setFollow] = useState(true);
    const [paused, setPaused] = useState<{ of: Shown; lines: Line[] }>();
    const [search, setSearch] = useState('');
    const { shown, problem } = useLog(session, service);
    const buffer = shown.buffer;
    const frozen = paused?.of === shown ? paused.lines : undefined;
    const all = frozen ?? buffer.all();
    const text = search.toLowerCase();
    const lines = text === '' ? all : all.filter((l) => plain(l.text).toLowerCase().includes(text));
    return <section class="panel logs" aria-label="Logs">
        <div class="tools">
            <h2>Logs</h2>
            <select aria-label="Service" value={service} onChange={(e) => setService(e.currentTarget.value)}>
                <option value="">All services</option>
                {services.map((s) => <option value={s}>{s}</option>)}
            </select>
            <input type="search" placeholder="Search" aria-label="Search the log" value={search}
                onInput={(e) => setSearch(e.currentTarget.value)} />
            {search !== '' && <span class="dim" role="status">{lines.length} lines</span>}
            <span class="grow" />
            <button type="button" aria-pressed={frozen !== undefined}
                onClick={() => setPaused(frozen === undefined ? { of: shown, lines: buffer.all().slice() } : undefined)}>
                <Icon name={frozen === undefined ? 'pause' : 'play'} />
                {frozen === undefined ? 'Pause' : 'Go on'}</button>
            <button type="button" aria-pressed={follow} onClick={() => setFollow(!follow)}>Follow</button>
            <button type="button" onClick={() => download(lines, `${session}${service && `-${service}`}`)}>
                <Icon name="down" />Download</button>
        </div>
        {problem !== undefined && <p class="note bad">{problem}</p>}
        {buffer.dropped > 0 && <p class="dim small">{buffer.dropped} earlier lines are only in the log files.</p>}
        <View lines={lines} named={service === ''} follow={follow && frozen === undefined} onFollow={setFollow} />
    </section>;
}
