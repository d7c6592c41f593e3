import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { openPostgres } from '../src/store/database/postgres.ts';
import { type AdminApi, openAdminApi } from '../test/support/admin-api.ts';
import { median } from './load.ts';
import { machineInWords } from './machine.ts';
import type { Size } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { ONE_SCOPE } from './token-cases.ts';

/**
 * Measures the first page of administrators' questions in a directory of 100,000 projects and
 * 1,000,000 memberships, and how much slower token requests get while questions are asked without a
 * pause. Exits with 1 when a target is missed.
 */
const SIZE: Size = { users: 200_000, groups: 2000, projects: 100_000, accessTokens: 200_000 };
const ROUNDS = 7;
const WHO_TARGET_MS = 1000;
const WHAT_TARGET_MS = 2000;
/** Token requests at a fixed rate, which leaves the machine time for the questions. */
const PER_SECOND = 50;
const SECONDS = 20;
const MS = 1000;

/** A crowd that can only look, in one group, and a user with one project at the end of the list. */
const MORE_ROWS = [
  `INSERT INTO members (source_type, source_id, user_id, role) SELECT 'Namespace', 2, id, 'guest' FROM users WHERE id % 2 = 0 ON CONFLICT DO NOTHING`,
  `INSERT INTO users (id, organization_id, username, username_key) VALUES (900001, 1, 'last', 'last'), (900002, 1, 'none', 'none')`,
  `INSERT INTO users (id, organization_id, username, username_key, admin) VALUES (900003, 1, 'boss', 'boss', true)`,
  `INSERT INTO members (source_type, source_id, user_id, role) SELECT 'Project', id, 900001, 'developer' FROM projects ORDER BY path_key DESC LIMIT 1`,
  'VACUUM ANALYZE',
];

const QUESTIONS: readonly { readonly name: string; readonly path: string; readonly targetMs: number }[] = [
  who('push, a group of 500', 'push', 'group-4/project-3'),
  who('push, a group with 100,000 guests', 'push', 'group-2/project-1'),
  who('pull, a group with 100,000 guests', 'pull', 'group-2/project-2001'),
  what('a user', 'user:user-7'),
  what('a user, push', 'user:user-7', '&action=push'),
  what('a user, by role', 'user:user-7', '&only_granted_by_role=true'),
  what('a user, below a group', 'user:user-7', '&under=group-92'),
  what('an admin', 'user:boss'),
  what('a user with one project, push', 'user:last', '&action=push'),
  what('a user with nothing, push', 'user:none', '&action=push'),
  what('a deploy token, by role', 'deploy-token:deploy-5', '&only_granted_by_role=true'),
  what('a job', 'job:5'),
];

function who(name: string, action: string, repository: string) {
  const path = `/admin/v1/who-can?action=${action}&repository=${repository}`;
  return { name: `who-can: ${name}`, path, targetMs: WHO_TARGET_MS };
}

function what(name: string, subject: string, filter = '') {
  const path = `/admin/v1/what-can?subject=${subject}${filter}`;
  return { name: `what-can: ${name}`, path, targetMs: WHAT_TARGET_MS };
}

await withServer({ size: SIZE, workers: 1 }, async (server) => {
  const database = openPostgres(server.databaseUrl);
  for (const statement of MORE_ROWS) await database.execute(statement);
  await database.close();
  const admin = openAdminApi(join(server.dir, 'admin.sock'));
  console.log(
    `${machineInWords()}; 100,000 projects, 1,100,000 memberships; ms, median of ${ROUNDS} / longest\n`,
  );
  for (const { name, path, targetMs } of QUESTIONS) {
    const times = [];
    let last = { rows: 0, hasNext: false };
    for (let round = 0; round < ROUNDS; round += 1) {
      const startedMs = performance.now();
      last = await ask(admin, path);
      times.push(performance.now() - startedMs);
    }
    const longest = Math.max(...times);
    if (longest > targetMs) process.exitCode = 1;
    const rows = `${last.rows} rows${last.hasNext ? ' and more' : ''}`;
    console.log(`${name.padEnd(48)} ${median(times).toFixed(0)} / ${longest.toFixed(0)}  ${rows}`);
  }
  await tokensBeside(server, admin);
  await admin.close();
});

async function ask(admin: AdminApi, path: string): Promise<{ rows: number; hasNext: boolean }> {
  const { status, body } = await admin.send('GET', path);
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`);
  const answer = JSON.parse(body);
  return { rows: (answer.subjects ?? answer.repositories).length, hasNext: answer.next !== undefined };
}

async function tokensBeside(server: BenchServer, admin: AdminApi): Promise<void> {
  await tokens(server, 5);
  const alone = await tokens(server, SECONDS);
  let isOver = false;
  let asked = 0;
  const questions = async (): Promise<void> => {
    while (!isOver) {
      await ask(admin, QUESTIONS[asked % QUESTIONS.length]?.path ?? '');
      asked += 1;
    }
  };
  const asking = questions();
  const beside = await tokens(server, SECONDS);
  isOver = true;
  await asking;
  console.log(`\ntoken requests, ${PER_SECOND} in a second; ms, p50 / p99`);
  console.log(`alone             ${alone.p50.toFixed(1)} / ${alone.p99.toFixed(1)}`);
  console.log(`beside questions  ${beside.p50.toFixed(1)} / ${beside.p99.toFixed(1)}   (${asked} questions)`);
  console.log(`ratio of p99      ${(beside.p99 / alone.p99).toFixed(2)}`);
}

/** Sends token requests at the fixed rate, whether or not earlier ones are answered. */
async function tokens({ base, town }: BenchServer, seconds: number): Promise<{ p50: number; p99: number }> {
  const dispatcher = new Agent({ connections: 16 });
  const times: number[] = [];
  const send = async (number: number): Promise<void> => {
    const [path = '', authorization = ''] = ONE_SCOPE.request(town, number).split('\t');
    const startedMs = performance.now();
    const answer = await request(`${base}${path}`, { dispatcher, headers: { authorization } });
    await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`a token request got ${answer.statusCode}`);
    times.push(performance.now() - startedMs);
  };
  const sent: Promise<void>[] = [];
  const startMs = performance.now();
  for (let number = 0; number < PER_SECOND * seconds; number += 1) {
    await delay(Math.max(0, startMs + (number * MS) / PER_SECOND - performance.now()));
    sent.push(send(number));
  }
  await Promise.all(sent);
  await dispatcher.close();
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
