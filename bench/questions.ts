import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { openPostgres } from '../src/store/database/postgres.ts';
import { type AdminApi, openAdminApi } from '../test/support/admin-api.ts';
import { median, rssOfAllMb } from './load.ts';
import { machineInWords } from './machine.ts';
import type { Size } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { ONE_SCOPE } from './token-cases.ts';

/**
 * Measures the first page of administrators' questions in a directory of 100,000 projects and
 * 1,000,000 memberships, and how much slower token requests get while questions are asked without a
 * pause. Phases with and without questions take turns, so that other work of the machine changes
 * both. Exits with 1 when a target is missed.
 *
 * - `--gitlab`: the same directory in a GitLab's database
 * - `--pairs N`: how many phases of each kind; 12 by default
 */
const { values: flags } = parseArgs({
  options: { gitlab: { type: 'boolean', default: false }, pairs: { type: 'string', default: '12' } },
});
const SIZE: Size = {
  // In GitLab each member of a group has a row for each of its 50 projects.
  users: flags.gitlab ? 4000 : 200_000,
  groups: 2000,
  projects: 100_000,
  accessTokens: 200_000,
};
const ROUNDS = 7;
const PAIRS = Number(flags.pairs);
const WHO_TARGET_MS = 1000;
const WHAT_TARGET_MS = 2000;
/** The p99 of token requests beside questions may be so many times the one without. */
const RATIO_TARGET = 2;
/** Token requests at a fixed rate, which leaves the machine time for the questions. */
const PER_SECOND = 60;
/** Of one phase, whose p99 is its sixth slowest request. */
const SECONDS = 10;
const MS = 1000;
const SAMPLE_MS = 250;

