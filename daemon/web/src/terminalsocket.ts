/* One terminal's connection (terminal protocol 1, docs/API.md): binary messages, replay from where it
 * was after a break, and never more input under way than the daemon takes. */
import { ApiError, get } from './api';
import type { Shell } from './types';

const WINDOW = 16 * 1024; /* bytes of input under way: sixteen viewers fit into the daemon's bound */
const HEAD = 8; /* bytes of an output message before the output */
const RETRY_MS = [300, 1000, 2000, 5000];

export type Link = 'connecting' | 'open' | 'lost' | 'exited' | 'gone' | 'refused';

export interface Handlers {
    /* Replay is what was written before this view came, or came back. */
    onOutput: (bytes: Uint8Array, isReplay: boolean) => void;
    /* What was shown is not the whole story: from here on it is right again. */
    onSkip: () => void;
    onSize: (cols: number, rows: number) => void;
    /* Whether what the program asks from here on is this view's to answer. */
    onAnswers: (isOurs: boolean) => void;
    onLink: (link: Link, message?: string) => void;
}

export class TerminalSocket {
    private socket: WebSocket | null = null;
    private seq = 0;
    private live = Number.MAX_SAFE_INTEGER; /* output from here on is new; said at first */
    private sent = 0;
    private taken = 0;
    private queue: Uint8Array[] = [];
    private tries = 0;
    private timer: number | undefined;
    private isOver = false;

    constructor(private shell: Shell, private on: Handlers, private size: () => { cols: number; rows: number }) {
        this.open();
        window.addEventListener('online', this.retry);
    }

    close() {
        this.isOver = true;
        window.clearTimeout(this.timer);
        window.removeEventListener('online', this.retry);
        this.socket?.close();
        this.socket = null;
    }

    type(text: string) {
        this.write(new TextEncoder().encode(text));
    }

    write(bytes: Uint8Array) {
        for (let at = 0; at < bytes.length; at += WINDOW) {
            this.queue.push(bytes.subarray(at, at + WINDOW));
        }
        this.flush();
    }

    resize(cols: number, rows: number) {
        this.say({ type: 'resize', cols, rows });
    }

    private say(message: unknown) {
        if (this.socket?.readyState === WebSocket.OPEN) {
            this.socket.send(JSON.stringify(message));
        }
    }

    private flush() {
        while (this.queue.length > 0 && this.socket?.readyState === WebSocket.OPEN
            && this.sent - this.taken + this.queue[0]!.length <= WINDOW) {
            const piece = this.queue.shift()!;
            this.sent += piece.length;
            this.socket.send(piece as Uint8Array<ArrayBuffer>);
        }
    }

    private open() {
        window.clearTimeout(this.timer);
        const url = new URL(this.shell.attachPath, location.href);
        url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
        const socket = new WebSocket(url);
        socket.binaryType = 'arraybuffer';
        this.socket = socket;
        socket.onopen = () => {
            this.tries = 0;
            this.sent = 0;
            this.taken = 0;
            this.queue = []; /* typed while nobody heard it: old keys are worse than none */
            this.say({
                type: 'hello', v: 1, clientId: 'web', desiredControl: 'controller',
                encoding: 'binary', skip: true, since: this.seq, ...this.size(),
            });
            this.on.onLink('open');
        };
        socket.onmessage = (event) => this.message(event.data);
        socket.onclose = () => {
            if (this.socket === socket) {
                this.socket = null;
                this.lost();
            }
        };
    }

    private message(data: ArrayBuffer | string) {
        if (typeof data !== 'string') {
            const bytes = new Uint8Array(data, HEAD);
            const from = Number(new DataView(data).getBigUint64(0));
            const old = Math.min(Math.max(this.live - from, 0), bytes.length);
            this.seq = from + bytes.length;
            if (old > 0) {
                this.on.onOutput(bytes.subarray(0, old), true);
            }
            if (old < bytes.length) {
                this.on.onOutput(bytes.subarray(old), false);
            }
            return;
        }
        const message = JSON.parse(data);
        switch (message.type) {
        case 'attached':
            this.live = message.seq;
            break;
        case 'size':
            this.on.onSize(message.cols, message.rows);
            break;
        case 'answers':
            this.on.onAnswers(message.yours);
            break;
        case 'taken':
            this.taken = message.bytes;
            this.flush();
            break;
        case 'skipped':
            this.seq = message.seq;
            this.on.onSkip();
            break;
        case 'exit': {
            const { exitCode, signal } = message.exit;
            this.end('exited', signal === undefined ? `exit ${exitCode}` : `signal ${signal}`);
            break;
        }
        case 'error':
            this.end('refused', message.message);
            break;
        }
    }

    private lost() {
        if (!this.isOver) {
            this.on.onLink('lost');
            window.clearTimeout(this.timer);
            this.timer = window.setTimeout(this.retry, RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]);
        }
    }

    private end(link: Link, message?: string) {
        this.close();
        this.on.onLink(link, message);
    }

    /* The browser does not say why a WebSocket failed: the list of terminals does. */
    private retry = async () => {
        if (this.socket !== null || this.isOver) {
            return;
        }
        try {
            const all = await get<{ terminals: Shell[] }>('/terminals');
            if (this.isOver) {
                return;
            }
            if (!all.terminals.some((t) => t.id === this.shell.id)) {
                this.end('gone');
            } else if (this.socket === null) {
                this.open();
            }
        } catch (error) {
            if (error instanceof ApiError && (error.status === 403 || error.status === 401)) {
                this.end('refused', error.message);
            } else {
                this.lost();
            }
        }
    };
}
