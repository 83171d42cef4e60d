/* What the daemon's API answers (docs/API.md), as far as the UI reads it. */

export type Status =
    | 'not_started' | 'pending' | 'checking' | 'running' | 'running_partial'
    | 'failed' | 'stopped' | 'stopping' | 'unknown';

export interface Operation {
    operationId: string;
    kind: string;
    sessionName: string;
    status: 'queued' | 'running' | 'succeeded' | 'failed' | 'conflict';
    startedAt: string;
    finishedAt?: string;
    failureMessage?: string;
    code?: string;
}

export interface Usage { cpuPercent?: number; memUsedBytes?: number }

export interface Service {
    service: string;
    state: 'created' | 'running' | 'stopping' | 'stopped' | 'exited' | 'restarting' | 'paused' | 'unknown';
    status?: string;
    pid?: number;
    ports: { containerPort: number; hostPort?: number }[];
    startedAt?: string;
    resourceUsage?: Usage;
}

export interface Tunnel {
    service: string;
    containerPort: number;
    hostPort: number;
    state: 'active' | 'private' | 'failed';
    url?: string;
    access?: string;
    message?: string;
    warning?: string;
}

export interface Health {
    service: string;
    containerPort: number;
    state: 'healthy' | 'failed' | 'failed-allowed' | 'disabled' | 'waiting';
    expectedStatus?: number;
    observedStatus?: number;
    message?: string;
}

export interface Session {
    sessionName: string;
    worktreePath: string;
    projectName?: string;
    status: Status;
    services: Service[];
    tunnels: Tunnel[];
    appPortHealthchecks?: Health[];
    activeOperation?: Operation;
    latestOperation?: Operation;
}

export interface WorktreeSummary {
    path: string;
    branch?: string;
    detached?: boolean;
    isSource?: boolean;
    sessionName: string;
    status: Status;
    displayName?: string;
    note?: string;
    workflowStatusId?: string;
    resourceUsage?: Usage;
    activeOperation?: Operation;
    aheadCount?: number;
    behindCount?: number;
    uncommittedCount?: number;
    lastCommitSubject?: string;
    lastCommitTime?: string;
}

/* What a POST that takes a while answers. */
export interface Started { operationId: string }

export interface WorkflowStatus { id: string; name: string; colorSlot: number }

export interface Comment { id: string; text: string; createdAt: string }

export interface Project {
    id: string;
    displayName: string;
    sourcePath: string;
    error?: string;
    stale?: boolean;
    worktrees: WorktreeSummary[];
}

export interface Detail {
    worktree: WorktreeSummary;
    projectName?: string;
    state: { lastUp?: string } | null;
    services: Service[];
    appPortHealthchecks: Health[];
    tunnels: Tunnel[];
    activeOperation?: Operation;
    latestOperation?: Operation;
    failureContext?: {
        operationId?: string;
        kind: string;
        message: string;
        step?: string;
        logTail?: string[];
    };
    projectConfig?: { status: string; path?: string; message?: string; errors?: string[] };
    deploymentOptions?: {
        targets: { name: string; services: string[] }[];
        appServices: string[];
        arguments: string[];
    };
}

export type Classes = Record<'none' | '1xx' | '2xx' | '3xx' | '4xx' | '5xx', number>;

export interface RouteStats {
    host: string;
    worktree: string;
    service: string;
    requests: number;
    responses: Classes;
    bodyIn: number;
    bodyOut: number;
    latency: { count: number; sum: number };
}

export interface Stats {
    time: string;
    gateway: null | {
        workers: number;
        startedAtMs: number;
        requests: number;
        responses: Classes;
        denied: Record<string, number>;
        bytesIn: number;
        bytesOut: number;
        latency: { buckets: { le: number; count: number }[]; count: number; sum: number };
        connections: { open: number; accepted: number; refused?: Record<string, number> };
        routes: RouteStats[];
    };
}

export interface Certificate {
    source: string;
    state: 'disabled' | 'active' | 'failed' | 'stale' | string;
    names?: string[];
    issuer?: string;
    notAfter?: string;
    nextAt?: string;
    nextReason?: string;
    step?: string | null;
    listenerKind?: 'tunnel' | 'web';
    lastSuccessAt?: string;
    warning?: string;
    lastError?: null | { phase: string; message: string; at?: string };
}

export interface Route {
    host: string;
    url?: string;
    class: string;
    worktree: string;
    service: string;
    port: number;
    state: string;
    access: string;
    whitelistCount: number;
    classWhitelistCount: number;
    warning?: string;
}

export interface StatusAll {
    daemon: { version: string; startedAt: string; home: string };
    tunnel: {
        enabled: boolean; domain?: string; port: number; publicPort: number; scheme: string;
        state: string; error?: string; generation: number; servedGeneration: number;
        workers?: number; serviceTunnels: boolean;
    };
    config: { path: string; exists: boolean; problems: Problem[]; restartKeys: string[] };
    certificate: Certificate;
    routes: Route[];
}

/* A line of the access log (docs/LOGS.md). */
export interface AccessLine {
    time: string; id?: string; event?: string; peer?: string; host?: string; method?: string; path?: string;
    status?: number; ms?: number; reason?: string; upstreamError?: string; aborted?: string;
}

export interface Problem { key: string; message: string; warning?: boolean }

export interface AccessLogin {
    id: string; host: string; address: string; userAgent: string;
    createdAt: string; lastSeenAt: string; expiresAt: string;
}

export interface Device {
    id: string; address: string; userAgent: string; current?: boolean;
    createdAt: string; lastSeenAt: string; expiresAt: string;
}

export interface SettingKey {
    key: string;
    type: 'bool' | 'int' | 'duration' | 'string' | 'word' | 'ips' | 'texts' | 'json';
    min?: number;
    max?: number;
    words?: string[];
    default?: string;
    allowed: string;
    secret: boolean;
    live: boolean;
    doc: string;
}

export interface Shell {
    id: string; attachPath: string; title: string; path: string; sessionName: string; service?: string;
    createdAt: string; cols: number; rows: number; viewers: number; state: 'running' | 'exited';
    exit?: { exitCode?: number; signal?: number };
}

export interface AuthSession { authenticated: boolean; requiresAuth: boolean }
