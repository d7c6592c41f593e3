import assert from 'node:assert/strict';
import type { DirectorySource, SubjectQuestion } from '../../../../src/authn/source.ts';
import { fromRecords } from '../../../../src/http/admin/named-subject.ts';
import { allowedSubjects } from '../../../../src/http/admin/questions/allowed-subjects.ts';
import { takePage } from '../../../../src/http/admin/questions/pages.ts';
import { reachableRepositories } from '../../../../src/http/admin/questions/reachable-repositories.ts';
import { decide } from '../../../../src/http/token/decide.ts';
import type { AllowedSubject, WhatCan } from '../../../../src/http/types.ts';
import { ACTIONS, type Action } from '../../../../src/policy/role.ts';
import { projectPaths } from '../../../../src/policy/scope.ts';
import { ANONYMOUS, type Subject } from '../../../../src/policy/subject.ts';
import type { Sql } from '../../../../src/store/database/drivers.ts';
import type { DirectoryQuestions } from '../../../../src/store/source/questions.ts';
import { COMPANY_PROJECTS, COMPANY_NOW as NOW } from '../../../support/directory/arbitrary-company.ts';

/** Images below a project meet other rules for protected repositories. */
const REPOSITORIES = [...COMPANY_PROJECTS, 'g/p/prod', 'g/a/p/x/y'];
const CLIENT = { text: '10.1.2.3', isIn: () => true };

/** A subject that may send token requests, and its row in `who-can`. */
interface Asking {
  readonly as: string;
  readonly subject: Subject;
  readonly row: string;
  readonly isExternal: boolean;
  /** False: `who-can` has no row of its own for it. */
  readonly isCounted: boolean;
}

/** Everybody who may ask for tokens: how they are named, their row, and the name of their user. */
const EVERYBODY = `
  SELECT 'user:' || username AS who, 'user ' || username AS row, username AS owner, kind = 'human' AS counted FROM users
  UNION ALL SELECT 'user:' || username, 'service_account ' || username, username, true FROM users
    WHERE kind = 'service_account' AND NOT EXISTS (SELECT FROM access_tokens WHERE user_id = users.id)
  UNION ALL SELECT 'token:' || token.id, users.kind || ' ' || username || ' access-' || token.id, username, users.kind <> 'human'
    FROM access_tokens AS token JOIN users ON users.id = token.user_id
  UNION ALL SELECT 'deploy-token:' || username, 'deploy_token ' || username || ' deploy-' || id, NULL, true FROM deploy_tokens
  UNION ALL SELECT 'identity:' || name, 'identity ' || name || ' identity-' || name, username, true
    FROM federated_identities JOIN users ON users.id = user_id
  UNION ALL SELECT 'job:' || job.id, 'job', username, false
    FROM job_tokens AS job LEFT JOIN users ON users.id = job.user_id`;

/** What is compared: the answers of the token endpoint and those of administrators' questions. */
export interface Answers {
  readonly source: DirectorySource;
  readonly questions: DirectoryQuestions;
  /** cellpass's own tables, with the same company, which name everybody. */
  readonly own: Pick<Sql, 'query'>;
  /** Whether an identity exists; default: all do. */
  readonly hasIdentity?: (name: string) => boolean;
}

/**
 * Compares who-can of each repository and what-can of each subject with the token endpoint.
 * @returns how much was granted.
 */
