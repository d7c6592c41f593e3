import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort } from '../support/database/postgres.ts';
import { until } from '../support/processes/child.ts';
import { ROOT, type Site } from '../support/processes/site.ts';

/** A server whose log goes where the test says, so it is known to run by its answers only. */
export interface BareServer {
  readonly url: string;
  readonly pid: number;
  /** Sends SIGTERM. Resolves with the exit code, or the signal that ended it, and the time. */
  stop(): Promise<{ readonly how: unknown; readonly tookMs: number }>;
  /** Ends it, if it still runs. */
  kill(): Promise<void>;
}

export interface BareOptions {
  /** stdout and stderr: a file descriptor, or a socket from which nothing reads. */
  readonly output: number | 'pipe';
  readonly env?: Readonly<Record<string, string>>;
  /** For `ulimit -n`. */
  readonly openFiles?: number;
}

/** Starts a server and waits until it is ready. */
export async function serveBare(site: Site, { output, env, openFiles }: BareOptions): Promise<BareServer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const limit = openFiles === undefined ? '' : `ulimit -n ${openFiles}; `;
  const child = spawn('sh', ['-c', `${limit}exec "$0" serve`, join(ROOT, 'bin/cellpass')], {
    env: { PATH: process.env['PATH'], ...site.env, CELLPASS_LISTEN: `127.0.0.1:${port}`, ...env },
    cwd: site.dir,
    stdio: ['ignore', output, output],
  });
  const ended = once(child, 'exit');
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;
  await until(
    async () => ((await statusOf(`${url}/readyz`)) === 200 ? true : undefined),
    () => `the server is not ready; exit code ${child.exitCode}`,
  ).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  return {
    url,
    pid: child.pid!,
    async stop() {
      const startedAt = performance.now();
      child.kill('SIGTERM');
      const [code, signal] = await ended;
      return { how: code ?? signal, tookMs: performance.now() - startedAt };
    },
    async kill() {
      if (!isRunning()) return;
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** 0: no answer. */
export async function statusOf(url: string, headers: Record<string, string> = {}): Promise<number> {
  try {
    const response = await fetch(url, { headers });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return 0;
  }
}
