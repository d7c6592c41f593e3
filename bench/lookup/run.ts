import { deepEqual } from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { DirectorySource } from '../../src/authn/source.ts';
import type { Facts } from '../../src/policy/project.ts';
import type { Database } from '../../src/store/database/drivers.ts';
import { migrate } from '../../src/store/database/migrate.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { ask as askOwn } from '../../src/store/source/own/ask.ts';
import { createOwnSource } from '../../src/store/source/own/source.ts';
import { planOf, sentBy } from '../../test/support/database/plans.ts';
import { startPostgres } from '../../test/support/database/postgres.ts';
import { askedBy } from '../../test/support/directory/asked.ts';
import { MOST_PROJECTS, seedAskedProjects, seedCrowd } from '../../test/support/directory/large-directory.ts';
import { MACHINE, machineInWords } from '../machine.ts';
import { ask, CASES, type RequestCase } from './requests.ts';
import { type CaseReport, figuresOf, round, tableOf } from './times.ts';

/**
 * Measures the query of a token request in a large directory, and the same request in a directory
 * that holds nothing else. Exits with 1 when a target is missed.
 *
 * - `--plan` prints the query plans, too
 * - `--json FILE` writes the figures
 * - `--url URL` uses that PostgreSQL server, creates its databases there and drops them at the end
 */
const CROWD = {
  users: 100_000,
  groupTrees: 2000,
  projects: 100_000,
  membershipsPerUser: 10,
  groupsOfMember: 497,
};
/**
 * PostgreSQL may choose one plan for all parameters after five executions, so the warm-up is
 * longer.
 */
const WARM_UP = 20;
const TARGET_MS = 3;
const TARGET_RATIO = 1.5;

interface Directory {
  readonly name: string;
  readonly database: Database;
  readonly source: DirectorySource;
}

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    plan: { type: 'boolean', default: false },
    url: { type: 'string' },
  },
});

const server = values.url === undefined ? await startPostgres() : undefined;
const serverUrl = values.url ?? (await server?.createDatabase()) ?? '';
const opened: Directory[] = [];
try {
  const small = new Map<number, Directory>();
  for (const projects of new Set(CASES.map(projectsOf))) {
    small.set(projects, await open(`small_${projects}`, (database) => seedAskedProjects(database, projects)));
  }
  const large = await open('large', async (database) => {
    await seedAskedProjects(database, MOST_PROJECTS);
    await seedCrowd(database, CROWD);
  });
  console.log(`${machineInWords()}; ${await describeDirectory(large)}\nms, median / p99\n`);
  const reports: CaseReport[] = [];
  for (const request of CASES) {
    const alone = small.get(projectsOf(request));
    if (alone !== undefined) reports.push(await measure(request, alone, large));
  }
  console.log(tableOf(reports));
  judge(reports);
  if (values.plan) await printPlans(large);
  if (values.json !== undefined) {
    await writeFile(values.json, `${JSON.stringify({ ...MACHINE, cases: reports }, null, 2)}\n`);
  }
} finally {
  await closeAll();
  await server?.stop();
}

/** The small directory holds only the requested projects; a job needs its own project besides. */
function projectsOf({ scopes }: RequestCase): number {
  return Math.max(2, scopes);
}

/** Opens the directory with one connection, so that each statement is prepared once. */
async function open(purpose: string, seed: (database: Database) => Promise<void>): Promise<Directory> {
  const name = `cellpass_lookup_${process.pid}_${purpose}`;
  await onServer(`CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = name;
  const database = openPostgres(url.href, { maxConnections: 1 });
  const directory = { name, database, source: createOwnSource(database) };
  opened.push(directory);
  await migrate(database);
  await seed(database);
  await database.execute('VACUUM ANALYZE');
  return directory;
}

async function closeAll(): Promise<void> {
  for (const { name, database } of opened) {
    await database.close();
    await onServer(`DROP DATABASE ${name}`);
  }
}

async function onServer(statement: string): Promise<void> {
  const database = openPostgres(serverUrl);
  await database.execute(statement);
  await database.close();
}

/** Small and large take turns, so that other work on the machine slows down both alike. */
async function measure(request: RequestCase, small: Directory, large: Directory): Promise<CaseReport> {
  const sides = {
    small: { source: small.source, samplesMs: [] as number[] },
    large: { source: large.source, samplesMs: [] as number[] },
  };
  const asked = await askedBy(small.source, request);
  const [fromSmall, fromLarge] = [await ask(small.source, asked), await ask(large.source, asked)];
  deepEqual(inOrder(fromLarge.facts), inOrder(fromSmall.facts));
  for (let count = -WARM_UP; count < request.requests; count++) {
    const turns = [sides.small, sides.large];
    for (const { source, samplesMs } of count % 2 === 0 ? turns : turns.reverse()) {
      const { ms } = await ask(source, asked);
      if (count >= 0) samplesMs.push(ms);
    }
  }
  const figures = { small: figuresOf(sides.small.samplesMs), large: figuresOf(sides.large.samplesMs) };
  const ratio = round(figures.large.median_ms / figures.small.median_ms);
  return { name: request.name, paths: asked.paths.length, requests: request.requests, ...figures, ratio };
}

/** Sorts projects and memberships, because the database returns them in any order. */
function inOrder({ projects, ...facts }: Facts): unknown {
  const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  return {
    ...facts,
    projects: projects
      .map((project) => ({ ...project, memberships: [...project.memberships].sort(byText) }))
      .sort((a, b) => a.id - b.id),
  };
}

async function describeDirectory({ database }: Directory): Promise<string> {
  const [server] = await database.query("SELECT current_setting('server_version') AS version");
  const tables = await database.query(
    `SELECT relname AS name, reltuples::int8 AS rows FROM pg_class
     WHERE relname IN ('projects', 'members', 'namespaces', 'users', 'access_tokens') ORDER BY relname`,
  );
  const rows = tables.map((table) => `${table['name']} ${table['rows']}`).join(', ');
  return `PostgreSQL ${server?.['version']}; ${rows}`;
}

function judge([target]: readonly CaseReport[]): void {
  if (target === undefined) return;
  const { name, large, ratio } = target;
  const isMet = large.median_ms < TARGET_MS && ratio <= TARGET_RATIO;
  console.log(
    `\n${name}: ${large.median_ms} ms (target: under ${TARGET_MS}), ratio ${ratio} (target: up to ${TARGET_RATIO}): ${isMet ? 'met' : 'MISSED'}`,
  );
  process.exitCode = isMet ? 0 : 1;
}

async function printPlans({ database, source }: Directory): Promise<void> {
  for (const request of CASES) {
    const { question, paths } = await askedBy(source, request);
    const sent = await sentBy(database, (sql) => askOwn(sql, question, paths));
    for (const mode of ['generic', 'custom'] as const) {
      const lines = await planOf(database, sent, { mode, analyze: true });
      console.log(`\n${request.name}, ${mode} plan\n${lines.join('\n')}`);
    }
  }
}
