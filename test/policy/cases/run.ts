import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import argon2 from 'argon2';
import { CellpassError } from '../../../src/errors.ts';
import type { GitlabTestServer } from '../../support/gitlab/server.ts';
import type { TestServer } from '../../support/server.ts';
import { type Answer, differences } from './check.ts';
import type { SharedPassword } from './credential.ts';
import type { CaseRow } from './csv.ts';
import { interpret, type Scenario } from './interpret.ts';
import { NotExpressible, NotUnderstood } from './words/phrases.ts';
import type { Question } from './words/request.ts';
import type { World } from './world.ts';

/** The outcome of one row; `lines` say what is wrong. */
export interface Outcome {
  readonly id: string;
  readonly result: 'same' | 'differs' | 'not_understood' | 'not_expressible';
  readonly lines: readonly string[];
}

/**
 * Runs the prepared rows one at a time, because a row may switch the whole instance to maintenance
 * mode.
 */
export interface CaseRunner {
  run(row: CaseRow): Promise<Outcome>;
}

/** The outcome of setting up a row. */
type Prepared = readonly Scenario[] | Outcome;

/** A server of either source. */
export type CaseServer = TestServer & Partial<Pick<GitlabTestServer, 'world' | 'copy' | 'secrets'>>;

/** Rows share only the settings, so one document can hold the projects and users of all rows. */
export async function prepareCases(server: CaseServer, rows: readonly CaseRow[]): Promise<CaseRunner> {
  const password = await sharePassword();
  server.secrets?.learnPassword(password.hash, password.password);
  const prepared = new Map<CaseRow, Prepared>();
  for (const row of rows) prepared.set(row, await read(row, () => interpret(row, password)));
  const readable = [...prepared].flatMap(([row, found]) =>
    isOutcome(found) ? [] : [{ row, scenarios: found }],
  );
  try {
    await apply(
      server,
      readable.flatMap(({ scenarios }) => scenarios),
    );
  } catch (error) {
    if (!(error instanceof CellpassError)) throw error;
    // One row's document is wrong: apply each separately to find it.
    for (const { row, scenarios } of readable) {
      const applied = await read(row, () => apply(server, scenarios));
      if (isOutcome(applied)) prepared.set(row, applied);
    }
  }
  let settings: World['settings'] | null = null;
  const enter = async ({ world }: Scenario): Promise<void> => {
    if (isDeepStrictEqual(world.settings, settings)) return;
    await server.apply({ settings: world.settings });
    settings = world.settings;
  };
  return {
    run: async (row) => {
      const found = prepared.get(row);
      if (found === undefined) throw new Error(`${row.case_id} was not prepared`);
      return isOutcome(found) ? found : read(row, () => playAll(server, row, found, enter));
    },
  };
}

/**
 * Hashes a password at the lowest cost, because cost doesn't matter here. The parameters are in PHC
 * order.
 */
async function sharePassword(): Promise<SharedPassword> {
  const password = randomBytes(12).toString('hex');
  const salt = randomBytes(16);
  const cost = { memoryCost: 1024, timeCost: 2, parallelism: 1 };
  const raw = await argon2.hash(password, { ...cost, type: argon2.argon2id, salt, raw: true });
  const [saltText, hashText] = [salt, raw].map((bytes) => bytes.toString('base64').replace(/=+$/, ''));
  return { password, hash: `$argon2id$v=19$m=1024,t=2,p=1$${saltText}$${hashText}` };
}

/**
 * A row that can't be read or set up fails, and the rest of the file still runs.
 */
async function read<T>(row: CaseRow, work: () => T | Promise<T>): Promise<T | Outcome> {
  const id = row.case_id;
  try {
    return await work();
  } catch (error) {
    if (error instanceof NotUnderstood) return { id, result: 'not_understood', lines: [error.message] };
    if (error instanceof NotExpressible) return { id, result: 'not_expressible', lines: [error.message] };
    return { id, result: 'differs', lines: refusalOf(error) };
  }
}

function isOutcome(found: unknown): found is Outcome {
  return typeof found === 'object' && found !== null && 'result' in found;
}

/** A refused document, or a token that no registry would take. */
function refusalOf(error: unknown): readonly string[] {
  const problems = error instanceof CellpassError ? (error.details.problems ?? []) : [];
  return [String(error), ...problems.map(({ path, message }) => `${path} ${message}`)];
}

async function apply(server: CaseServer, scenarios: readonly Scenario[]): Promise<void> {
  const sections: Record<string, object[]> = {};
  for (const [name, entries] of scenarios.flatMap(({ world }) => Object.entries(world.sections))) {
    sections[name] ??= [];
    sections[name].push(...entries);
  }
  await server.apply(sections);
  const statements = scenarios.flatMap(({ world }) => world.statements);
  for (const { text, params } of statements) await (server.world ?? server.database).query(text, params);
  if (statements.length > 0) await server.copy?.();
}

async function playAll(
  server: TestServer,
  row: CaseRow,
  scenarios: readonly Scenario[],
  enter: (scenario: Scenario) => Promise<void>,
): Promise<Outcome> {
  const lines: string[] = [];
  for (const scenario of scenarios) {
    await enter(scenario);
    for (const question of scenario.questions) {
      const wrong = differences(scenario, question, await ask(server, scenario, question));
      lines.push(...wrong.map((what) => `${question.words} as ${scenario.words}: ${what}`));
    }
  }
  return { id: row.case_id, result: lines.length === 0 ? 'same' : 'differs', lines };
}

async function ask(server: TestServer, { world }: Scenario, { scopes, joined }: Question): Promise<Answer> {
  const texts = scopes.map(({ text }) => text);
  const { status, headers, body } = await server.ask({
    scope: joined ? texts.join(' ') : texts,
    ...(world.as !== null && { as: world.as }),
    ...(world.ip !== null && { ip: world.ip }),
  });
  const claims = status === 200 ? await server.verify(body.token) : null;
  return { status, headers, body, claims };
}
