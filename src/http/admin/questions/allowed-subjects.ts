import { whyNoLogin } from '../../../authn/account.ts';
import { ID_TOKEN_USERNAME } from '../../../authn/federation/id-token.ts';
import { fromIdentity } from '../../../authn/federation/identity.ts';
import { idsOf, type SubjectIds } from '../../../authn/source.ts';
import { fromAccessToken, fromDeployToken, type SubjectOrReason, toUser } from '../../../authn/to-subject.ts';
import { CellpassError } from '../../../errors.ts';
import { JOB_ABILITIES } from '../../../policy/ability.ts';
import { dialectOf } from '../../../policy/dialect.ts';
import type { Facts, Project } from '../../../policy/project.ts';
import type { Action } from '../../../policy/role.ts';
import { projectPaths } from '../../../policy/scope.ts';
import { ANONYMOUS, type JobSubject, type UserSubject } from '../../../policy/subject.ts';
import type { DirectoryQuestions, Holder, JobEntry } from '../../../store/source/questions.ts';
import type { AllowedSubject } from '../../types.ts';
import { BATCH, type Step } from './pages.ts';
import {
  grantOf,
  rolesThatMay,
  SOME_DEPLOY_TOKEN,
  SOME_EXTERNAL_USER,
  SOME_PERSON,
  SOME_USER,
  withRole,
} from './ruling.ts';

export interface WhoQuestion {
  /** The repository, in lower case. */
  readonly name: string;
  readonly action: Action;
  readonly project: Project;
  /** About anonymous clients. */
  readonly facts: Facts;
  readonly now: Date;
}

type Steps = AsyncGenerator<readonly Step<AllowedSubject>[]>;

/** The parts of the list in their order; a place is `PART:` and where the part goes on. */
const PARTS = ['open', 'user', 'deploy', 'job'] as const;

/**
 * All subjects that a token request would grant the action, in batches. Where everybody may, the
 * only row is `anyone`; where each user may who isn't external, the row `internal` stands for them.
 * @param after a place, or empty.
 * @throws {CellpassError} `invalid` for a wrong place.
 */
export async function* allowedSubjects(
  directory: DirectoryQuestions,
  question: WhoQuestion,
  after: string,
): Steps {
  const { part, rest } = readPlace(after);
  const open = openRows(question);
  if (part === undefined) yield open.map((row) => ({ row, place: 'open:' }));
  if (open.some(({ kind }) => kind === 'anyone')) return;
  const isOpenToUsers = open.length > 0;
  const goesOn = (one: (typeof PARTS)[number]): boolean =>
    PARTS.indexOf(one) >= PARTS.indexOf(part ?? 'open');
  const place = (one: string): string => (part === one ? rest : '');
  if (goesOn('user')) yield* users(directory, question, { isOpenToUsers, after: place('user') });
  if (goesOn('deploy')) yield* deployTokens(directory, question, place('deploy'));
  yield* jobs(directory, question, place('job'));
}

function readPlace(after: string): { part: (typeof PARTS)[number] | undefined; rest: string } {
  if (after === '') return { part: undefined, rest: '' };
  const colon = after.indexOf(':');
  const part = PARTS.find((one) => one === after.slice(0, colon));
  const rest = after.slice(colon + 1);
  const isWhole =
    part === 'user' ? /^\d{1,16}:\d:\d{1,16}$/.test(rest) : part !== 'deploy' || /^\d{1,16}$/.test(rest);
  if (part !== undefined && isWhole) return { part, rest };
  throw new CellpassError('invalid', `after must be the "next" of a page, and ${after} is none`);
}

function openRows(question: WhoQuestion): readonly AllowedSubject[] {
  const { facts, now, project } = question;
  const anyone = grantOf(ANONYMOUS, question, facts, now);
  if (anyone !== null) return [{ kind: 'anyone', name: '*', reason: anyone.reason }];
  if (grantOf(SOME_USER, question, facts, now) === null) return [];
  const others = isOpenToDeployTokens(question) ? ', and each deploy token with read_registry' : '';
  const reason = `${project.path} is internal: each user may who isn't external${others}`;
  return [{ kind: 'internal', name: '*', reason }];
}

/** In GitLab's dialect. */
function isOpenToDeployTokens(question: WhoQuestion): boolean {
  return grantOf(SOME_DEPLOY_TOKEN, question, question.facts, question.now) !== null;
}

/** The facts about one project only, which is as good as the source's. */
function about(facts: Facts, project: Project): Facts {
  return { ...facts, projects: [project] };
}

async function* users(
  directory: DirectoryQuestions,
  question: WhoQuestion,
  { isOpenToUsers, after: first }: { readonly isOpenToUsers: boolean; readonly after: string },
): Steps {
  const { project, facts, now } = question;
  const roles = rolesThatMay(
    project,
    (withRole) => grantOf(SOME_EXTERNAL_USER, question, about(facts, withRole), now) !== null,
  );
  let after = first;
  for (let isLast = false; !isLast; ) {
    const [userId = 0, rank = 0, id = 0] = after.split(':').map(Number);
    const place = after === '' ? null : { userId, rank, id };
    const holders = await directory.findHolders({ projectId: project.id, roles, after: place, limit: BATCH });
    isLast = holders.length < BATCH;
    const shown = holders.filter(({ account }) => account.external || !isOpenToUsers);
    const granted = await decideEach(
      directory,
      question,
      shown.map((holder) => ({
        key: holder,
        subject: subjectOf(holder, question),
      })),
    );
    yield holders.map((holder) => {
      after = `${holder.place.userId}:${holder.place.rank}:${holder.place.id}`;
      const reason = granted.get(holder);
      return { row: reason === undefined ? null : rowOf(holder, reason), place: `user:${after}` };
    });
  }
}

