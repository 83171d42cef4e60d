/* The gateway: what it serves, under which certificate, to whom, and how fast. */
import { useRef, useState } from 'preact/hooks';
import { ApiError, call, get, useLoaded } from './api';
import { ago, bytes, count, device, milliseconds, rate } from './format';
import { DevicesPanel } from './devices';
import { Action, Await, Empty, ErrorNote, Note, Pill } from './parts';
import type { AccessLine, AccessLogin, Certificate, Classes, Route, RouteStats, Stats, StatusAll } from './types';

const EVERY_MS = 2000;

interface Lists { services?: string[]; webUi?: string[] }

interface EdgeData {
    stats: Stats;
    before?: Stats;
    status?: StatusAll;
    certificates?: Certificate[];
    lists?: Lists;
    logins?: { hasSecret: boolean; error?: string; logins: AccessLogin[] };
}

/* --- numbers ---------------------------------------------------------------------------------- */

function seconds(data: EdgeData): number {
    return data.before === undefined ? 0
        : (Date.parse(data.stats.time) - Date.parse(data.before.time)) / 1000;
}

/* Per second since the last look; a gateway that began anew counts from nothing. */
function perSecond(now: number, before: number | undefined, s: number): number {
    return before === undefined || s <= 0 ? 0 : Math.max(0, now - before) / s;
}

/* From cumulative buckets: the upper end of the one that holds the share. */
function percentile(stats: Stats, share: number): number | undefined {
    const latency = stats.gateway!.latency;
    const bucket = latency.buckets.find((b) => b.count >= latency.count * share);
    return latency.count === 0 || bucket === undefined ? undefined : bucket.le * 1000;
}

function Number({ label, value, more }: { label: string; value: string; more?: string }) {
    return <div class="number"><dt>{label}</dt><dd>{value}<span class="dim">{more || '\u00a0'}</span></dd></div>;
}

function Numbers({ data }: { data: EdgeData }) {
    const g = data.stats.gateway!;
    const b = data.before?.gateway ?? undefined;
    const s = seconds(data);
    const denied = Object.values(g.denied).reduce((a, n) => a + n, 0);
    const refused = Object.values(g.connections.refused ?? {}).reduce((a, n) => a + n, 0);
    return <dl class="numbers">
        <Number label="Requests" value={`${rate(perSecond(g.requests, b?.requests, s))}/s`}
            more={count(g.requests)} />
        <Number label="Latency" value={milliseconds(percentile(data.stats, 0.5))}
            more={`p99 ${milliseconds(percentile(data.stats, 0.99))}`} />
        <Number label="Connections" value={count(g.connections.open)} more={`${count(g.connections.accepted)} in all${refused > 0 ? `, ${count(refused)} refused` : ''}`} />
        <Number label="Out" value={`${bytes(perSecond(g.bytesOut, b?.bytesOut, s))}/s`} more={bytes(g.bytesOut)} />
        <Number label="In" value={`${bytes(perSecond(g.bytesIn, b?.bytesIn, s))}/s`} more={bytes(g.bytesIn)} />
        <Number label="Denied" value={count(denied)}
            more={Object.entries(g.denied).filter(([, n]) => n > 0).map(([why, n]) => `${why} ${n}`).join(', ')} />
    </dl>;
}

/* --- listener and certificate -------------------------------------------------------------------- */

function Listener({ of }: { of: StatusAll }) {
    const t = of.tunnel;
    return <section class="panel" aria-label="Listener"><div class="tools"><h2>Listener</h2><Pill status={t.state}
        text={t.state} /></div>
    {t.error && <Note kind="bad">{t.error}</Note>}
    <dl class="facts-list">
        <dt>Domain</dt><dd>{t.domain ?? 'none'}</dd>
        <dt>Port</dt><dd>{t.port}{t.publicPort !== t.port && `, from outside ${t.publicPort}`} ({t.scheme})</dd>
        <dt>Workers</dt><dd>{t.workers ?? 0}</dd>
        <dt>Routes</dt><dd title={`generation ${t.servedGeneration} of ${t.generation}`}>{count(of.routes.length)}
            {t.servedGeneration === t.generation ? ', all served' : ', a change is on its way'}</dd>
        <dt>Services</dt><dd>{t.serviceTunnels ? 'published' : 'not published'}</dd>
    </dl></section>;
}

