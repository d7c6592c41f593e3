import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openPostgres } from '../src/store/database/postgres.ts';
import { freePort, startPostgres } from '../test/support/database/postgres.ts';
import { type Size, seed, type Town, townOf } from './seed.ts';
import { seedGitlab } from './seed-gitlab.ts';

/**
 * The bench's service with `token_reuse_seconds`: it answers a repeated request with the same
 * token.
 */
export const REUSING = 'reusing';
const BIN = new URL('../bin/cellpass', import.meta.url).pathname;
const SERVICES = `services: {container_registry: {}, ${REUSING}: {token_reuse_seconds: 240}}\n`;
const READY_POLL_MS = 50;
const READY_MS = 60_000;

export interface BenchServer {
  readonly base: string;
  readonly pid: number;
  /** The process id of PostgreSQL's postmaster. */
  readonly postgresPid: number;
  readonly town: Town;
  /** A temporary folder for the bench's files; removed at the end. */
  readonly dir: string;
  readonly databaseUrl: string;
  /** The database of the directory, by its owner's URL; GitLab's with `onGitlab`. */
  readonly directoryUrl: string;
}

interface BenchOptions {
  readonly size: Size;
  readonly workers: number;
  /** The section `limits` of the server's configuration. */
  readonly limits?: Readonly<Record<string, number>>;
  /** The program to run the server with; default: the Node that runs the benchmark. */
  readonly node?: string;
  /** More variables of the server's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** True: the same town, in a GitLab's database. */
  readonly onGitlab?: boolean;
}

/**
 * Starts PostgreSQL, seeds it, starts `bin/cellpass serve` on it, runs `measure`, and stops both.
 */
export async function withServer(
  { size, workers, limits = {}, node = process.execPath, environment = {}, onGitlab = false }: BenchOptions,
  measure: (server: BenchServer) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-bench-'));
  const postgres = await startPostgres();
  try {
    const databaseUrl = await postgres.createMigratedDatabase();
    const directoryUrl = onGitlab ? await postgres.createDatabase() : databaseUrl;
    const gitlab = onGitlab ? await seedGitlab(directoryUrl, size) : {};
    if (!onGitlab) {
      const database = openPostgres(databaseUrl);
      await seed(database, size);
      await database.close();
    }
    const port = await freePort();
    await writeFile(join(dir, 'cellpass.yaml'), `${SERVICES}limits: ${JSON.stringify(limits)}\n`);
    const child = spawn(BIN, ['serve'], {
      env: {
        // The first line of the program looks for Node there.
        PATH: `${dirname(node)}:${process.env['PATH']}`,
        // Lets a run switch off processor instructions in OpenSSL, to compare with other
        // processors.
        OPENSSL_ia32cap: process.env['OPENSSL_ia32cap'],
        CELLPASS_CONFIG: join(dir, 'cellpass.yaml'),
        CELLPASS_DATABASE_URL: databaseUrl,
        CELLPASS_DATA_DIR: dir,
        CELLPASS_KEYS_DIR: join(dir, 'keys'),
        CELLPASS_LISTEN: `127.0.0.1:${port}`,
        CELLPASS_WORKERS: String(workers),
        ...gitlab,
        ...environment,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const exit = once(child, 'exit');
    try {
      const base = `http://127.0.0.1:${port}`;
      await untilReady(base);
      const { pid = 0 } = child;
      const urls = { databaseUrl, directoryUrl };
      await measure({ base, pid, town: townOf(size), dir, ...urls, postgresPid: postgres.pid });
    } finally {
      child.kill('SIGTERM');
      await exit;
    }
  } finally {
    await postgres.stop();
    await rm(dir, { recursive: true });
  }
}

/** Waits until the server at `base` answers 200 to `/readyz`. */
export async function untilReady(base: string): Promise<void> {
  const deadlineMs = performance.now() + READY_MS;
  while ((await fetch(`${base}/readyz`).catch(() => undefined))?.status !== 200) {
    if (performance.now() > deadlineMs) throw new Error('the server did not become ready');
    await delay(READY_POLL_MS);
  }
}