/** A string: it has no access, and why. */
function subjectOf(
  holder: Holder,
  { facts, now }: WhoQuestion,
): SubjectOrReason<UserSubject> | 'no_credential' {
  const { account, token, identity, hasTokens } = holder;
  const reading = { now, dialect: dialectOf(facts.instance) };
  if (token !== null) return fromAccessToken(token, reading);
  if (identity !== null) {
    const proof = { name: identity.name, issuer: identity.issuer, subject: null, jti: null };
    return fromIdentity(identity, proof, { ...reading, username: ID_TOKEN_USERNAME }, null);
  }
  // Only GitLab has them: who acts for somebody else has no credential that is judged here.
  if (account.unjudged === 'composite_identity') return account.unjudged;
  const isBot = account.kind === 'project_bot' || account.kind === 'group_bot';
  // A bot can do nothing without a token, and a service account that has some does nothing without.
  if (isBot || (account.kind === 'service_account' && hasTokens)) return 'no_credential';
  return whyNoLogin(account, reading.dialect) ?? toUser(account, null);
}

function rowOf({ account, token, identity }: Holder, reason: string): AllowedSubject {
  if (identity !== null)
    return { kind: 'identity', name: identity.name, credential: `identity-${identity.name}`, reason };
  const kind = account.kind === 'human' ? 'user' : account.kind;
  return { kind, name: account.username, ...(token && { credential: `access-${token.id}` }), reason };
}

interface Candidate<K> {
  readonly key: K;
  readonly subject: SubjectOrReason | 'no_credential';
}

/** The reasons of those that are granted the action. */
async function decideEach<K>(
  directory: DirectoryQuestions,
  question: WhoQuestion,
  candidates: readonly Candidate<K>[],
): Promise<ReadonlyMap<K, string>> {
  const able = candidates.flatMap(({ key, subject }) =>
    typeof subject === 'string' ? [] : [{ key, subject }],
  );
  const ids = new Map<string, SubjectIds>();
  for (const { subject } of able) ids.set(JSON.stringify(idsOf(subject)), idsOf(subject));
  if (ids.size === 0) return new Map();
  const facts = await directory.factsOfEach([...ids.values()], projectPaths(question.name));
  const factsById = new Map([...ids.keys()].map((id, at) => [id, facts[at]]));
  return new Map(
    able.flatMap(({ key, subject }): [K, string][] => {
      const own = factsById.get(JSON.stringify(idsOf(subject)));
      const grant = own && grantOf(subject, question, own, question.now);
      return grant ? [[key, grant.reason]] : [];
    }),
  );
}

async function* deployTokens(directory: DirectoryQuestions, question: WhoQuestion, first: string): Steps {
  let after = Number(first);
  for (let isLast = false; !isLast; ) {
    const tokens = await directory.findDeployTokens(question.project.id, after, BATCH);
    isLast = tokens.length < BATCH;
    const granted = await decideEach(
      directory,
      question,
      tokens.map((key) => ({ key, subject: fromDeployToken(key, question) })),
    );
    yield tokens.map((token) => {
      after = token.id;
      const reason = granted.get(token);
      const row = { kind: 'deploy_token' as const, name: token.username, credential: `deploy-${token.id}` };
      return { row: reason === undefined ? null : { ...row, reason }, place: `deploy:${after}` };
    });
  }
}

async function* jobs(directory: DirectoryQuestions, question: WhoQuestion, first: string): Steps {
  let after = first;
  for (let isLast = false; !isLast; ) {
    const entries = await directory.findJobEntries(question.project.id, after, BATCH);
    isLast = entries.length < BATCH;
    yield entries.map((entry) => {
      after = entry.key;
      return { row: jobRow(entry, question), place: `job:${after}` };
    });
  }
}

/** Decides about some job of the entry whose user has every role: the user decides about the rest. */
function jobRow({ name, access }: JobEntry, question: WhoQuestion): AllowedSubject | null {
  const { project, facts, now, action } = question;
  const isOwn = access === 'own';
  const job: JobSubject = {
    kind: 'job',
    jobId: 0,
    projectId: isOwn ? project.id : 0,
    projectPath: name,
    person: SOME_PERSON,
    abilities: JOB_ABILITIES,
    expiresAt: null,
  };
  const owned = {
    ...withRole(project, 'owner'),
    jobAccess: access === 'own' ? ('not_listed' as const) : access,
  };
  const grant = grantOf(job, question, about(facts, owned), now);
  if (grant === null) return null;
  const ifUserMay = `the job runs in ${project.path}, if its user may push there`;
  return { kind: 'job', name, reason: isOwn && action === 'push' ? ifUserMay : grant.reason };
}
