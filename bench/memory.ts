import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { load, median, opensslSigns, withChildren } from './load.ts';
import { MACHINE } from './machine.ts';
import { type NodeLine, nodeLines } from './node-line.ts';
import { USUAL } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { CASES, ONE_SCOPE, writeRequests } from './token-cases.ts';

/**
 * Measures what settings of Node and of the C library do to a server's memory and to its rate: RSS
 * of the largest process after all kinds of requests, and tokens per second (one scope) as a share
 * of the signatures that OpenSSL makes on the same machine.
 *
 * - `--node 20,24`: the lines of Node; default: the one that runs the benchmark
 * - `--set "NODE_OPTIONS=--max-semi-space-size=4 MALLOC_ARENA_MAX=2"`: the variables of one setting;
 *   may be repeated. The server without any is always measured.
 * - `--seconds N` sets how long one kind of request is sent; `--rounds N` how often
 */
const CONNECTIONS = 16;
const REQUESTS = 1000;
const OPENSSL_SECONDS = 2;

const { values } = parseArgs({
  options: {
    node: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
  },
});
const seconds = Number(values.seconds);

console.log(`${MACHINE.processors} processors, ${MACHINE.processors} workers\n`);
console.log(
  '| Node | settings | of openssl | largest process MB | all processes MB |\n|---|---|---:|---:|---:|',
);
for (const line of nodeLines(values.node)) {
  for (const setting of ['', ...values.set]) await measureSetting(line, setting);
}

async function measureSetting(line: NodeLine, setting: string): Promise<void> {
  const environment = Object.fromEntries(
    setting
      .split(/ (?=[A-Z_]+=)/)
      .filter((one) => one !== '')
      .map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)]),
  );
  const options = { size: USUAL, workers: MACHINE.processors, node: line.path, environment };
  await withServer(options, async (server) => {
    const { ratio, sizes } = await measure(server);
    const sum = sizes.reduce((total, size) => total + size, 0);
    const cells = [line.version, setting || 'none', ratio.toFixed(3), Math.max(...sizes), sum];
    console.log(`| ${cells.join(' | ')} |`);
  });
}

async function measure(server: BenchServer) {
  const ratios: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const signs = await opensslSigns(MACHINE.processors, OPENSSL_SECONDS);
    for (const [at, one] of CASES.entries()) {
      const file = join(server.dir, `requests-${at}.txt`);
      if (round === 0) await writeRequests(file, one, { town: server.town, count: REQUESTS });
      const { perSecond } = await load({
        base: server.base,
        requests: file,
        seconds,
        connections: CONNECTIONS,
      });
      if (one === ONE_SCOPE && round > 0) ratios.push(perSecond / signs);
    }
  }
  return { ratio: median(ratios), sizes: await sizesMb(server.pid) };
}

/** RSS of each process, in whole MB. */
async function sizesMb(pid: number): Promise<readonly number[]> {
  const statuses = await Promise.all(
    (await withChildren(pid)).map((id) => readFile(`/proc/${id}/status`, 'utf8')),
  );
  return statuses.map((status) => Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024));
}
