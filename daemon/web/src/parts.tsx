/* Small parts that several pages show. */
import type { ComponentChildren, VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ApiError, isOffline, type Loaded } from './api';
import { statusWord, tone } from './format';

export function Pill({ status, text }: { status: string; text?: string }) {
    return <span class={`pill ${tone(status)}`}><i aria-hidden="true" />{text ?? statusWord(status)}</span>;
}

export function Dot({ status, label }: { status: string; label?: string }) {
    return <i class={`dot ${tone(status)}`} role="img" aria-label={label ?? statusWord(status)}
        title={label ?? statusWord(status)} />;
}

export function Note({ kind, children }: { kind: 'bad' | 'warn' | 'info'; children: ComponentChildren }) {
    return <div class={`note ${kind}`} role={kind === 'bad' ? 'alert' : 'status'}>{children}</div>;
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
    return <div class="empty"><h2>{title}</h2>{children}</div>;
}

export function ErrorNote({ error }: { error?: ApiError }) {
    if (error === undefined || isOffline(error)) {
        return null; /* the bar at the top says that the daemon is away */
    }
    return <Note kind="bad">{error.message}</Note>;
}

/* Loading, failed, or the page. */
export function Await<T>({ of, children }: { of: Loaded<T>; children: (data: T) => VNode | null }) {
    if (of.data !== undefined) {
        return <><ErrorNote error={of.error} />{children(of.data)}</>;
    }
    if (of.error !== undefined) {
        return <Empty title={isOffline(of.error) ? 'The daemon does not answer' : 'That did not work'}>
            <p>{isOffline(of.error) ? 'It is tried again every few seconds. wos start brings it back.'
                : of.error.message}</p>
            <button type="button" onClick={of.reload}>Try again</button>
        </Empty>;
    }
    return <div class="skeleton" role="status" aria-label="Loading"><i /><i /><i /></div>;
}

export function Copy({ text, what }: { text: string; what: string }) {
    const [done, setDone] = useState(false);
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(text);
        } catch {
            const area = document.createElement('textarea'); /* plain HTTP has no clipboard */
            area.value = text;
            document.body.append(area);
            area.select();
            document.execCommand('copy');
            area.remove();
        }
        setDone(true);
        window.setTimeout(() => setDone(false), 1500);
    };
    return <button type="button" class="icon" onClick={copy} aria-label={`Copy ${what}`} title={`Copy ${what}`}>
        {done ? <Icon name="check" /> : <Icon name="copy" />}
        <span class="hidden" role="status">{done ? 'Copied' : ''}</span>
    </button>;
}

const ICONS = {
    copy: 'M9 9h10v11H9zM5 15V4h10',
    check: 'M5 13l4 4L19 7',
    qr: 'M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2h-2zM18 18h2v2h-2zM18 14h2M14 20h2',
    play: 'M7 5l12 7-12 7z',
    stop: 'M6 6h12v12H6z',
    restart: 'M19 12a7 7 0 1 1-2-5M19 4v4h-4',
    down: 'M12 4v12M6 11l6 6 6-6M5 20h14',
    pause: 'M8 5v14M16 5v14',
    terminal: 'M4 5h16v14H4zM8 10l3 2-3 2M13 14h4',
    close: 'M6 6l12 12M18 6L6 18',
    plus: 'M12 5v14M5 12h14',
    edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
    trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13',
};

export function Icon({ name }: { name: keyof typeof ICONS }) {
    return <svg viewBox="0 0 24 24" width="16" height="16" fill="none" stroke="currentColor"
        stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
        <path d={ICONS[name]} /></svg>;
}

/* A modal dialog that Escape and a click beside it close: one that begins there too, so that a selection
 * dragged out of a field does not. The focus is on its first field, if it has one, and however it goes, where
 * it was before. */
export function Dialog({ title, onClose, children }:
{ title: string; onClose: () => void; children: ComponentChildren }) {
    const ref = useRef<HTMLDialogElement>(null);
    const isBeside = useRef(false);
    const isGone = useRef(false);
    useLayoutEffect(() => {
        const before = document.activeElement as HTMLElement | null;
        const dialog = ref.current!;
        dialog.showModal();
        dialog.querySelector<HTMLElement>('input, select, textarea')?.focus();
        return () => { /* at once: a key pressed before the next frame is for what has the focus then */
            isGone.current = true;
            dialog.close(); /* nothing outside of an open one takes the focus */
            before?.focus();
        };
    }, []);
    return <dialog ref={ref} aria-label={title} onClose={() => isGone.current || onClose()}
        onMouseDown={(e) => { isBeside.current = e.target === ref.current; }}
        onClick={(e) => e.target === ref.current && isBeside.current && ref.current!.close()}>
        <div class="dialog">
            <header><h2>{title}</h2>
                <button type="button" class="icon" aria-label="Close" onClick={() => ref.current!.close()}>
                    <Icon name="close" /></button></header>
            {children}
        </div>
    </dialog>;
}

/* A button that waits for what it started; what went wrong goes to onError. While it cannot be pressed it
 * keeps the focus, which a disabled one would lose to nothing. */
export function Action({ run, onError, children, kind, disabled, label }: {
    run: () => Promise<unknown>; onError: (error?: ApiError) => void; children: ComponentChildren;
    kind?: string; disabled?: boolean; label?: string;
}) {
    const [busy, setBusy] = useState(false);
    const isOff = disabled === true || busy;
    const click = async () => {
        setBusy(true);
        onError(undefined);
        try {
            await run();
        } catch (error) {
            if (error instanceof ApiError) {
                onError(error);
            }
        }
        setBusy(false);
    };
    return <button type="button" class={kind} aria-disabled={isOff} onClick={isOff ? undefined : click}
        aria-label={label} title={label} aria-busy={busy}>{children}</button>;
}
