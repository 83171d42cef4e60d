/* Lines with terminal escapes as pieces of text with class names. Colours and weights (ECMA-48 SGR)
 * are shown, everything else a terminal would obey is left out. */

export interface Piece { text: string; classes: string }

/* CSI, OSC, other escapes, and control characters but tab. */
const ESCAPES = new RegExp('\\x1b\\[([0-9;:]*)m|\\x1b\\[[0-?]*[ -/]*[@-~]'
    + '|\\x1b\\][^\\x07\\x1b]*(?:\\x07|\\x1b\\\\)?|\\x1b[@-Z\\\\-_]|[\\x00-\\x08\\x0a-\\x1f\\x7f]', 'g');

interface Style { fg: string; bg: string; flags: Set<string> }

const FLAGS: Record<number, string> = { 1: 'bold', 2: 'faint', 3: 'italic', 4: 'underline', 9: 'strike' };
const FLAGS_OFF: Record<number, string[]> = {
    22: ['bold', 'faint'], 23: ['italic'], 24: ['underline'], 29: ['strike'],
};

/* 38;5;N and 38;2;R;G;B: the first sixteen have names; others stay plain. Parameters used. */
function extended(codes: number[], at: number, prefix: string): [string, number] {
    if (codes[at + 1] === 5) {
        const n = codes[at + 2] ?? 0;
        return [n < 16 ? `${prefix}${n}` : '', 2];
    }
    return ['', codes[at + 1] === 2 ? 4 : 0];
}

function apply(style: Style, parameters: string) {
    const codes = parameters.split(/[;:]/).map(Number);
    for (let i = 0; i < codes.length; i++) {
        const code = codes[i]!;
        if (code === 0) {
            style.fg = style.bg = '';
            style.flags.clear();
        } else if (FLAGS[code] !== undefined) {
            style.flags.add(FLAGS[code]!);
        } else if (FLAGS_OFF[code] !== undefined) {
            FLAGS_OFF[code]!.forEach((flag) => style.flags.delete(flag));
        } else if (code >= 30 && code <= 37) {
            style.fg = `f${code - 30}`;
        } else if (code >= 90 && code <= 97) {
            style.fg = `f${code - 82}`;
        } else if (code >= 40 && code <= 47) {
            style.bg = `b${code - 40}`;
        } else if (code >= 100 && code <= 107) {
            style.bg = `b${code - 92}`;
        } else if (code === 39) {
            style.fg = '';
        } else if (code === 49) {
            style.bg = '';
        } else if (code === 38 || code === 48) {
            const [name, used] = extended(codes, i, code === 38 ? 'f' : 'b');
            style[code === 38 ? 'fg' : 'bg'] = name;
            i += used;
        }
    }
}

export function pieces(line: string): Piece[] {
    if (!/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) {
        return [{ text: line, classes: '' }];
    }
    const style: Style = { fg: '', bg: '', flags: new Set() };
    const out: Piece[] = [];
    let from = 0;
    const push = (text: string) => {
        if (text !== '') {
            out.push({ text, classes: [style.fg, style.bg, ...style.flags].filter(Boolean).join(' ') });
        }
    };
    for (const match of line.matchAll(ESCAPES)) {
        push(line.slice(from, match.index));
        from = match.index + match[0].length;
        if (match[1] !== undefined) {
            apply(style, match[1] === '' ? '0' : match[1]);
        }
    }
    push(line.slice(from));
    return out;
}

export function plain(line: string): string {
    return line.replace(ESCAPES, '');
}
