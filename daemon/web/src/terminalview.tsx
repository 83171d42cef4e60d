/* One terminal: xterm.js on a connection, and the keys that a phone has not got. A chunk of its own,
 * loaded when the first terminal is shown. */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal, type IFunctionIdentifier, type ITheme } from '@xterm/xterm';
import { useEffect, useRef, useState } from 'preact/hooks';
import './strictstyles';
import { Note } from './parts';
import { TerminalSocket, type Link } from './terminalsocket';
import type { Shell } from './types';

const DARK: ITheme = {
    background: '#0b0d11', foreground: '#d8dce3', cursor: '#d8dce3', cursorAccent: '#0b0d11',
    selectionBackground: '#2f4a75', black: '#30363d', red: '#ff7b72', green: '#56d364', yellow: '#e3b341',
    blue: '#79c0ff', magenta: '#d2a8ff', cyan: '#56d4dd', white: '#d8dce3', brightBlack: '#8b949e',
    brightRed: '#ffa198', brightGreen: '#7ee787', brightYellow: '#f2cc60', brightBlue: '#a5d6ff',
    brightMagenta: '#e2c5ff', brightCyan: '#8ddbe0', brightWhite: '#ffffff',
};
const LIGHT: ITheme = {
    background: '#ffffff', foreground: '#171b22', cursor: '#171b22', cursorAccent: '#ffffff',
    selectionBackground: '#b8d2fb', black: '#171b22', red: '#b91c2b', green: '#157a3c', yellow: '#8a5a00',
    blue: '#1d5fd0', magenta: '#7a3ea8', cyan: '#0b6b76', white: '#5b6472', brightBlack: '#5b6472',
    brightRed: '#c5303f', brightGreen: '#1a7f43', brightYellow: '#8f6200', brightBlue: '#2b6cdf',
    brightMagenta: '#8a4bbb', brightCyan: '#107884', brightWhite: '#3a4250',
};

const dark = window.matchMedia('(prefers-color-scheme: dark)');
const theme = () => (dark.matches ? DARK : LIGHT);

