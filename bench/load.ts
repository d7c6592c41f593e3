import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** The figures of one run of wrk. */
export interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface LoadSize {
  readonly seconds: number;
  readonly connections: number;
}

export interface LoadOptions extends LoadSize {
  /** `http://host:port`. */
  readonly base: string;
  /** The path of a file of requests, which `requests.lua` reads. */
  readonly requests: string;
  /** How long each connection waits before each request, in milliseconds; default 0. */
  readonly pauseMs?: number;
  /** True: answers that are errors are expected. */
  readonly isRefused?: boolean;
}

const LUA = new URL('requests.lua', import.meta.url).pathname;
const PAGE_KB = 1024;
/** What wrk prints of answers that are errors, and of requests without an answer. */
const ANY_ERROR = /Non-2xx|Socket errors/;
const SOCKET_ERRORS = /Socket errors/;
const run = promisify(execFile);

/** Sends the requests of a file. Throws when an answer is an error, unless errors are expected. */
export function load({ base, requests, pauseMs = 0, isRefused, ...size }: LoadOptions): Promise<Figures> {
  const problem = isRefused === true ? SOCKET_ERRORS : ANY_ERROR;
  return wrk(size, ['-s', LUA, base, '--', requests, String(pauseMs)], problem);
}

/**
 * Sends one request again and again, with headers like `If-None-Match: "x"`. Throws when an answer
 * is an error.
 */
export function loadOne({
  url,
  headers,
  ...size
}: LoadSize & { readonly url: string; readonly headers: readonly string[] }): Promise<Figures> {
  return wrk(size, [...headers.flatMap((header) => ['-H', header]), url]);
}

/** Runs wrk in its own process, so that this process does not slow down the measurement. */
async function wrk(
  { seconds, connections }: LoadSize,
  what: readonly string[],
  problem = ANY_ERROR,
): Promise<Figures> {
  const how = ['-t1', `-c${connections}`, `-d${seconds}`, '--timeout', '10', '--latency'];
  const { stdout } = await run('wrk', [...how, ...what]);
  if (problem.test(stdout)) throw new Error(stdout);
  const find = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? '';
  return {
    perSecond: Number(find(/^Requests\/sec:\s+(\S+)/m)),
    p50Ms: toMs(find(/^\s+50%\s+(\S+)/m)),
    p99Ms: toMs(find(/^\s+99%\s+(\S+)/m)),
  };
}

/** Parses the times that wrk prints: `831.00us`, `1.23ms`, `1.02s`. */
function toMs(text: string): number {
  const [, value, unit] = /^([\d.]+)(us|ms|s)$/.exec(text) ?? [];
  return Number(value) * (unit === 's' ? 1000 : unit === 'us' ? 0.001 : 1);
}

/** The median of each figure, taken separately. */
export function medianFigures(figures: readonly Figures[]): Figures {
  const of = (pick: (one: Figures) => number): number => median(figures.map(pick));
  return {
    perSecond: of(({ perSecond }) => perSecond),
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
  };
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

/**
 * Measures RSA-2048 signatures per second on all processors with `openssl speed`: the upper limit
 * of the machine, because each token takes one signature.
 */
export async function opensslSigns(processors: number, seconds: number): Promise<number> {
  const { stdout } = await run('openssl', [
    'speed',
    ...['-multi', String(processors), '-seconds', String(seconds), 'rsa2048'],
  ]);
  const perSecond = /^rsa\s+2048 bits\s+\S+\s+\S+\s+([\d.]+)/m.exec(stdout)?.[1];
  if (perSecond === undefined) throw new Error(`openssl speed printed an unknown format:\n${stdout}`);
  return Number(perSecond);
}

/** The ids of a process and its children. */
export async function withChildren(pid: number): Promise<readonly number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return [pid, ...children.trim().split(/\s+/).filter(Boolean).map(Number)];
}

/** The resident memory of the largest of a process and its children, in MB. */
export async function rssMb(pid: number): Promise<number> {
  const pids = await withChildren(pid);
  const sizes = await Promise.all(
    pids.map(async (id) => {
      const status = await readFile(`/proc/${id}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / PAGE_KB;
    }),
  );
  return Math.max(...sizes);
}

/** RSS of the process and of all its children together. Shared pages count once for each. */
export async function rssOfAllMb(pid: number): Promise<number> {
  const statuses = await Promise.all(
    (await withChildren(pid)).map((id) => readFile(`/proc/${id}/status`, 'utf8').catch(() => '')),
  );
  const sizes = statuses.map((status) => Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0) / PAGE_KB;
}
