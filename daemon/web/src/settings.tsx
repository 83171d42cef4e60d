/* config.json, key by key, from the daemon's own table of keys. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, call, get, useLoaded } from './api';
import { Await, Dialog, ErrorNote, Note } from './parts';
import { RestartNote } from './restart';
import { useLeaving } from './router';
import type { Problem, SettingKey } from './types';

type Value = string | number | boolean | string[] | Record<string, unknown> | undefined;

interface SettingsData {
    keys: SettingKey[];
    config: Record<string, unknown>; /* what the file says */
    path: string;
    broken?: string; /* why the file cannot be read: config is empty then */
    secrets: Set<string>;
    problems: Problem[];
    restartKeys: string[]; /* saved, and not what the daemon runs with */
}

async function load(): Promise<SettingsData> {
    const [{ keys }, answer] = await Promise.all([
        get<{ keys: SettingKey[] }>('/settings/keys'), get<any>('/settings/config'),
    ]);
    const nested = answer.config !== null && typeof answer.config === 'object' && 'raw' in answer.config;
    return {
        keys,
        config: (nested ? answer.config.raw : answer.config) ?? {},
        path: nested ? answer.config.path : answer.path,
        broken: nested ? answer.config.error : undefined,
        secrets: new Set(answer.secrets ?? []),
        problems: answer.problems ?? [],
        restartKeys: answer.restartKeys ?? [],
    };
}

function valueAt(config: Record<string, unknown>, key: string): Value {
    return key.split('.').reduce<any>((at, name) =>
        at !== null && typeof at === 'object' ? at[name] : undefined, config);
}

function isList(key: SettingKey): boolean {
    return key.type === 'ips' || key.type === 'texts';
}

/* What is typed, as the key's type; text that does not fit goes as it is: the daemon says why not. */
function typed(key: SettingKey, text: string): Value {
    if (text === '') {
        return undefined;
    }
    if (key.type === 'int') {
        return /^-?\d+$/.test(text.trim()) ? Number(text) : text;
    }
    if (key.type === 'json') {
        try {
            return JSON.parse(text);
        } catch {
            return text;
        }
    }
    if (key.type === 'duration') {
        return /^\d+$/.test(text.trim()) ? Number(text) : text;
    }
    return isList(key) ? text.split(/[\s,]+/).filter(Boolean) : text;
}

