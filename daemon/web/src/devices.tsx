/* Who is signed in to this UI from outside, and the one-time link that signs in a phone. */
import { useState } from 'preact/hooks';
import { ApiError, call, get, useLoaded } from './api';
import { ago, device } from './format';
import { Action, Await, Copy, Dialog, Empty, ErrorNote } from './parts';
import { QrView } from './qrdialog';
import type { Device } from './types';

interface Link { url: string; expiresAt: string }

function Connect({ onError }: { onError: (e?: ApiError) => void }) {
    const [link, setLink] = useState<Link>();
    return <>
        <Action kind="primary" onError={onError}
            run={async () => setLink(await call<Link>('POST', '/auth/connect', {}))}>Connect a device</Action>
        {link !== undefined && <Dialog title="Scan to sign in" onClose={() => setLink(undefined)}>
            <QrView text={link.url} />
            <p>This link signs in one device, once. It ends {ago(link.expiresAt)}.</p>
            <p class="copyline"><code class="clip">{link.url}</code><Copy text={link.url} what="link" /></p>
        </Dialog>}
    </>;
}

function Row({ of, reload, onError }: { of: Device; reload: () => void; onError: (e?: ApiError) => void }) {
    const revoke = async () => {
        await call('DELETE', `/auth/sessions/${of.id}`);
        reload();
    };
    return <tr>
        <td data-label="Device"><span>{device(of.userAgent)}{of.current && <span class="tag">this one</span>}</span></td>
        <td data-label="Address">{of.address}</td>
        <td data-label="Signed in">{ago(of.createdAt)}</td>
        <td data-label="Last seen">{ago(of.lastSeenAt)}</td>
        <td class="right"><Action onError={onError} run={revoke}
            label={`Sign out ${device(of.userAgent)} at ${of.address}`}>Sign out</Action></td>
    </tr>;
}

function Table({ of, reload, onError }: { of: Device[]; reload: () => void; onError: (e?: ApiError) => void }) {
    return <table class="stack">
        <thead><tr><th>Device</th><th>Address</th><th>Signed in</th><th>Last seen</th>
            <th><span class="hidden">Actions</span></th></tr></thead>
        <tbody>{of.map((d) => <Row key={d.id} of={d} reload={reload} onError={onError} />)}</tbody>
    </table>;
}

const load = () => get<{ sessions: Device[]; url?: string }>('/auth/sessions');

/* The same on another page. */
export function DevicesPanel({ onError }: { onError: (e?: ApiError) => void }) {
    const loaded = useLoaded(load, 'devices');
    const all = loaded.data?.sessions ?? [];
    return <section class="panel" aria-label="Devices"><div class="tools"><h2>Signed in to this UI</h2><span class="grow" />
        <a href="/devices">All about devices</a></div>
    {all.length === 0 ? <p class="dim">Nobody is, from outside.</p>
        : <Table of={all} reload={loaded.reload} onError={onError} />}</section>;
}

export function Devices({ isPublic }: { isPublic: boolean }) {
    const loaded = useLoaded(load, 'devices');
    const [error, setError] = useState<ApiError>();
    const everywhere = async () => {
        await call('DELETE', '/auth/sessions');
        loaded.reload();
    };
    return <>
        <div class="title"><h1>Devices</h1><span class="grow" />
            {!isPublic && loaded.data?.url !== undefined && <Connect onError={setError} />}
            {loaded.data !== undefined && loaded.data.sessions.length > 0
                && <Action onError={setError} run={everywhere}>Sign out everywhere</Action>}
        </div>
        <ErrorNote error={error} />
        <Await of={loaded}>{(data) => data.sessions.length === 0
            ? <Empty title="Nobody is signed in from outside">
                <p>{data.url === undefined
                    ? 'This UI is served on this machine only. Set tunnel.webUi in the settings to reach it from anywhere.'
                    : <>From anywhere: <a href={data.url}>{data.url}</a></>}</p></Empty>
            : <div class="panel"><Table of={data.sessions} reload={loaded.reload} onError={setError} /></div>}
        </Await>
    </>;
}
