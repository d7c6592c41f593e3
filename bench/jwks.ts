import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../test/support/database/postgres.ts';
import { loadOne } from './load.ts';
import { machineInWords } from './machine.ts';
import { untilReady } from './server.ts';

/**
 * Measures requests per second for the JWK Set, which the server holds in memory: with the whole
 * set in the answer, and with a matching entity tag (304). wrk (from Debian) sends the requests.
 */

const BIN = new URL('../bin/cellpass', import.meta.url).pathname;
const CONNECTIONS = 16;
const SECONDS = 5;

/** Measures one case, and prints its row of the table. */
async function measure(name: string, url: string, headers: readonly string[]): Promise<void> {
  const figures = await loadOne({ url, headers, connections: CONNECTIONS, seconds: SECONDS });
  const times = [figures.p50Ms, figures.p99Ms].map((ms) => ms.toFixed(2));
  console.log(`| ${[name, figures.perSecond.toFixed(0), ...times].join(' | ')} |`);
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
  await untilReady(base);
  const url = `${base}/.well-known/jwks.json`;
  const etag = (await fetch(url)).headers.get('etag') ?? '';
  console.log(`${machineInWords()}, ${CONNECTIONS} connections, ${SECONDS} s each\n`);
  console.log('| request | per second | p50 ms | p99 ms |\n|---|---:|---:|---:|');
  await measure('the whole set', url, []);
  await measure('with its entity tag: 304', url, [`If-None-Match: ${etag}`]);
} finally {
  child.kill('SIGTERM');
  await once(child, 'exit');
  await rm(dir, { recursive: true });
}
