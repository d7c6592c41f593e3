import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort, startPostgres } from '../test/support/database/postgres.ts';
import { median } from './load.ts';
import { machineInWords } from './machine.ts';

/**
 * Measures how long `cellpass serve` takes until it is ready, and how much memory it has then:
 * medians of five runs.
 */

const BIN = new URL('../bin/cellpass', import.meta.url).pathname;
const RUNS = 5;
const POLL_MS = 10;
const GIVE_UP_MS = 30_000;

interface Start {
  readonly ms: number;
  readonly rssMb: number;
}

async function start(env: Readonly<Record<string, string>>): Promise<Start> {
  const port = await freePort();
  const startedAt = performance.now();
  const child = spawn(BIN, ['serve'], {
    env: { ...process.env, ...env, CELLPASS_LISTEN: `127.0.0.1:${port}`, CELLPASS_LOG_LEVEL: 'silent' },
    stdio: 'ignore',
  });
  try {
    await untilReady(`http://127.0.0.1:${port}/readyz`, startedAt);
    return { ms: performance.now() - startedAt, rssMb: await rssMb(child) };
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
}

async function untilReady(url: string, startedAt: number): Promise<void> {
  while (performance.now() - startedAt < GIVE_UP_MS) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.status === 200) return;
    await delay(POLL_MS);
  }
  throw new Error('the server does not become ready');
}

async function rssMb({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/** Starts the server twice in a new folder, `RUNS` times: the first start and a later one. */
async function measure(
  environment: () => Promise<Record<string, string>>,
): Promise<[first: Start[], later: Start[]]> {
  const first: Start[] = [];
  const later: Start[] = [];
  for (let run = 0; run < RUNS; run++) {
    const dir = await mkdtemp(join(tmpdir(), 'cellpass-start-'));
    const env = { CELLPASS_DATA_DIR: dir, CELLPASS_KEYS_DIR: join(dir, 'keys'), ...(await environment()) };
    first.push(await start(env));
    later.push(await start(env));
    await rm(dir, { recursive: true });
  }
  return [first, later];
}

function row(name: string, starts: readonly Start[]): string {
  const ms = median(starts.map((one) => one.ms));
  const rss = median(starts.map((one) => one.rssMb));
  return `| ${name} | ${(ms / 1000).toFixed(2)} s | ${rss.toFixed(0)} MB |`;
}

const postgres = await startPostgres();
try {
  const [embeddedFirst, embeddedLater] = await measure(async () => ({}));
  const [postgresFirst, postgresLater] = await measure(async () => ({
    CELLPASS_DATABASE_URL: await postgres.createDatabase(),
  }));
  console.log(`${machineInWords()}, medians of ${RUNS} runs\n`);
  console.log('| start | ready after | RSS then |\n|---|---|---|');
  console.log(row('embedded, first', embeddedFirst));
  console.log(row('embedded, later', embeddedLater));
  console.log(row('PostgreSQL, first', postgresFirst));
  console.log(row('PostgreSQL, later', postgresLater));
} finally {
  await postgres.stop();
}
