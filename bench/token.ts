import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Figures, load, median, medianFigures, opensslSigns, rssMb } from './load.ts';
import { MACHINE, machineInWords } from './machine.ts';
import { nodeLines } from './node-line.ts';
import { LARGE, type Size, USUAL } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { CASES, type Case, ONE_SCOPE, writeRequests } from './token-cases.ts';

/**
 * Measures tokens per second for each kind of credential, on PostgreSQL with a seeded directory,
 * and the RSA signatures per second that OpenSSL makes on the same machine in the same run. wrk
 * (from Debian) sends the requests, in its own process.
 *
 * - `--json FILE` writes the figures
 * - `--workers N` sets CELLPASS_WORKERS
 * - `--seconds N` sets how long one case runs in one turn
 * - `--only WORDS` runs only the cases whose name contains the words
 * - `--large` seeds a directory twenty times the size
 * - `--node 20,24` runs the server on these lines of Node, one after the other
 */
const CONNECTIONS = 16;
const TURNS = 3;
const OPENSSL_SECONDS = 2;
/**
 * V8 compiles the hot code, each connection makes its query plans, and the server fills its caches.
 */
const WARM_UP_SECONDS = 16;
/** How many different requests a case has. */
const REQUESTS = 1000;

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    workers: { type: 'string', default: String(MACHINE.processors) },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string' },
    large: { type: 'boolean', default: false },
    node: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const size = values.large ? LARGE : USUAL;

const runs: Record<string, unknown>[] = [];
for (const { path, version } of nodeLines(values.node)) {
  await withServer({ size, workers: Number(values.workers), node: path }, async (server) => {
    runs.push(await measureAll(server, version));
  });
}
if (values.json !== undefined) {
  await writeFile(values.json, `${JSON.stringify(runs.length === 1 ? runs[0] : runs, null, 2)}\n`);
}

/** Measures every case, prints a table, and returns the report for the JSON file. */
async function measureAll(server: BenchServer, node: string): Promise<Record<string, unknown>> {
  const cases = CASES.filter(({ name }) => values.only === undefined || name.includes(values.only));
  const files = await writeAll(cases, server);
  const measure = (file: string, pauseMs = 0): Promise<Figures> =>
    load({ base: server.base, requests: file, seconds, connections: CONNECTIONS, pauseMs });
  for (const file of files.values()) {
    const warmUp = Math.ceil(WARM_UP_SECONDS / files.size);
    await load({ base: server.base, requests: file, seconds: warmUp, connections: CONNECTIONS });
  }
  const signs: number[] = [];
  const figures = new Map<Case, Figures[]>(cases.map((one) => [one, []]));
  for (let turn = 0; turn < TURNS; turn++) {
    signs.push(await opensslSigns(MACHINE.processors, OPENSSL_SECONDS));
    for (const [one, file] of files) figures.get(one)?.push(await measure(file));
  }
  const opensslPerSecond = median(signs);
  const reports = [...figures].map(([{ name }, turns]) =>
    toReport(name, medianFigures(turns), opensslPerSecond),
  );
  const usual = reports.find(({ name }) => name === ONE_SCOPE.name);
  const usualFile = files.get(ONE_SCOPE);
  const half =
    usual === undefined || usualFile === undefined
      ? undefined
      : await measure(usualFile, (2 * 1000 * CONNECTIONS) / usual.requests_per_s);
  const rss = await rssMb(server.pid);
  print({ node, reports, opensslPerSecond, half, rss });
  return {
    ...MACHINE,
    node,
    openssl_signs_per_s: opensslPerSecond,
    rss_mb: Math.round(rss),
    half_rate: half && { requests_per_s: half.perSecond, p50_ms: half.p50Ms, p99_ms: half.p99Ms },
    cases: reports,
  };
}

interface Report {
  readonly name: string;
  readonly requests_per_s: number;
  readonly ratio: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
}

function toReport(name: string, { perSecond, p50Ms, p99Ms }: Figures, opensslPerSecond: number): Report {
  const ratio = Math.round((1000 * perSecond) / opensslPerSecond) / 1000;
  return { name, requests_per_s: Math.round(perSecond), ratio, p50_ms: p50Ms, p99_ms: p99Ms };
}

async function writeAll(
  cases: readonly Case[],
  { town, dir }: BenchServer,
): Promise<ReadonlyMap<Case, string>> {
  const files = new Map<Case, string>();
  for (const one of cases) {
    const file = join(dir, `requests-${files.size}.txt`);
    await writeRequests(file, one, { town, count: REQUESTS });
    files.set(one, file);
  }
  return files;
}

function print({
  node,
  reports,
  opensslPerSecond,
  half,
  rss,
}: {
  readonly node: string;
  readonly reports: readonly Report[];
  readonly opensslPerSecond: number;
  readonly half: Figures | undefined;
  readonly rss: number;
}): void {
  console.log(
    `${machineInWords({ ...MACHINE, node })} for server, PostgreSQL and wrk; ${values.workers} worker(s), ${CONNECTIONS} connections, medians of ${TURNS} turns of ${seconds} s`,
  );
  console.log(
    `${sizeInWords(size)}\nopenssl: ${opensslPerSecond.toFixed(0)} RSA-2048 signatures per second\n`,
  );
  console.log('| request | per second | of openssl | p50 ms | p99 ms |\n|---|---:|---:|---:|---:|');
  for (const { name, requests_per_s, ratio, p50_ms, p99_ms } of reports) {
    const row = [name, requests_per_s, ratio.toFixed(3), p50_ms.toFixed(1), p99_ms.toFixed(1)];
    console.log(`| ${row.join(' | ')} |`);
  }
  if (half !== undefined) {
    console.log(
      `\nat half of the highest rate of one scope (${half.perSecond.toFixed(0)} a second): p50 ${half.p50Ms.toFixed(1)} ms, p99 ${half.p99Ms.toFixed(1)} ms`,
    );
  }
  console.log(`\nRSS of the largest process: ${rss.toFixed(0)} MB`);
}

function sizeInWords({ users, projects, accessTokens }: Size): string {
  return `${users.toLocaleString('en')} users, ${projects.toLocaleString('en')} projects, ${accessTokens.toLocaleString('en')} access tokens`;
}