/* When it is made anew, in words where there is no schedule. */
function renewal(of: Certificate): string {
    if (of.nextAt !== undefined) {
        return `${ago(of.nextAt)}, ${of.nextAt.slice(0, 16).replace('T', ' ')} UTC`;
    }
    return of.source === 'files' ? 'when the files change' : 'by itself, before it expires';
}

function CertificateView({ of, reload, onError }:
{ of: Certificate; reload: () => void; onError: (e?: ApiError) => void }) {
    const title = of.listenerKind === 'web' ? 'Certificate of the local UI' : 'Certificate';
    const renew = async () => {
        await call('POST', '/certificates/renew', { kind: of.listenerKind, force: true });
        reload();
    };
    const isBusy = of.state === 'issuing' || of.state === 'renewing';
    return <section class="panel" aria-label={title}><div class="tools"><h2>{title}</h2><Pill status={of.state}
        text={of.state} /><span class="grow" />
    {of.source === 'letsencrypt' && <Action run={renew} onError={onError} disabled={isBusy}>
        {isBusy ? 'Renewing…' : 'Renew now'}</Action>}</div>
    {of.warning && <Note kind="warn">{of.warning}</Note>}
    <dl class="facts-list">
        <dt>Source</dt><dd>{of.source}{isBusy && of.step && <span class="dim"> ({of.step})</span>}</dd>
        {of.names !== undefined && of.names.length > 0 && <><dt>Names</dt><dd>{of.names.join(', ')}</dd></>}
        {of.issuer !== undefined && <><dt>Issuer</dt><dd>{of.issuer}</dd></>}
        {of.notAfter !== undefined && <><dt>Expires</dt><dd>{ago(of.notAfter)}
            <span class="dim"> {of.notAfter.slice(0, 10)}</span></dd></>}
        <dt>Next renewal</dt><dd>{renewal(of)}{of.nextReason && <span class="dim"> {of.nextReason}</span>}</dd>
        <dt>Last error</dt><dd>{of.lastError ? <span class="bad">{of.lastError.phase}: {of.lastError.message}
            {of.lastError.at && <span class="dim"> {ago(of.lastError.at)}</span>}</span> : 'none'}</dd>
    </dl></section>;
}

/* --- who may come --------------------------------------------------------------------------------- */

function Addresses({ list, all }: { list?: string[]; all: string }) {
    return list === undefined || list.length === 0 ? <dd>{all}</dd>
        : <dd>{list.map((ip) => <code class="ip">{ip}</code>)}</dd>;
}

function Whitelists({ of, routes }: { of: Lists; routes: Route[] }) {
    const own = routes.filter((r) => r.whitelistCount > 0);
    return <section class="panel" aria-label="Whitelists"><div class="tools"><h2>Who may come</h2><span class="grow" />
        <a href="/settings">Change</a></div>
    <dl class="facts-list">
        <dt>Services</dt><Addresses list={of.services} all="from everywhere" />
        <dt>This UI</dt><Addresses list={of.webUi} all="from everywhere, with its secret" />
        {own.map((r) => <><dt>{r.host}</dt><dd>{count(r.whitelistCount)} addresses of its own
            {r.classWhitelistCount > 0 && ', which also have to be above'}</dd></>)}
    </dl></section>;
}

/* --- routes ------------------------------------------------------------------------------------- */

const CLASSES: (keyof Classes)[] = ['2xx', '3xx', '4xx', '5xx'];

