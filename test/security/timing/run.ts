/**
 * Shows whether the time of an answer reveals more than the answer does: sends requests over HTTP
 * that a client must not be able to tell apart, and compares the medians within each group. Exits
 * with 1 when a median is more than 5 % over the lowest of its group. See docs/performance.md. Run
 * by `npm run test:timing`; `--requests N` sets the number of requests for each case, `--json FILE`
 * writes the figures.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { DIRECTORY, GROUPS } from './cases.ts';
import { openConnection } from './connection.ts';
import { type GroupFigures, textOf } from './figures.ts';
import { measure } from './measure.ts';
import { startTimedServer, type TimedServer } from './server.ts';

const { values } = parseArgs({ options: { requests: { type: 'string' }, json: { type: 'string' } } });
const requests = values.requests === undefined ? undefined : Number(values.requests);
assert.ok(
  requests === undefined || (Number.isInteger(requests) && requests > 0),
  '--requests wants a whole number above 0',
);
// The listeners for `exit` end the server and PostgreSQL; a signal alone would not call them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

const server = await startTimedServer(DIRECTORY);
try {
  const groups = await measureAll(server);
  if (values.json !== undefined) {
    await writeFile(values.json, `${JSON.stringify({ node: process.version, groups }, null, 2)}\n`);
  }
  process.exitCode = groups.every(({ passed }) => passed) ? 0 : 1;
} finally {
  await server.stop();
}

async function measureAll(on: TimedServer): Promise<readonly GroupFigures[]> {
  const connection = await openConnection(on.port);
  const all: GroupFigures[] = [];
  for (const group of GROUPS) {
    const figures = await measure(group, requests ?? group.requests, connection, on);
    console.log(textOf(figures));
    all.push(figures);
  }
  connection.close();
  return all;
}
