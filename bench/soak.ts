import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openPostgres } from '../src/store/database/postgres.ts';
import { startChanges } from './changes.ts';
import { load, median, rssMb, withChildren } from './load.ts';
import { MACHINE, machineInWords } from './machine.ts';
import { USUAL } from './seed.ts';
import { withServer } from './server.ts';
import { CASES, type Case, tokenRequest, writeRequests } from './token-cases.ts';

/**
 * Shows whether the server's memory or open files grow with uptime. Sends all kinds of requests in
 * turns, wrong tokens and refused scopes among them, at a rate well below the machine's limit, while
 * the directory changes, and samples the server's processes every few seconds. Exits with 1 when a
 * process takes 200 MB or more, or when memory or open files still grow in the last third.
 *
 * - `--minutes N`: 10 by default
 * - `--pause-ms N`: how long each connection waits between requests
 */
const CONNECTIONS = 8;
const PAUSE_MS = 40;
const ROUND_SECONDS = 5;
const CHANGES_PER_SECOND = 2;
/** In the first two thirds the caches fill and the heap grows to its usual size. */
const SETTLING_SHARE = 2 / 3;
const MOST_MB = 200;
const MOST_MB_PER_MINUTE = 0.3;
const TABLE_MINUTES = 5;
const REQUESTS = 2000;

const REFUSED: Case = {
  name: 'wrong tokens and refused scopes',
  request: (town, number) => {
    const { username, token } = town.user(number);
    const login = [username, number % 2 === 0 ? token : `glpat-wrong-${number}`] as const;
    return tokenRequest({ scopes: [`repository:nowhere/project-${number}:pull,push`], login });
  },
};
const KINDS = [...CASES, REFUSED];
/** The wrong tokens would lock out the passwords, which come from the same address. */
/** Connections come and go, so the number of open files differs by a few. */
const USUAL_FILES = 3;
const LIMITS = { failed_attempts_per_address: 1_000_000_000 };

interface Sample {
  readonly minute: number;
  readonly rssMb: number;
  readonly files: number;
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    'pause-ms': { type: 'string', default: String(PAUSE_MS) },
  },
});
const minutes = Number(values.minutes);

await withServer(
  { size: USUAL, workers: MACHINE.processors, limits: LIMITS },
  async ({ base, pid, town, dir, databaseUrl }) => {
    const files = await Promise.all(
      KINDS.map(async (one, at) => {
        const file = join(dir, `soak-${at}.txt`);
        await writeRequests(file, one, { town, count: REQUESTS });
        return file;
      }),
    );
    const database = openPostgres(databaseUrl);
    const changes = startChanges(database, CHANGES_PER_SECOND);
    const samples: Sample[] = [];
    const startedAt = performance.now();
    const minute = (): number => (performance.now() - startedAt) / 60_000;
    let requests = 0;
    for (let round = 0; minute() < minutes; round++) {
      const { perSecond } = await load({
        base,
        requests: files[round % files.length] ?? '',
        seconds: ROUND_SECONDS,
        connections: CONNECTIONS,
        pauseMs: Number(values['pause-ms']),
        isRefused: KINDS[round % KINDS.length] === REFUSED,
      });
      requests += perSecond * ROUND_SECONDS;
      samples.push({ minute: minute(), rssMb: await rssMb(pid), files: await openFiles(pid) });
    }
    await changes.stop();
    await database.close();
    report(samples, requests);
  },
);

async function openFiles(pid: number): Promise<number> {
  const pids = await withChildren(pid);
  const counts = await Promise.all(pids.map(async (id) => (await readdir(`/proc/${id}/fd`)).length));
  return counts.reduce((sum, count) => sum + count, 0);
}

function report(samples: readonly Sample[], requests: number): void {
  const settled = samples.slice(Math.floor(samples.length * SETTLING_SHARE));
  const mbPerMinute = slope(settled.map(({ minute, rssMb: y }) => [minute, y]));
  const half = Math.floor(settled.length / 2);
  const [before, after] = [settled.slice(0, half), settled.slice(half)].map((part) =>
    median(part.map(({ files }) => files)),
  );
  console.log(
    `${machineInWords()}\n${minutes} minutes, ${Math.round(requests)} requests of ${KINDS.length} kinds, ${CHANGES_PER_SECOND} changes of the directory a second`,
  );
  console.log('\n| minutes | largest process MB |\n|---|---:|');
  for (let from = 0; from < minutes; from += TABLE_MINUTES) {
    const part = samples.filter(({ minute }) => minute >= from && minute < from + TABLE_MINUTES);
    const largest = Math.max(...part.map(({ rssMb }) => rssMb));
    console.log(`| ${from} to ${from + TABLE_MINUTES} | ${largest.toFixed(0)} |`);
  }
  const largest = Math.max(...samples.map(({ rssMb }) => rssMb));
  console.log(`\nlast third: ${mbPerMinute.toFixed(2)} MB a minute; ${MOST_MB_PER_MINUTE} at most`);
  console.log(`open files of all processes: ${before}, later ${after}`);
  const grows = mbPerMinute > MOST_MB_PER_MINUTE || (after ?? 0) > (before ?? 0) + USUAL_FILES;
  process.exitCode = grows || largest >= MOST_MB ? 1 : 0;
}

/** The slope of the straight line through the points, by least squares. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, one) => sum + one, 0) / values.length;
  const [x0, y0] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const over = points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0);
  return over / points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
}
