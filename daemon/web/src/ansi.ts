/* Lines with terminal escapes as pieces of text with a look. Colours and weights (ECMA-48 SGR) are
 * shown, everything else a terminal would obey is left out. Colours are made here from numbers only:
 * nothing a service wrote becomes markup or style. Logs are dark in both themes, so there is one
 * set of colours; what cannot be read on its background is moved until it can. */

/* What holds at some place in a stream; never changed once made. A colour is 0xRRGGBB, -1 the default. */
export interface Style { fg: number; bg: number; flags: number }

export interface Piece { text: string; classes: string; colour?: { color?: string; background?: string } }

export const PLAIN: Style = { fg: -1, bg: -1, flags: 0 };

/* CSI, OSC, other escapes, and control characters but tab. */
const ESCAPES = new RegExp('\\x1b\\[([0-9;:]*)m|\\x1b\\[[0-?]*[ -/]*[@-~]'
    + '|\\x1b\\][^\\x07\\x1b]*(?:\\x07|\\x1b\\\\)?|\\x1b[@-Z\\\\-_]|[\\x00-\\x08\\x0a-\\x1f\\x7f]', 'g');
const SGR = /\x1b\[([0-9;:]*)m/g;
const CUT_OFF = /\x1b(?:\[[0-?]*[ -/]*)?$/; /* an escape whose rest has not come yet */

const FLAGS = ['bold', 'faint', 'italic', 'underline', 'strike'];
const FLAG_ON: Record<number, number> = { 1: 1, 2: 2, 3: 4, 4: 8, 9: 16 };
const FLAG_OFF: Record<number, number> = { 22: 3, 23: 4, 24: 8, 29: 16 };

const TEXT = 0xd8dce3; /* --log-text and the lighter --log of style.css */
const BACK = 0x14171c;
const CONTRAST_MIN = 4.5;
const NAMED = [0x7d8590, 0xff7b72, 0x56d364, 0xe3b341, 0x79c0ff, 0xd2a8ff, 0x56d4dd, 0xd8dce3,
    0x8b949e, 0xffa198, 0x7ee787, 0xf2cc60, 0xa5d6ff, 0xe2c5ff, 0x8ddbe0, 0xffffff];
const NAMED_BACK = [0x30363d, 0x8e1519, 0x12612a, 0x6b4a00, 0x0c4a9a, 0x5c2fa0, 0x10626b, 0xb1bac4];

/* One of xterm's 256: sixteen with names, a cube of six steps, 24 greys. */
function indexed(n: number, named: (n: number) => number): number {
    if (!(n >= 0 && n <= 255)) {
        return -1;
    }
    if (n < 16) {
        return named(n);
    }
    if (n >= 232) {
        return (8 + (n - 232) * 10) * 0x10101;
    }
    const step = (i: number) => (i === 0 ? 0 : 55 + i * 40);
    return step(Math.floor((n - 16) / 36)) * 0x10000 + step(Math.floor((n - 16) / 6) % 6) * 0x100 + step((n - 16) % 6);
}

const foreground = (n: number) => NAMED[n]!;
const background = (n: number) => NAMED_BACK[n % 8]!;

/* 38;5;N, 38;2;R;G;B, and as one parameter 38:5:N, 38:2:R:G:B or 38:2::R:G:B. The colour, and how many it used. */
function extended(codes: string[], at: number, named: (n: number) => number): [number, number] {
    const parts = codes[at]!.split(':');
    const isOne = parts.length > 1;
    const rest = (isOne ? parts.slice(1) : codes.slice(at + 1, at + 5)).map(Number);
    if (rest[0] === 5) {
        return [indexed(rest[1] ?? 0, named), isOne ? 0 : 2];
    }
    if (rest[0] !== 2) {
        return [-1, 0];
    }
    const rgb = rest.slice(isOne && rest.length > 4 ? 2 : 1).slice(0, 3);
    const isValid = rgb.length === 3 && rgb.every((c) => c >= 0 && c <= 255);
    return [isValid ? rgb[0]! * 0x10000 + rgb[1]! * 0x100 + rgb[2]! : -1, isOne ? 0 : 4];
}

function applied(before: Style, parameters: string): Style {
    let { fg, bg, flags } = before;
    const codes = parameters.split(';');
    for (let i = 0; i < codes.length; i++) {
        const code = parseInt(codes[i]!, 10) || 0;
        if (code === 0) {
            ({ fg, bg, flags } = PLAIN);
        } else if (codes[i] === '4:0') { /* 4:1 to 4:5 are kinds of underline */
            flags &= ~FLAG_ON[4]!;
        } else if (FLAG_ON[code] !== undefined) {
            flags |= FLAG_ON[code]!;
        } else if (FLAG_OFF[code] !== undefined) {
            flags &= ~FLAG_OFF[code]!;
        } else if (code >= 30 && code <= 37) {
            fg = foreground(code - 30);
        } else if (code >= 90 && code <= 97) {
            fg = foreground(code - 82);
        } else if (code >= 40 && code <= 47) {
            bg = background(code - 40);
        } else if (code >= 100 && code <= 107) {
            bg = background(code - 92);
        } else if (code === 39) {
            fg = -1;
        } else if (code === 49) {
            bg = -1;
        } else if (code === 38 || code === 48) {
            const [colour, used] = extended(codes, i, code === 38 ? foreground : background);
            [fg, bg] = code === 38 ? [colour, bg] : [fg, colour];
            i += used;
        }
    }
    return { fg, bg, flags };
}

/* What holds at the end of `text` that began in `style`: the same object where nothing changed. */
export function styleAfter(text: string, style: Style): Style {
    if (text.includes('\x1b[')) {
        for (const match of text.matchAll(SGR)) {
            style = applied(style, match[1]!);
        }
    }
    return style;
}

/* --- colours that can be read -------------------------------------------------------------------- */

const channels = (colour: number) => [colour >> 16, (colour >> 8) & 255, colour & 255];

/* WCAG 2's relative luminance, and the contrast of two of them. */
function luminance(colour: number): number {
    const [r, g, b] = channels(colour).map((c) =>
        (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(one: number, other: number): number {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high! + 0.05) / (low! + 0.05);
}

/* `fg`, moved towards white or black by as little as makes it readable on `bg`. */
function readable(fg: number, bg: number): number {
    const end = contrast(0xffffff, bg) >= contrast(0, bg) ? 255 : 0;
    let colour = fg;
    for (let tenth = 1; tenth <= 10 && contrast(colour, bg) < CONTRAST_MIN; tenth++) {
        colour = channels(fg).reduce((all, c) => all * 256 + Math.round(c + (end - c) * tenth / 10), 0);
    }
    return colour;
}

const css = (colour: number) => `#${colour.toString(16).padStart(6, '0')}`;

function look({ fg, bg, flags }: Style): Omit<Piece, 'text'> {
    const classes = FLAGS.filter((_, i) => flags & (1 << i)).join(' ');
    if (fg < 0 && bg < 0) {
        return { classes };
    }
    const back = bg < 0 ? BACK : bg;
    const text = contrast(TEXT, back) >= contrast(BACK, back) ? TEXT : BACK; /* where none was asked for */
    const color = css(readable(fg < 0 ? text : fg, back));
    return { classes, colour: bg < 0 ? { color } : { color, background: css(bg) } };
}

/* --- lines --------------------------------------------------------------------------------------- */

export function pieces(line: string, style: Style = PLAIN): Piece[] {
    const out: Piece[] = [];
    let from = 0;
    const push = (text: string) => {
        if (text !== '') {
            out.push({ text, ...look(style) });
        }
    };
    for (const match of line.matchAll(ESCAPES)) {
        push(line.slice(from, match.index));
        from = match.index + match[0].length;
        if (match[1] !== undefined) {
            style = applied(style, match[1]);
        }
    }
    push(line.slice(from));
    return out;
}

/* The end of a stream without an escape that is under way. */
export function withoutCutOff(text: string): string {
    return text.replace(CUT_OFF, '');
}

export function plain(line: string): string {
    return line.replace(ESCAPES, '');
}
