import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { load, median, rssMb, withChildren } from './load.ts';
import { MACHINE, machineInWords } from './machine.ts';
import { USUAL } from './seed.ts';
import { withServer } from './server.ts';
import { CASES, writeRequests } from './token-cases.ts';

/**
 * Shows whether the server's memory or open files grow with uptime. Sends all kinds of requests in
 * turns, at a rate well below the machine's limit, and samples the server's processes every few
 * seconds. Exits with 1 when memory or open files grow.
 *
 * - `--minutes N`: 10 by default
 * - `--pause-ms N`: how long each connection waits between requests
 */
const CONNECTIONS = 8;
const PAUSE_MS = 40;
const ROUND_SECONDS = 5;
/** In the first part of a run the caches fill and the heap grows to its usual size. */
const SETTLING_SHARE = 0.4;
const MOST_MB_PER_MINUTE = 1;
const REQUESTS = 2000;

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

await withServer({ size: USUAL, workers: MACHINE.processors }, async ({ base, pid, town, dir }) => {
  const files = await Promise.all(
    CASES.map(async (one, at) => {
      const file = join(dir, `soak-${at}.txt`);
      await writeRequests(file, one, { town, count: REQUESTS });
      return file;
    }),
  );
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
    });
    requests += perSecond * ROUND_SECONDS;
    samples.push({ minute: minute(), rssMb: await rssMb(pid), files: await openFiles(pid) });
  }
  report(samples, requests);
});

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
    `${machineInWords()}\n${minutes} minutes, ${Math.round(requests)} requests of ${CASES.length} kinds`,
  );
  console.log(
    `RSS every half minute: ${samples
      .filter((_, at) => at % Math.ceil(30 / ROUND_SECONDS) === 0)
      .map((one) => one.rssMb.toFixed(0))
      .join(' ')} MB`,
  );
  console.log(
    `RSS of the largest process: ${samples[0]?.rssMb.toFixed(0)} MB at first, ${settled[0]?.rssMb.toFixed(0)} settled, ${settled.at(-1)?.rssMb.toFixed(0)} at the end: ${mbPerMinute.toFixed(2)} MB a minute`,
  );
  console.log(`open files of all processes: ${before}, later ${after}`);
  process.exitCode = mbPerMinute > MOST_MB_PER_MINUTE || (after ?? 0) > (before ?? 0) ? 1 : 0;
}

/** The slope of the straight line through the points, by least squares. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, one) => sum + one, 0) / values.length;
  const [x0, y0] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const over = points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0);
  return over / points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
}