function RouteRow({ host, route, stats, before, s }:
{ host: string; route?: Route; stats?: RouteStats; before?: RouteStats; s: number }) {
    const mean = stats === undefined || stats.latency.count === 0 ? undefined
        : stats.latency.sum / stats.latency.count * 1000;
    const lists = (route?.whitelistCount ?? 0) + (route?.classWhitelistCount ?? 0);
    return <tr>
        <td data-label="Name" class="host">{route?.url === undefined ? host
            : <a href={route.url} target="_blank" rel="noreferrer">{host}</a>}
        {route?.access && route.access !== 'public' && <span class="tag">{route.access}</span>}
        {lists > 0 && <span class="tag" title="Addresses that may come">whitelist {lists}</span>}
        {route?.warning && <p class="dim">{route.warning}</p>}</td>
        <td data-label="State">{route === undefined ? '' : <Pill status={route.state} text={route.state} />}</td>
        <td data-label="Requests/s" class="n">{rate(perSecond(stats?.requests ?? 0, before?.requests, s))}</td>
        <td data-label="Requests" class="n">{count(stats?.requests ?? 0)}</td>
        <td data-label="Answers" class="classes">{CLASSES.map((c) => stats !== undefined && stats.responses[c] > 0
            && <span class={`c${c[0]}`} title={`status ${c}`}>{c} {count(stats.responses[c])}</span>)}</td>
        <td data-label="Latency" class="n">{milliseconds(mean)}</td>
        <td data-label="Bytes" class="n">{bytes((stats?.bodyIn ?? 0) + (stats?.bodyOut ?? 0))}</td>
    </tr>;
}

function Routes({ data }: { data: EdgeData }) {
    const stats = new Map(data.stats.gateway?.routes.map((r) => [r.host, r]));
    const before = new Map(data.before?.gateway?.routes.map((r) => [r.host, r]));
    const routes = new Map(data.status?.routes.map((r) => [r.host, r]));
    const hosts = [...new Set([...routes.keys(), ...stats.keys()])].sort();
    const s = seconds(data);
    if (hosts.length === 0) {
        return <Empty title="No routes yet"><p>They come with the first <code>wos up</code>.</p></Empty>;
    }
    return <section class="panel" aria-label="Routes"><h2>Routes</h2><table class="stack">
        <thead><tr><th>Name</th><th>State</th><th class="n">Requests/s</th><th class="n">Requests</th>
            <th class="answers">Answers</th><th class="n">Latency</th><th class="n">Bytes</th></tr></thead>
        <tbody>{hosts.map((h) => <RouteRow key={h} host={h} route={routes.get(h)} stats={stats.get(h)}
            before={before.get(h)} s={s} />)}</tbody></table></section>;
}

/* --- the access log ------------------------------------------------------------------------------- */

function RequestRow({ of }: { of: AccessLine }) {
    const status = of.status ?? 0;
    const why = of.reason !== undefined && of.reason !== 'allowed' ? of.reason
        : of.upstreamError ?? (of.aborted && `ended by ${of.aborted}`);
    return <tr>
        <td data-label="When"><time dateTime={of.time} title={of.time}>{ago(of.time)}</time></td>
        <td data-label="From">{of.peer}</td>
        <td data-label="Asked for" class="host">{of.event === undefined
            ? <span class="asked">{of.method} {of.host}{of.path}</span> : `connection ${of.event}`}</td>
        <td data-label="Status" class="n"><span class={`c${Math.floor(status / 100)}`}>{status || ''}</span></td>
        <td data-label="Time" class="n">{milliseconds(of.ms)}</td>
        <td data-label="Why" class="classes">{why}</td>
    </tr>;
}

function Requests() {
    const [denied, setDenied] = useState(false);
    const loaded = useLoaded(() => get<{ requests: AccessLine[] }>(
        `/access/requests?limit=30${denied ? '&denied=1' : ''}`), `requests ${denied}`, EVERY_MS);
    const lines = loaded.data?.requests ?? [];
    return <section class="panel" aria-label="Recent requests"><div class="tools"><h2>Recent requests</h2>
        <span class="grow" />
        <button type="button" aria-pressed={denied} onClick={() => setDenied(!denied)}>Only denied</button></div>
    <ErrorNote error={loaded.error} />
    {lines.length === 0 ? <p class="dim">{denied ? 'Nothing was denied lately.' : 'None yet.'}</p>
        : <table class="stack"><thead><tr><th>When</th><th>From</th><th>Asked for</th><th class="n">Status</th>
            <th class="n">Time</th><th class="answers">Why</th></tr></thead>
        <tbody>{lines.map((l, i) => <RequestRow key={l.id ?? i} of={l} />)}</tbody></table>}
    </section>;
}

