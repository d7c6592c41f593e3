import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../test/support/postgres.ts';

/** Measures the JWK Set from memory: requests per second by wrk (Debian's), with the whole set and with a matching entity tag. */

const BIN = new URL('../bin/cellpass', import.meta.url).pathname;
const CONNECTIONS = 16;
const SECONDS = 5;
const READY_POLL_MS = 50;

const run = promisify(execFile);

async function measure(url: string, headers: readonly string[]): Promise<string> {
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}`, '--latency'];
  const { stdout } = await run('wrk', [...args, ...headers.flatMap((header) => ['-H', header]), url]);
  const find = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? '?';
  return `${find(/Requests\/sec:\s+(\S+)/)} | ${find(/50%\s+(\S+)/)} | ${find(/99%\s+(\S+)/)}`;
}

const dir = await mkdtemp(join(tmpdir(), 'cellpass-jwks-'));
const port = await freePort();
const env = {
  ...process.env,
  CELLPASS_DATA_DIR: dir,
  CELLPASS_KEYS_DIR: join(dir, 'keys'),
  CELLPASS_LISTEN: `127.0.0.1:${port}`,
};
const child = spawn(BIN, ['serve'], { env, stdio: 'ignore' });
try {
  const base = `http://127.0.0.1:${port}`;
  while ((await fetch(`${base}/readyz`).catch(() => undefined))?.status !== 200) await delay(READY_POLL_MS);
  const url = `${base}/.well-known/jwks.json`;
  const etag = (await fetch(url)).headers.get('etag') ?? '';
  console.log(`Node ${process.version}, ${CONNECTIONS} connections, ${SECONDS} s each\n`);
  console.log('| request | per second | p50 | p99 |\n|---|---|---|---|');
  console.log(`| the whole set | ${await measure(url, [])} |`);
  console.log(`| with its entity tag: 304 | ${await measure(url, [`If-None-Match: ${etag}`])} |`);
} finally {
  child.kill('SIGTERM');
  await once(child, 'exit');
  await rm(dir, { recursive: true });
}