export async function compareAll({
  source,
  questions,
  own,
  hasIdentity = () => true,
}: Answers): Promise<number> {
  const asking = await everybody();
  let granted = 0;
  for (const name of REPOSITORIES)
    for (const action of ACTIONS) granted += await compareWho(name, action, asking);
  for (const one of asking) await compareWhat(one);
  return granted;

  /** The decision of the token endpoint, on the facts that it reads. */
  async function isGranted(subject: Subject, name: string, action: Action): Promise<boolean> {
    const asked = { scopes: [{ type: 'repository' as const, name, actions: [action] }], dropped: [] };
    const facts = await source.facts(subject, projectPaths(name));
    const { decision, refusal } = decide({ subject, asked, facts, now: NOW, clientAddress: CLIENT });
    return refusal === null && decision.access.length > 0;
  }

  async function everybody(): Promise<readonly Asking[]> {
    const external = await own.query('SELECT username FROM users WHERE external');
    const found: Asking[] = [];
    for (const { who, row, owner, counted } of await own.query(EVERYBODY)) {
      const [kind, name = ''] = String(who).split(':');
      if (kind === 'identity' && !hasIdentity(name)) continue;
      const subject = await findSubject(String(who));
      if (subject === null) continue;
      const isExternal = owner === null || external.some(({ username }) => username === owner);
      found.push({ as: String(who), subject, row: String(row), isExternal, isCounted: counted === true });
    }
    return found;
  }

  /** Null: it may not log in. */
  async function findSubject(as: string): Promise<Subject | null> {
    const colon = as.indexOf(':');
    const name = as.slice(colon + 1);
    const kind = as.slice(0, colon).replace('-', '_');
    const question = (
      kind === 'token' || kind === 'job' ? { kind, id: Number(name) } : { kind, name }
    ) as SubjectQuestion;
    const tokenScopes = kind === 'user' ? ['api'] : undefined;
    const subject = fromRecords(question, await source.find(question), { tokenScopes, now: NOW });
    assert.notEqual(subject, null, as);
    return typeof subject === 'string' ? null : subject;
  }

  async function whoCan(name: string, action: Action): Promise<readonly string[]> {
    const facts = await source.facts(ANONYMOUS, projectPaths(name));
    const [project] = facts.projects.toSorted((a, b) => b.path.length - a.path.length);
    if (project === undefined) assert.fail(name);
    const steps = allowedSubjects(questions, { name, action, project, facts, now: NOW }, '');
    const { rows } = await takePage<AllowedSubject>(steps, 1000, () => 0);
    return rows.map(({ kind, name: of, credential }) =>
      [kind, of, ...(credential ? [credential] : [])].join(' '),
    );
  }

  /** Resolves with the number of subjects that are granted the action. */
  async function compareWho(name: string, action: Action, asking: readonly Asking[]): Promise<number> {
    const rows = await whoCan(name, action);
    if (await isGranted(ANONYMOUS, name, action)) {
      assert.deepEqual(rows, ['anyone *']);
      return 1;
    }
    const isInternal = rows.includes('internal *');
    const granted: Asking[] = [];
    for (const one of asking) if (await isGranted(one.subject, name, action)) granted.push(one);
    const counted = granted.filter(({ isCounted, isExternal }) => isCounted && (isExternal || !isInternal));
    const subjects = rows.filter((row) => row !== 'internal *' && !row.startsWith('job '));
    // GitLab's deploy tokens pull internal projects that they do not belong to: `internal` says so.
    const mayBeLeftOut = (row: string): boolean => isInternal && row.startsWith('deploy_token ');
    const expected = counted
      .map(({ row }) => row)
      .filter((row) => !mayBeLeftOut(row) || subjects.includes(row));
    assert.deepEqual(subjects.toSorted(), expected.toSorted(), `${action} ${name}`);
    for (const { subject } of granted)
      if (subject.kind === 'job' && !isInternal) assertListed(subject.projectPath, rows);
    return granted.length;
  }

  function assertListed(path: string, rows: readonly string[]): void {
    const entries = path.split('/').map((_, at, parts) => `job ${parts.slice(0, at + 1).join('/')}`);
    const isListed = ['job *', ...entries].some((entry) => rows.includes(entry));
    assert.ok(isListed, `a job of ${path}: ${rows.join(', ')}`);
  }

  async function compareWhat({ as, subject }: Asking): Promise<void> {
    const expected: string[] = [];
    for (const path of COMPANY_PROJECTS) {
      const actions: Action[] = [];
      for (const action of ACTIONS) if (await isGranted(subject, path, action)) actions.push(action);
      if (actions.length > 0) expected.push(`${path} ${actions}`);
    }
    const whatCan = async (action?: Action): Promise<string[]> => {
      const question = { subject, action, onlyByRole: false, groupId: null, now: NOW };
      const steps = reachableRepositories(questions, question, '');
      const { rows } = await takePage<WhatCan['repositories'][number]>(steps, 1000, () => 0);
      return rows.map(({ path, actions }) => `${path} ${actions}`).toSorted();
    };
    assert.deepEqual(await whatCan(), expected.toSorted(), as);
    const pushes = expected.filter((row) => row.includes('push'));
    assert.deepEqual(await whatCan('push'), pushes.toSorted(), `${as} push`);
  }
}
