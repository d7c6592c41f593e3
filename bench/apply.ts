import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Figures, load, median, withChildren } from './load.ts';
import { machineInWords } from './machine.ts';
import type { Size } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { ONE_SCOPE, writeRequests } from './token-cases.ts';

/**
 * Measures what a changed directory costs: documents of one entry and of 500 entries, in
 * directories of several sizes, on a server of one process. For each: the longest stall of the
 * event loop, the time of the apply, PostgreSQL's processor time, and the p99 of token requests at
 * a constant rate without and with one document each second.
 *
 * - `--users 2000,52000`: the sizes; 2,000, 10,000 and 52,000 by default
 * - `--times N`: how many documents to apply one after the other; 10 by default
 * - `--seconds N`: how long to send token requests; 10 by default
 */
const ENTRIES = [1, 500] as const;
const REQUESTS = 1000;
const CONNECTIONS = 4;
/** Of each connection before a request: about 160 requests a second. */
const PAUSE_MS = 25;
const WARM_UP_SECONDS = 5;
/** A tick of /proc/PID/stat. */
const TICK_MS = 10;

const { values } = parseArgs({
  options: {
    users: { type: 'string', default: '2000,10000,52000' },
    times: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '10' },
  },
});
const seconds = Number(values.seconds);
/** How many documents were applied so far. */
let documents = 0;

console.log(`${machineInWords()}, one process, PostgreSQL and wrk on the same processors\n`);
console.log(
  '| users | entries | longest stall ms | apply ms | PostgreSQL ms | p99 ms without | p99 ms with | entries a second |',
);
console.log('|---:|---:|---:|---:|---:|---:|---:|---:|');
for (const users of values.users.split(',').map(Number)) {
  await withServer({ size: sizeOf(users), workers: 1 }, (server) => measure(server));
}

function sizeOf(users: number): Size {
  return { users, groups: users / 5, projects: users * 2, accessTokens: users * 2 };
}

async function measure(server: BenchServer): Promise<void> {
  const file = join(server.dir, 'requests.txt');
  await writeRequests(file, ONE_SCOPE, { town: server.town, count: REQUESTS });
  await tokens(server, file, WARM_UP_SECONDS);
  for (const entries of ENTRIES) {
    // The first document starts what the server starts with the first document.
    await apply(server, entries);
    const alone = await applyAlone(server, entries);
    const without = await tokens(server, file, seconds);
    const { figures, perSecond } = await applyBeside(server, entries, file);
    const cells = [
      server.town.size.users.toLocaleString('en'),
      entries,
      alone.stallMs.toFixed(0),
      alone.applyMs.toFixed(0),
      alone.postgresMs.toFixed(0),
      without.p99Ms.toFixed(1),
      figures === null ? 'not all answered' : figures.p99Ms.toFixed(1),
      perSecond.toFixed(0),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

function tokens(server: BenchServer, requests: string, forSeconds: number): Promise<Figures> {
  return load({
    base: server.base,
    requests,
    seconds: forSeconds,
    connections: CONNECTIONS,
    pauseMs: PAUSE_MS,
  });
}

/** Documents without other load. The time and PostgreSQL's share are of one document. */
async function applyAlone(server: BenchServer, entries: number) {
  const times = Number(values.times);
  await longestStallMs(server);
  const before = await processorMs(server.postgresPid);
  const applyMs: number[] = [];
  for (let turn = 0; turn < times; turn++) {
    const startedAt = performance.now();
    await apply(server, entries);
    applyMs.push(performance.now() - startedAt);
  }
  return {
    stallMs: await longestStallMs(server),
    applyMs: median(applyMs),
    postgresMs: ((await processorMs(server.postgresPid)) - before) / times,
  };
}

/** One document each second, or one after the other if one takes longer, beside token requests. */
async function applyBeside(server: BenchServer, entries: number, file: string) {
  let isRunning = true;
  let applied = 0;
  const startedAt = performance.now();
  const changes = (async () => {
    while (isRunning) {
      const next = delay(1000);
      await apply(server, entries);
      applied += entries;
      await next;
    }
  })();
  const figures = await tokens(server, file, seconds).catch(() => null);
  isRunning = false;
  await changes;
  return { figures, perSecond: (1000 * applied) / (performance.now() - startedAt) };
}

/** Changes the e-mail addresses of some users, which are others each time. */
async function apply(server: BenchServer, entries: number): Promise<void> {
  documents += 1;
  const { users } = server.town.size;
  const list = Array.from({ length: entries }, (_, at) => {
    const number = ((documents * 7919 + at) % users) + 1;
    return { username: `user-${number}`, email: `user-${number}-${documents}@example.com` };
  });
  const { status, body } = await admin(
    server,
    '/admin/v1/directory',
    JSON.stringify({ version: 1, users: list }),
  );
  if (status !== 200) throw new Error(body);
  const changed = JSON.parse(body).sections.users.changed;
  if (changed !== entries) throw new Error(`${changed} of ${entries} entries were changed`);
}

/** The longest stall since the last call: how much later than planned the event loop ran. */
async function longestStallMs(server: BenchServer): Promise<number> {
  const { body } = await admin(server, '/metrics');
  const lag = /^nodejs_eventloop_lag_max_seconds(?:\{[^}]*\})? (\S+)$/m.exec(body)?.[1];
  if (lag === undefined) throw new Error('the server has no metric of its event loop');
  return 1000 * Number(lag);
}

/** A request to the admin socket: POST with a document, else GET. */
function admin(
  { dir }: BenchServer,
  path: string,
  document?: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        socketPath: join(dir, 'admin.sock'),
        path,
        method: document === undefined ? 'GET' : 'POST',
        headers: { 'Content-Type': 'application/yaml' },
      },
      async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
      },
    );
    sent.on('error', reject);
    sent.end(document);
  });
}

/** Processor time of a process and its children, those that have ended included. */
async function processorMs(pid: number): Promise<number> {
  let ticks = 0;
  for (const id of await withChildren(pid)) {
    const stat = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // utime and stime; of the postmaster also those of its ended children (proc_pid_stat(5)).
    ticks += Number(fields[11]) + Number(fields[12]);
    if (id === pid) ticks += Number(fields[13]) + Number(fields[14]);
  }
  return ticks * TICK_MS;
}
