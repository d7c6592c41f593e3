import { writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { openPostgres } from '../src/store/database/postgres.ts';
import { startChanges } from './changes.ts';
import { load, median } from './load.ts';
import { MACHINE, machineInWords } from './machine.ts';
import { processorTimeUs } from './processor-time.ts';
import { USUAL } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { type Case, JOB, ONE_SCOPE, writeRequests } from './token-cases.ts';

/**
 * Measures what the cache of directory answers is worth while the directory changes: tokens per
 * second, hits, and processor time, at several rates of changes and without the cache.
 *
 * - `--json FILE` writes the figures
 * - `--seconds N` sets how long one measurement takes
 * - `--turns N` sets how many turns the median is of
 */
const CONNECTIONS = 16;
const REQUESTS = 1000;
const RATES = [0, 5, 20];
const WARM_UP_SECONDS = 4;
/** Warm up until this share of the requests is answered from the cache, or so many times. */
const WARM_HIT_RATE = 0.98;
const WARM_UPS = { least: 2, most: 8 };
const CASES = [ONE_SCOPE, JOB];

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    turns: { type: 'string', default: '3' },
  },
});
const seconds = Number(values.seconds);
const turns = Number(values.turns);

interface Figures {
  readonly tokens_per_s: number;
  readonly hit_rate: number;
  readonly questions_per_request: number;
  readonly postgres_us: number;
  readonly server_us: number;
}

interface Row extends Figures {
  readonly request: string;
  readonly cache: boolean;
  readonly changes_per_s: number;
}

const rows = [...(await measureAll({}, RATES)), ...(await measureAll({ directory_cache_bytes: 0 }, [0]))];
print(rows);
if (values.json !== undefined)
  await writeFile(values.json, `${JSON.stringify({ ...MACHINE, rows }, null, 2)}\n`);

/** Starts a server with these limits and measures each case at each rate, in turns. */
async function measureAll(
  limits: Readonly<Record<string, number>>,
  rates: readonly number[],
): Promise<readonly Row[]> {
  const measured: Row[] = [];
  const isCached = limits['directory_cache_bytes'] !== 0;
  await withServer({ size: USUAL, workers: MACHINE.processors, limits }, async (server) => {
    const files = await Promise.all(CASES.map((one) => writeCase(server, one)));
    for (const file of files) await warmUp(server, file, isCached);
    const figures = new Map<string, { row: Omit<Row, keyof Figures>; turns: Figures[] }>();
    for (let turn = 0; turn < turns; turn++) {
      for (const rate of rates) {
        for (const [at, { name }] of CASES.entries()) {
          const row = { request: name, cache: isCached, changes_per_s: rate };
          const key = JSON.stringify(row);
          const before = figures.get(key) ?? { row, turns: [] };
          before.turns.push(await measure(server, files[at] ?? '', rate));
          figures.set(key, before);
        }
      }
    }
    for (const { row, turns } of figures.values()) measured.push({ ...row, ...medians(turns) });
  });
  return measured;
}

async function writeCase({ dir, town }: BenchServer, one: Case): Promise<string> {
  const file = join(dir, `${one.name.replaceAll(/\W/g, '-')}.txt`);
  await writeRequests(file, one, { town, count: REQUESTS });
  return file;
}

function loadFrom({ base }: BenchServer, requests: string, forSeconds: number) {
  return load({ base, requests, seconds: forSeconds, connections: CONNECTIONS });
}

/** V8 compiles the hot code, and every worker caches the answers. */
async function warmUp(server: BenchServer, file: string, isCached: boolean): Promise<void> {
  for (let round = 1; round <= WARM_UPS.most; round++) {
    const before = await countersOf(server);
    await loadFrom(server, file, WARM_UP_SECONDS);
    const after = await countersOf(server);
    const hits = after.hits - before.hits;
    const isWarm = !isCached || hits > WARM_HIT_RATE * (hits + after.misses - before.misses);
    if (round >= WARM_UPS.least && isWarm) return;
  }
}

/** One measurement, while the directory changes at this rate. */
async function measure(server: BenchServer, file: string, changesPerSecond: number): Promise<Figures> {
  const database = openPostgres(server.databaseUrl);
  const before = await countersOf(server);
  const changes = startChanges(database, changesPerSecond);
  const { perSecond } = await loadFrom(server, file, seconds);
  await changes.stop();
  const after = await countersOf(server);
  await database.close();
  const hits = after.hits - before.hits;
  const requests = hits + after.misses - before.misses;
  return {
    tokens_per_s: perSecond,
    hit_rate: hits / requests,
    questions_per_request: (after.questions - before.questions) / requests,
    postgres_us: (after.postgresUs - before.postgresUs) / requests,
    server_us: (after.serverUs - before.serverUs) / requests,
  };
}

interface Counters {
  readonly hits: number;
  readonly misses: number;
  readonly questions: number;
  readonly postgresUs: number;
  readonly serverUs: number;
}

async function countersOf({ dir, pid, postgresPid }: BenchServer): Promise<Counters> {
  const scrape = await scrapeMetrics(join(dir, 'admin.sock'));
  const read = (sample: string): number => {
    const line = scrape.split('\n').find((one) => one.startsWith(`${sample} `));
    return Number(line?.slice(sample.length + 1) ?? 0);
  };
  return {
    hits: read('cellpass_directory_cache_requests_total{outcome="hit"}'),
    misses: read('cellpass_directory_cache_requests_total{outcome="miss"}'),
    questions: read('cellpass_directory_cache_questions_total'),
    postgresUs: await processorTimeUs(postgresPid),
    serverUs: await processorTimeUs(pid),
  };
}

function scrapeMetrics(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path: '/metrics' }, (answer) => text(answer).then(resolve, reject)).on('error', reject);
  });
}

function medians(all: readonly Figures[]): Figures {
  const of = (pick: (one: Figures) => number): number => median(all.map(pick));
  return {
    tokens_per_s: Math.round(of((one) => one.tokens_per_s)),
    hit_rate: rounded(
      of((one) => one.hit_rate),
      2,
    ),
    questions_per_request: rounded(
      of((one) => one.questions_per_request),
      2,
    ),
    postgres_us: Math.round(of((one) => one.postgres_us)),
    server_us: Math.round(of((one) => one.server_us)),
  };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function print(all: readonly Row[]): void {
  console.log(
    `${machineInWords()} for server, PostgreSQL and wrk; ${CONNECTIONS} connections, medians of ${turns} turns of ${seconds} s\n`,
  );
  console.log(
    '| request | changes a second | tokens a second | hits | questions a request | PostgreSQL, µs a request | server, µs a request |\n|---|---:|---:|---:|---:|---:|---:|',
  );
  for (const { request, cache, changes_per_s, ...figures } of all) {
    const changes = cache ? String(changes_per_s) : 'no cache';
    console.log(`| ${[request, changes, ...Object.values(figures)].join(' | ')} |`);
  }
}