/** A crowd that can only look, in one group, and a user with one project at the end of the list. */
const OWN_ROWS = [
  `INSERT INTO members (source_type, source_id, user_id, role) SELECT 'Namespace', 2, id, 'guest' FROM users WHERE id % 2 = 0 ON CONFLICT DO NOTHING`,
  `INSERT INTO users (id, organization_id, username, username_key) VALUES (900001, 1, 'last', 'last'), (900002, 1, 'none', 'none')`,
  `INSERT INTO users (id, organization_id, username, username_key, admin) VALUES (900003, 1, 'boss', 'boss', true)`,
  `INSERT INTO members (source_type, source_id, user_id, role) SELECT 'Project', id, 900001, 'developer' FROM projects ORDER BY path_key DESC LIMIT 1`,
  'VACUUM ANALYZE',
];
/** The same; the crowd has no other role. */
const GITLAB_ROWS = [
  `INSERT INTO users (id, username, email, state, confirmed_at, admin)
     SELECT n, CASE n WHEN 900001 THEN 'last' WHEN 900002 THEN 'none' WHEN 900003 THEN 'boss' ELSE 'crowd-' || n END, n || '@crowd.example', 'active', now(), n = 900003
     FROM generate_series(900001, 1000003) AS n`,
  `INSERT INTO project_authorizations (user_id, project_id, access_level)
     SELECT n, project, 10 FROM generate_series(900004, 1000003) AS n, unnest(ARRAY[1, 2001]) AS project`,
  `INSERT INTO project_authorizations (user_id, project_id, access_level)
     SELECT 900001, source_id, 30 FROM routes WHERE source_type = 'Project' ORDER BY lower(path) DESC LIMIT 1`,
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

await withServer({ size: SIZE, workers: 1, onGitlab: flags.gitlab }, async (server) => {
  const database = openPostgres(server.directoryUrl);
  for (const statement of flags.gitlab ? GITLAB_ROWS : OWN_ROWS) await database.execute(statement);
  await database.close();
  const admin = openAdminApi(join(server.dir, 'admin.sock'));
  const where = flags.gitlab ? "in a GitLab's database" : "in cellpass's own tables";
  console.log(`${machineInWords()}; 100,000 projects, 1,000,000 memberships, ${where}\n`);
  console.log(`first pages; ms, median of ${ROUNDS} / longest\n`);
  for (const question of QUESTIONS) await firstPage(admin, question);
  await tokensBeside(server, admin);
  await admin.close();
});

async function firstPage(
  admin: AdminApi,
  { name, path, targetMs }: (typeof QUESTIONS)[number],
): Promise<void> {
  const times = [];
  let last = { rows: 0, hasNext: false };
  for (let round = 0; round < ROUNDS; round += 1) {
    const startedMs = performance.now();
    last = await ask(admin, path);
    times.push(performance.now() - startedMs);
  }
  const longest = Math.max(...times);
  if (median(times) > targetMs) process.exitCode = 1;
  const rows = `${last.rows} rows${last.hasNext ? ' and more' : ''}`;
  console.log(`${name.padEnd(48)} ${median(times).toFixed(0)} / ${longest.toFixed(0)}  ${rows}`);
}

async function ask(admin: AdminApi, path: string): Promise<{ rows: number; hasNext: boolean }> {
  const { status, body } = await admin.send('GET', path);
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`);
  const answer = JSON.parse(body);
  return { rows: (answer.subjects ?? answer.repositories).length, hasNext: answer.next !== undefined };
}

interface Phase {
  readonly p50: number;
  readonly p99: number;
  /** Answered with 503. */
  readonly refused: number;
}

async function tokensBeside(server: BenchServer, admin: AdminApi): Promise<void> {
  const memory = await watchMemory(server.pid);
  await tokens(server, SECONDS);
  const beforeMb = memory.highest();
  const alone: Phase[] = [];
  const beside: Phase[] = [];
  let asked = 0;
  const withQuestions = async (): Promise<void> => {
    const questions = askWithoutPause(admin, asked);
    beside.push(await tokens(server, SECONDS));
    asked = await questions.stop();
  };
  const withoutQuestions = async (): Promise<void> => {
    alone.push(await tokens(server, SECONDS));
  };
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const phases = [withoutQuestions, withQuestions];
    for (const phase of pair % 2 === 0 ? phases : phases.toReversed()) await phase();
  }
  const p99 = (phases: readonly Phase[]): number => median(phases.map((phase) => phase.p99));
  const p50 = (phases: readonly Phase[]): number => median(phases.map((phase) => phase.p50));
  const ratio = p99(beside) / p99(alone);
  if (ratio > RATIO_TARGET) process.exitCode = 1;
  const list = (phases: readonly Phase[]): string => phases.map((phase) => phase.p99.toFixed(0)).join(' ');
  console.log(`\ntoken requests, ${PER_SECOND} in a second, ${PAIRS} phases of ${SECONDS} s each; ms\n`);
  console.log(
    `alone             median p50 ${p50(alone).toFixed(1)}, median p99 ${p99(alone).toFixed(1)}  (${list(alone)})`,
  );
  console.log(
    `beside questions  median p50 ${p50(beside).toFixed(1)}, median p99 ${p99(beside).toFixed(1)}  (${list(beside)})`,
  );
  const refused = (phases: readonly Phase[]): number => phases.reduce((sum, one) => sum + one.refused, 0);
  console.log(`answered with 503 ${refused(alone)} alone, ${refused(beside)} beside questions`);
  console.log(`ratio of p99      ${ratio.toFixed(2)}, beside ${asked} questions`);
  console.log(
    `memory            ${beforeMb.toFixed(0)} MB before, ${memory.highest().toFixed(0)} MB at most`,
  );
  memory.stop();
}

/** Asks all questions in turn, one after the other, from the one at `first` on. */
function askWithoutPause(admin: AdminApi, first: number): { stop(): Promise<number> } {
  let isOver = false;
  let asked = first;
  const asking = (async () => {
    while (!isOver) {
      await ask(admin, QUESTIONS[asked % QUESTIONS.length]?.path ?? '');
      asked += 1;
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await asking;
      return asked;
    },
  };
}

/** RSS of all processes of the server. */
async function watchMemory(pid: number): Promise<{ highest(): number; stop(): void }> {
  let highest = await rssOfAllMb(pid);
  const timer = setInterval(() => {
    rssOfAllMb(pid).then(
      (mb) => {
        highest = Math.max(highest, mb);
      },
      () => undefined,
    );
  }, SAMPLE_MS);
  return { highest: () => highest, stop: () => clearInterval(timer) };
}

/** Sends token requests at the fixed rate, whether or not earlier ones are answered. */
async function tokens({ base, town }: BenchServer, seconds: number): Promise<Phase> {
  const dispatcher = new Agent({ connections: 16 });
  const times: number[] = [];
  let refused = 0;
  const send = async (number: number): Promise<void> => {
    const [path = '', authorization = ''] = ONE_SCOPE.request(town, number).split('\t');
    const startedMs = performance.now();
    const answer = await request(`${base}${path}`, { dispatcher, headers: { authorization } });
    await answer.body.text();
    times.push(performance.now() - startedMs);
    // On a machine that does too much, the database may miss its time.
    if (answer.statusCode === 503) refused += 1;
    else if (answer.statusCode !== 200) throw new Error(`a token request got ${answer.statusCode}`);
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
  return { p50: at(0.5), p99: at(0.99), refused };
}
