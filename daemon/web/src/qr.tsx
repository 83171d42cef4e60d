/* QR codes as SVG; loaded when the first one is asked for. */
import qrcode from 'qrcode-generator';

export default function Qr({ text }: { text: string }) {
    const code = qrcode(0, 'M');
    code.addData(text);
    code.make();
    const n = code.getModuleCount();
    let path = '';
    for (let y = 0; y < n; y++) {
        for (let x = 0; x < n; x++) {
            if (code.isDark(y, x)) {
                path += `M${x + 4} ${y + 4}h1v1h-1z`;
            }
        }
    }
    return <svg class="qr" viewBox={`0 0 ${n + 8} ${n + 8}`} role="img" aria-label={`QR code of ${text}`}
        shape-rendering="crispEdges">
        <path fill="#fff" d={`M0 0h${n + 8}v${n + 8}H0z`} /><path fill="#000" d={path} /></svg>;
}