/* --- logins of services with a secret ------------------------------------------------------------- */

function Logins({ of, reload, onError }:
{ of: NonNullable<EdgeData['logins']>; reload: () => void; onError: (e?: ApiError) => void }) {
    const end = (id?: string) => async () => {
        await call('DELETE', `/access/logins${id === undefined ? '' : `/${id}`}`);
        reload();
    };
    return <section class="panel" aria-label="Logins"><div class="tools"><h2>Signed in to services</h2>
        <span class="grow" />
        {of.logins.length > 0 && <Action run={end()} onError={onError}>Sign out everybody</Action>}</div>
    {of.error && <Note kind="bad">{of.error}</Note>}
    {of.logins.length === 0 ? <p class="dim">{of.hasSecret ? 'Nobody is.'
        : 'Services can ask for a secret: set tunnel.serviceTunnels.secret and access.'}</p>
        : <table class="stack"><thead><tr><th>Service</th><th>Device</th><th>Address</th><th>Last seen</th>
            <th><span class="hidden">Actions</span></th></tr></thead>
        <tbody>{of.logins.map((l) => <tr key={l.id}>
            <td data-label="Service">{l.host}</td><td data-label="Device">{device(l.userAgent)}</td>
            <td data-label="Address">{l.address}</td><td data-label="Last seen">{ago(l.lastSeenAt)}</td>
            <td class="right"><Action run={end(l.id)} onError={onError}
                label={`Sign out ${l.address} from ${l.host}`}>Sign out</Action></td></tr>)}</tbody></table>}
    </section>;
}

/* --- the page ----------------------------------------------------------------------------------- */

function listsOf(answer: any): Lists {
    const tunnel = answer.config?.effective?.tunnel;
    return { services: tunnel?.serviceTunnels?.whitelistIps, webUi: tunnel?.webUi?.whitelistIps };
}

export function Edge({ isPublic }: { isPublic: boolean }) {
    const before = useRef<Stats | undefined>(undefined);
    const [error, setError] = useState<ApiError>();
    const loaded = useLoaded<EdgeData>(async () => {
        const [stats, status, logins, certificates, lists] = await Promise.all([
            get<Stats>('/stats'),
            isPublic ? undefined : get<StatusAll>('/status/all'),
            isPublic ? undefined : get<EdgeData['logins']>('/access/logins'),
            isPublic ? undefined : get<{ certificates: Certificate[] }>('/certificates').then((c) => c.certificates),
            isPublic ? undefined : get<any>('/settings/config').then(listsOf),
        ]);
        const data = { stats, status, logins, certificates, lists, before: before.current };
        before.current = stats;
        return data;
    }, 'edge', EVERY_MS);
    return <><div class="title"><h1>Edge</h1></div>
        <ErrorNote error={error} />
        <Await of={loaded}>{(data) => <>
            {data.stats.gateway === null ? <Note kind="warn">No gateway is serving.</Note> : <Numbers data={data} />}
            <div class="two">
                {data.status !== undefined && <div><Listener of={data.status} />
                    {data.lists !== undefined && <Whitelists of={data.lists} routes={data.status.routes} />}</div>}
                <div>{data.certificates?.filter((c) => c.source !== 'disabled').map((c) => <CertificateView
                    key={c.listenerKind} of={c} reload={loaded.reload} onError={setError} />)}</div></div>
            <Routes data={data} />
            <Requests />
            <DevicesPanel onError={setError} />
            {data.logins !== undefined && <Logins of={data.logins} reload={loaded.reload} onError={setError} />}
        </>}</Await></>;
}
