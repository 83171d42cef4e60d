/* A link as a QR code, for the phone. */
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Copy, Dialog, Icon } from './parts';

export function QrView({ text }: { text: string }) {
    const [view, setView] = useState<{ Qr: ComponentType<{ text: string }> }>();
    useEffect(() => {
        void import('./qr').then((module) => setView({ Qr: module.default }));
    }, []);
    return view === undefined ? <div class="qr" /> : <view.Qr text={text} />;
}

export function QrButton({ url }: { url: string }) {
    const [open, setOpen] = useState(false);
    return <>
        <button type="button" class="icon" aria-label={`QR code of ${url}`} title="QR code"
            onClick={() => setOpen(true)}><Icon name="qr" /></button>
        {open && <Dialog title="Open on another device" onClose={() => setOpen(false)}>
            <QrView text={url} />
            <p class="copyline"><a href={url} target="_blank" rel="noreferrer">{url}</a>
                <Copy text={url} what="address" /></p>
        </Dialog>}
    </>;
}
