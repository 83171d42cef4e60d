/* Numbers, times and names as people read them. */
import type { Status } from './types';

export function bytes(n: number | undefined): string {
    if (n === undefined) {
        return '';
    }
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let i = 0;
    while (n >= 1000 && i < units.length - 1) {
        n /= 1000;
        i++;
    }
    return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export function count(n: number): string {
    return n.toLocaleString('en');
}

export function rate(n: number): string {
    return n === 0 ? '0' : n < 10 ? n.toFixed(1) : count(Math.round(n));
}

export function milliseconds(ms: number | undefined): string {
    if (ms === undefined || !Number.isFinite(ms)) {
        return '–';
    }
    return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms`
        : `${(ms / 1000).toFixed(1)} s`;
}

const STEPS: [number, string][] = [[60, 's'], [60, 'min'], [24, 'h'], [365, 'd'], [1e9, 'y']];

/* "5 min ago", "in 89 d". */
export function ago(time: string | undefined, now = Date.now()): string {
    const at = time === undefined ? NaN : Date.parse(time);
    if (Number.isNaN(at)) {
        return '';
    }
    let n = Math.abs(now - at) / 1000;
    if (n < 5) {
        return 'now';
    }
    for (const [size, unit] of STEPS) {
        if (n < size) {
            const text = `${Math.floor(n)} ${unit}`;
            return at > now ? `in ${text}` : `${text} ago`;
        }
        n /= size;
    }
    return '';
}

export function basename(path: string): string {
    return path.slice(path.lastIndexOf('/') + 1) || path;
}

const STATUS_WORDS: Record<Status, string> = {
    not_started: 'not started', pending: 'starting', checking: 'checking', running: 'running',
    running_partial: 'partly running', failed: 'failed', stopped: 'stopped', stopping: 'stopping',
    unknown: 'unknown',
};

export function statusWord(status: string): string {
    return STATUS_WORDS[status as Status] ?? status;
}

export type Tone = 'good' | 'bad' | 'busy' | 'warn' | 'idle';

export function tone(status: string): Tone {
    switch (status) {
    case 'running': case 'healthy': case 'active': case 'serving': case 'live': case 'succeeded':
    case 'done':
        return 'good';
    case 'failed': case 'exited':
        return 'bad';
    case 'pending': case 'checking': case 'stopping': case 'starting': case 'queued': case 'created':
    case 'restarting':
        return 'busy';
    case 'running_partial': case 'stale': case 'failed-allowed': case 'waiting': case 'failing': case 'paused':
        return 'warn';
    default:
        return 'idle';
    }
}

/* The browser's name out of a User-Agent: enough to tell one's devices apart. */
export function device(agent: string): string {
    const browser = /Edg\//.test(agent) ? 'Edge' : /Firefox\//.test(agent) ? 'Firefox'
        : /Chrom(e|ium)\//.test(agent) ? 'Chrome' : /Safari\//.test(agent) ? 'Safari' : '';
    const system = /iPhone|iPad/.test(agent) ? 'iOS' : /Android/.test(agent) ? 'Android'
        : /Mac OS X/.test(agent) ? 'macOS' : /Windows/.test(agent) ? 'Windows'
            : /Linux/.test(agent) ? 'Linux' : '';
    return [browser, system].filter(Boolean).join(' on ') || agent || 'unknown browser';
}