function shown(value: Value): string {
    if (value === undefined || value === null) {
        return '';
    }
    return Array.isArray(value) ? value.join('\n') : typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/* --- one key ------------------------------------------------------------------------------------- */

function Control({ of, id, value, isSet, onChange }:
{ of: SettingKey; id: string; value: Value; isSet: boolean; onChange: (value: Value) => void }) {
    const common = { id, 'aria-describedby': `${id}-doc` };
    if (of.type === 'bool' || of.type === 'word') {
        const words = of.type === 'bool' ? ['true', 'false'] : of.words ?? [];
        return <select {...common} value={shown(value)} onChange={(e) => {
            const text = e.currentTarget.value;
            onChange(text === '' ? undefined : of.type === 'bool' ? text === 'true' : text);
        }}><option value="">{of.default === undefined ? 'not set' : `default (${of.default})`}</option>
            {words.map((w) => <option value={w}>{w}</option>)}</select>;
    }
    if (isList(of) || of.type === 'json') {
        return <textarea {...common} rows={3} spellcheck={false} placeholder={isList(of) ? 'one a line' : of.allowed}
            onInput={(e) => onChange(typed(of, e.currentTarget.value))}>{shown(value)}</textarea>;
    }
    const onInput = (e: { currentTarget: HTMLInputElement }) => onChange(typed(of, e.currentTarget.value));
    if (of.secret) {
        return <input {...common} type="password" autocomplete="new-password" value={shown(value)}
            placeholder={isSet ? 'is set; type to replace it' : 'not set'} onInput={onInput} />;
    }
    return <input {...common} type="text" spellcheck={false} autocomplete="off"
        inputMode={of.type === 'int' ? 'numeric' : 'text'} placeholder={of.default ?? ''}
        value={shown(value)} onInput={onInput} />;
}

function Field({ of, value, isSet, problem, isChanged, onChange, onClear }: {
    of: SettingKey; value: Value; isSet: boolean; problem?: string; isChanged: boolean;
    onChange: (value: Value) => void; onClear: () => void;
}) {
    const id = `key-${of.key.replace(/\W/g, '-')}`;
    return <div class={`field ${isChanged ? 'changed' : ''}`}>
        <label for={id}><code>{of.key}</code></label>
        <div>
            <Control of={of} id={id} value={value} isSet={isSet} onChange={onChange} />
            {of.secret && isSet && !isChanged && <button type="button" class="quiet" onClick={onClear}>Remove</button>}
            {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
            <p class="dim" id={`${id}-doc`}>{of.doc}{!of.live && <span class="tag">restart</span>}</p>
        </div>
    </div>;
}

/* --- the page --------------------------------------------------------------------------------------- */

function group(key: string): string {
    const parts = key.split('.');
    return parts.length === 1 ? 'other' : parts.slice(0, Math.min(2, parts.length - 1)).join('.');
}

interface Wrong { field: string; message: string }

/* A value of JSON may be wrong somewhere within it. */
function isAbout(of: Wrong, key: SettingKey): boolean {
    return of.field === key.key || (key.type === 'json' && of.field.startsWith(`${key.key}.`));
}

/* What gets the focus is not scrolled to where the bar hides it. */
function useRoomFor(bar: { current: HTMLElement | null }) {
    useEffect(() => {
        const root = document.documentElement;
        const it = bar.current!;
        const watch = new ResizeObserver(() => {
            const sticks = getComputedStyle(it).position === 'sticky';
            root.style.scrollPaddingTop = sticks ? `${it.offsetHeight + 8}px` : '';
        });
        watch.observe(it);
        return () => {
            watch.disconnect();
            root.style.scrollPaddingTop = '';
        };
    }, []);
}

function LeaveDialog({ count }: { count: number }) {
    const { leave, stay } = useLeaving(count > 0);
    return leave === undefined ? null : <Dialog title="Leave without saving?" onClose={stay}>
        <p>{count === 1 ? 'One setting was changed and is' : `${count} settings were changed and are`} not saved.</p>
        <div class="buttons">
            <button type="button" onClick={stay}>Stay</button>
            <button type="button" class="danger" onClick={leave}>Leave</button>
        </div>
    </Dialog>;
}

function Form({ of, reload }: { of: SettingsData; reload: () => void }) {
    const [changes, setChanges] = useState(new Map<string, Value>());
    const [filter, setFilter] = useState('');
    const [error, setError] = useState<ApiError>();
    const [isSaved, setSaved] = useState(false);
    const bar = useRef<HTMLDivElement>(null);
    useRoomFor(bar);
    const fields = (error?.body.errors ?? []) as Wrong[];
    const problemOf = (key: SettingKey) => (fields.find((f) => isAbout(f, key))
        ?? of.problems.map((p) => ({ field: p.key, message: p.message })).find((f) => isAbout(f, key)))?.message;
    const change = (key: string, value: Value) => {
        const isSame = !of.secrets.has(key) && shown(value) === shown(valueAt(of.config, key));
        setSaved(false);
        setChanges((now) => {
            const next = new Map(now);
            isSame ? next.delete(key) : next.set(key, value);
            return next;
        });
    };
    const save = async (event: Event) => {
        event.preventDefault();
        const set = Object.fromEntries([...changes].filter(([, value]) => value !== undefined));
        const unset = [...changes].filter(([, value]) => value === undefined).map(([key]) => key);
        try {
            await call('POST', '/settings/config', { set, unset });
            setSaved(true);
            /* What was typed meanwhile is still to be saved. */
            setChanges((now) => new Map([...now].filter(([key, value]) =>
                !changes.has(key) || value !== changes.get(key))));
            setError(undefined);
            reload();
        } catch (e) {
            setError(e as ApiError);
            setSaved(false);
        }
        bar.current?.scrollIntoView({ block: 'nearest' }); /* on a low screen it does not stick */
    };
    useEffect(() => { /* to the first value that is wrong */
        if (fields.length > 0) {
            document.querySelector<HTMLElement>('.field .problem')?.closest('.field')
                ?.querySelector<HTMLElement>('input, select, textarea')?.focus();
        }
    }, [error]);
    const text = filter.trim().toLowerCase();
    const keys = of.keys.filter((k) => `${k.key} ${k.doc}`.toLowerCase().includes(text));
    const groups = [...new Set(keys.map((k) => group(k.key)))];
    const unknown = fields.filter((f) => !of.keys.some((k) => isAbout(f, k)));
    return <><LeaveDialog count={changes.size} /><form class="settings" onSubmit={save}>
        <div class="sticky" ref={bar}>
            <div class="title"><h1>Settings</h1>
                <input type="search" class="search" placeholder="Find a key" aria-label="Find a key" value={filter}
                    onInput={(e) => setFilter(e.currentTarget.value)} />
                <span class="grow" />
                <button type="submit" class="primary" disabled={changes.size === 0}>
                    {changes.size === 0 ? 'Save' : `Save ${changes.size}`}</button></div>
            {fields.length === 0 ? <ErrorNote error={error} />
                : <Note kind="bad">Nothing was saved: {fields.length === 1 ? 'one value is' : 'some values are'} not
                    allowed.{unknown.map((f) => <p>{f.field} {f.message}</p>)}</Note>}
            {of.restartKeys.length > 0 ? <RestartNote keys={of.restartKeys} isSaved={isSaved} onDone={reload} />
                : isSaved && <Note kind="info">Saved.</Note>}
        </div>
        <p class="dim">{of.path}</p>
        {of.broken === undefined ? null : <Note kind="warn">{of.broken}. Nothing can be saved until then; the daemon
            goes on with what it read last.</Note>}
        {groups.map((g) => <section class="panel" key={g} aria-label={g}><h2>{g}</h2>
            {keys.filter((k) => group(k.key) === g).map((k) => <Field key={k.key} of={k}
                value={changes.has(k.key) ? changes.get(k.key) : valueAt(of.config, k.key)}
                isSet={of.secrets.has(k.key)} isChanged={changes.has(k.key)} problem={problemOf(k)}
                onChange={(value) => change(k.key, value)} onClear={() => change(k.key, undefined)} />)}
        </section>)}
        {groups.length === 0 && <p class="empty">No key matches “{filter}”.</p>}
    </form></>;
}

export function Settings() {
    const loaded = useLoaded(load, 'settings');
    return <Await of={loaded}>{(of) => <Form of={of} reload={loaded.reload} />}</Await>;
}