/* What programs ask of a terminal: DA, DSR and DECRQM, DECRQSS, colours. xterm.js answers at once, as if typed. */
const CSI_QUESTIONS: IFunctionIdentifier[] = [
    { final: 'c' }, { prefix: '>', final: 'c' }, { final: 'n' }, { prefix: '?', final: 'n' },
    { intermediates: '$', final: 'p' }, { prefix: '?', intermediates: '$', final: 'p' },
];
const DCS_QUESTION: IFunctionIdentifier = { intermediates: '$', final: 'q' };
const OSC_COLOURS = [4, 10, 11, 12]; /* `?` in place of a colour asks for it */
const LEAVE_ID = 'leave-terminal';
const FOCUS_REPORT = /^\x1b\[[IO]$/; /* of a program that asked to be told (mode 1004); no key sends it */

/* What the terminal is and what it is connected to, for as long as the view is there. */
class Session {
    readonly term: Terminal;
    readonly socket: TerminalSocket;
    ctrl = false;
    private fit = new FitAddon();
    private isOurs = true; /* its size is this view's; else that of whoever typed last */
    private answers = true; /* what the program asks is this view's to answer: the daemon says so */
    private isAnswering = false; /* what xterm.js says now is no typing */
    private isComing = false; /* the focus is: a report of it is a person's doing */
    private replaying = 0; /* pieces of replay that are not on the screen yet */

    constructor(private box: HTMLElement, shell: Shell, readerMode: boolean,
        onLink: (link: Link, message?: string) => void, private onCtrl: (on: boolean) => void,
        private onLeave: () => void) {
        this.term = new Terminal({
            allowProposedApi: false, cursorBlink: false, fontSize: 14, scrollback: 10000, theme: theme(),
            fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace',
            lineHeight: 1.15, /* rows cut off what is below: at 1 the underscores of DejaVu Sans Mono */
            minimumContrastRatio: 4.5, screenReaderMode: readerMode, macOptionIsMeta: true,
        });
        this.term.loadAddon(this.fit);
        this.term.open(box);
        this.fit.fit();
        this.socket = new TerminalSocket(shell, {
            onOutput: (bytes, isReplay) => this.show(bytes, isReplay),
            onSkip: () => this.term.write('\x1bc\x1b[2m[output was left out here]\x1b[0m\r\n'),
            onSize: (cols, rows) => this.take(cols, rows),
            onAnswers: (yours) => this.term.write('', () => { this.answers = yours; }), /* in its turn */
            onLink,
        }, () => ({ cols: this.term.cols, rows: this.term.rows }));
        this.hearQuestions();
        this.term.onData((text) => this.typed(text));
        this.term.onBinary((text) => this.socket.write(Uint8Array.from(text, (c) => c.charCodeAt(0))));
        this.term.onResize(({ cols, rows }) => this.isOurs && this.socket.resize(cols, rows));
        this.term.attachCustomKeyEventHandler((event) => this.key(event));
        box.addEventListener('focus', this.come, true);
        this.term.textarea!.addEventListener('focus', () => { this.isComing = false; });
        window.addEventListener('resize', this.refit);
        dark.addEventListener('change', this.recolour);
        const area = this.term.textarea!;
        area.setAttribute('aria-keyshortcuts', 'Control+Shift+Enter');
        area.setAttribute('aria-describedby', LEAVE_ID);
        this.term.focus();
    }

    close() {
        this.box.removeEventListener('focus', this.come, true);
        window.removeEventListener('resize', this.refit);
        dark.removeEventListener('change', this.recolour);
        this.socket.close();
        this.term.dispose();
    }

    /* A key of the row below: `ctrl` counts for it too. */
    press(sequence: string) {
        this.typed(sequence);
        this.term.focus();
    }

    arrow(letter: string) {
        this.press(`\x1b${this.term.modes.applicationCursorKeysMode ? 'O' : '['}${letter}`);
    }

    setCtrl(on: boolean) {
        this.ctrl = on;
        this.onCtrl(on);
    }

    refit = () => {
        if (this.isOurs) {
            this.fit.fit();
        }
    };

    async copy() {
        await navigator.clipboard.writeText(this.term.getSelection());
    }

    async paste() {
        this.term.paste(await navigator.clipboard.readText());
        this.term.focus();
    }

    private recolour = () => {
        this.term.options.theme = theme();
    };

    private show(bytes: Uint8Array, isReplay: boolean) {
        if (!isReplay) {
            this.term.write(bytes);
            return;
        }
        this.replaying++;
        this.term.write(bytes, () => this.replaying--);
    }

    /* Questions of a replay were answered when they were asked, or nobody waits any more: the shell would
     * take the answer for something typed. Of several views one answers. */
    private mayAnswer() {
        return this.answers && this.replaying === 0;
    }

    private hearQuestions() {
        const parser = this.term.parser;
        const drop = () => {
            this.isAnswering = this.mayAnswer();
            queueMicrotask(() => { this.isAnswering = false; }); /* it answers before that, if at all */
            return !this.isAnswering;
        };
        CSI_QUESTIONS.forEach((id) => parser.registerCsiHandler(id, drop));
        parser.registerDcsHandler(DCS_QUESTION, drop);
        OSC_COLOURS.forEach((id) => parser.registerOscHandler(id, (data) => data.includes('?') && drop()));
    }

    private typed(text: string) {
        if (FOCUS_REPORT.test(text) || this.isAnswering) {
            if (this.isComing || this.mayAnswer()) {
                this.socket.type(text);
            }
            return;
        }
        this.claim();
        const code = text.toUpperCase().charCodeAt(0);
        if (this.ctrl && text.length === 1 && code >= 0x40 && code <= 0x5f) {
            text = String.fromCharCode(code & 0x1f);
        }
        if (this.ctrl) {
            this.setCtrl(false);
        }
        this.socket.type(text);
    }

    /* Whoever types here sees it at this view's size. */
    private claim() {
        if (!this.isOurs || !this.answers) {
            this.isOurs = true;
            this.box.classList.remove('foreign');
            this.fit.fit();
            this.socket.resize(this.term.cols, this.term.rows);
        }
    }

    /* Before xterm.js knows, which may have to report it. */
    private come = (event: Event) => {
        if (event.target === this.term.textarea) {
            this.claim();
            this.isComing = true;
        }
    };

    /* The size the program sees; another viewer may have set it. */
    private take(cols: number, rows: number) {
        if (cols !== this.term.cols || rows !== this.term.rows) {
            this.isOurs = false;
            this.term.resize(cols, rows);
        }
        const fits = this.fit.proposeDimensions();
        if (!this.isOurs && fits?.cols === cols && fits.rows === rows) {
            this.isOurs = true; /* the one before was this view's too, said when its box was another */
        }
        this.box.classList.toggle('foreign', !this.isOurs);
        this.box.dataset.size = `${cols}x${rows}`;
    }

    /* Ctrl+Shift+C copies, as in other terminals; Ctrl+Shift+V is the browser's own paste. Every other key
     * is the program's, Tab and Escape too, so there is one to leave with: programs cannot tell it from Enter. */
    private key(event: KeyboardEvent): boolean {
        if (event.type === 'keydown' && event.ctrlKey && event.shiftKey && event.key === 'Enter') {
            event.preventDefault();
            this.onLeave();
            return false;
        }
        if (event.type === 'keydown' && event.ctrlKey && event.shiftKey && event.code === 'KeyC') {
            event.preventDefault();
            void this.copy();
            return false;
        }
        return !(event.ctrlKey && event.shiftKey && event.code === 'KeyV');
    }
}

const KEYS: [string, string, (s: Session) => void][] = [
    ['Esc', 'Esc', (s) => s.press('\x1b')],
    ['Tab', 'Tab', (s) => s.press('\t')],
    ['←', 'Left', (s) => s.arrow('D')],
    ['↓', 'Down', (s) => s.arrow('B')],
    ['↑', 'Up', (s) => s.arrow('A')],
    ['→', 'Right', (s) => s.arrow('C')],
    ['|', 'Bar', (s) => s.press('|')],
    ['/', 'Slash', (s) => s.press('/')],
    ['-', 'Minus', (s) => s.press('-')],
];

function LinkNote({ link, message }: { link: Link; message?: string }) {
    switch (link) {
    case 'lost':
        return <Note kind="warn">Not connected; it is tried again by itself. The program goes on meanwhile.</Note>;
    case 'exited':
        return <Note kind="info">It has ended ({message}).</Note>;
    case 'gone':
        return <Note kind="info">This terminal is no more: it was closed, or the daemon was restarted.</Note>;
    case 'refused':
        return <Note kind="bad">{message}</Note>;
    default:
        return null;
    }
}

export default function TerminalView({ shell, readerMode }: { shell: Shell; readerMode: boolean }) {
    const box = useRef<HTMLDivElement>(null);
    const keys = useRef<HTMLDivElement>(null);
    const session = useRef<Session | null>(null);
    const [link, setLink] = useState<{ link: Link; message?: string }>({ link: 'connecting' });
    const [ctrl, setCtrl] = useState(false);
    useEffect(() => {
        const leave = () => [...keys.current!.querySelectorAll('button')].find((b) => b.offsetParent !== null)?.focus();
        const s = new Session(box.current!, shell, readerMode,
            (state, message) => setLink({ link: state, message }), setCtrl, leave);
        session.current = s;
        const watch = new ResizeObserver(s.refit);
        watch.observe(box.current!);
        return () => {
            watch.disconnect();
            s.close();
            session.current = null;
        };
    }, [shell.id]);
    useEffect(() => {
        if (session.current !== null) {
            session.current.term.options.screenReaderMode = readerMode;
        }
    }, [readerMode]);
    const keep = (event: Event) => event.preventDefault(); /* the focus, and with it the phone's keyboard */
    const act = (run: (s: Session) => void) => () => session.current !== null && run(session.current);
    return <>
        <LinkNote {...link} />
        <div class="xtermbox" ref={box} data-id={shell.id} data-link={link.link} />
        <div class="keys" role="toolbar" aria-label="Keys" ref={keys}>
            <button type="button" aria-pressed={ctrl} onPointerDown={keep}
                onClick={act((s) => s.setCtrl(!s.ctrl))}>Ctrl</button>
            {KEYS.map(([text, name, run]) => <button type="button" aria-label={name} onPointerDown={keep}
                onClick={act(run)}>{text}</button>)}
            <span class="grow dim small" id={LEAVE_ID}><kbd>Ctrl+Shift+Enter</kbd> leaves the terminal.</span>
            <button type="button" onPointerDown={keep} onClick={act((s) => void s.copy().catch(() => 0))}>Copy</button>
            <button type="button" onPointerDown={keep} onClick={act((s) => void s.paste().catch(() => 0))}>Paste</button>
        </div>
    </>;
}
