import { createHash } from 'node:crypto';
import type { CredentialRecords } from '../../../authn/account.ts';
import {
  type DirectorySource,
  idsOf,
  type SourceAnswer,
  type SourceQuestion,
  type SubjectIds,
  type SubjectQuestion,
} from '../../../authn/source.ts';
import type { CellpassError } from '../../../errors.ts';
import { ANONYMOUS, type Subject } from '../../../policy/subject.ts';
import type { Sql } from '../../database/drivers.ts';
import { unfit, withCurrent } from './changes.ts';
import { type CiDatabase, openCi } from './ci.ts';
import { findJobLinks, type JobLink } from './job-links.ts';
import { type JobClaims, type JobTokenForm, jobTokenForm, verifyJobJwt } from './job-token.ts';
import { type AnswerRow, createReading, type JobContext, NO_JOB, type Reading } from './reading.ts';
import { createState, type GitlabState, type StateOptions } from './state.ts';
import { type GitlabStatement, type Values, valuesFor } from './statement.ts';
import { noteRepositories } from './writes.ts';

export interface GitlabSource extends DirectorySource {
  /** @throws {CellpassError} `unavailable` when the database does not answer, or lacks something. */
  look(): Promise<GitlabState>;
  /** Whether jobs can be looked up; resolves also where CI has no database of its own. */
  pingCi(): Promise<void>;
  /** Costs what a password of this GitLab costs, and is nobody's. */
  passwordDecoy(): string;
  /** What the database looks like, for `work`; where an upgrade changed that, looks anew, once. */
  withState<T>(work: (known: GitlabState) => Promise<T>): Promise<T>;
  /** For administrators, past the connections of token requests. */
  readonly aside: GitlabAside;
}

/** Parts of answers, by a connection that the caller has. */
export interface GitlabAside {
  readonly isEnterprise: boolean;
  readonly toRecords: Reading['toRecords'];
  factsOfOne(
    known: GitlabState,
    sql: Sql,
    subject: Subject,
    paths: readonly string[],
  ): Promise<SourceAnswer['facts']>;
  /** About users and deploy tokens, in their order, and the same paths. One round trip. */
  factsOfEach(
    known: GitlabState,
    sql: Sql,
    subjects: readonly SubjectIds[],
    paths: readonly string[],
  ): Promise<readonly SourceAnswer['facts'][]>;
  /** The job token allowlist of a project. */
  findJobLinks(known: GitlabState, sql: Sql, projectId: number): Promise<readonly JobLink[]>;
}

export interface GitlabSourceOptions extends StateOptions {
  /** Whether GitLab has a licence, so that what needs one counts. */
  readonly isEnterprise: boolean;
  /** CI's own database; null: no setting names one. */
  readonly ci: Sql | null;
  /** Null: cellpass writes nothing. */
  readonly write: Sql | null;
  readonly now: () => Date;
}

/**
 * GitLab's own database as the source of the directory. It remembers nothing between requests: each
 * asks once, and twice for a job where CI has a database of its own.
 */
export function createGitlabSource(options: GitlabSourceOptions): GitlabSource {
  const { main, keys, now } = options;
  const { toRecords, toFacts, toAnswer } = createReading(options);
  const state = createState(options);
  const ownCi = options.ci && openCi(options.ci, options);
  /** Where the jobs are: null for the main database. */
  const ciOf = ({ ciIsElsewhere }: GitlabState): CiDatabase | null => {
    if (!ciIsElsewhere) return null;
    if (ownCi === null) throw noCi();
    return ownCi;
  };

  const query = async (
    statement: GitlabStatement,
    values: Partial<Values>,
    sql: Sql = main,
  ): Promise<AnswerRow> => {
    const [row] = await sql.query<AnswerRow>(statement, valuesFor(statement, values));
    if (row === undefined) throw unfit("GitLab's database has no row in application_settings");
    return row;
  };
  const claimsOf = async (form: JobTokenForm | null, known: GitlabState): Promise<JobClaims | null> => {
    if (form?.kind !== 'jwt') return null;
    const claims = known.jobKey && (await verifyJobJwt(form.jwt, known.jobKey, now()));
    if (claims !== null) return claims;
    const fresh = await state.renewKey(known);
    if (fresh === known || fresh.jobKey === null) return null;
    return verifyJobJwt(form.jwt, fresh.jobKey, now());
  };

  const askSecret = async (
    known: GitlabState,
    { secret, username, kinds }: SourceQuestion,
    paths: readonly string[],
  ): Promise<SourceAnswer> => {
    if (known.keys === 'wrong') throw wrongKey();
    const text = secret.reveal();
    const form = kinds.includes('job') ? jobTokenForm(text) : null;
    const password = kinds.includes('password');
    const claims = await claimsOf(form, known);
    const values: Partial<Values> = {
      paths,
      digests: keys.accessTokenDigests(text),
      encrypted: keys.encryptedTokens(text),
      oauth: [createHash('sha512').update(text).digest('hex')],
      login: username.trim().toLowerCase(),
      partition: form?.kind === 'stored' ? form.partition : null,
      jobId: claims?.jobId ?? null,
    };
    const { statements } = known;
    if (form === null) {
      const answer = withOauth(await ask('no', values, NO_JOB), known, username);
      return REFUSED_PASSWORDS.has(text) ? withoutPassword(answer) : answer;
    }
    const ci = ciOf(known);
    if (ci === null) return ask('look', values, { claims });
    const [job, ids] = await Promise.all([ci.findJob(values), projectIds(paths)]);
    if (job === null || job.project_id === null) return ask('no', values, NO_JOB);
    const given = { ...values, jobId: job.id, jobProjectId: job.project_id, userId: job.user_id };
    const [row, links] = await Promise.all([
      query(statements.ask({ job: 'found', password }), given),
      ci.links(ids, job.project_id),
    ]);
    return toAnswer(row, { claims, job, links });

    async function ask(
      jobs: 'no' | 'look',
      asked: Partial<Values>,
      context: JobContext,
    ): Promise<SourceAnswer> {
      return toAnswer(await query(statements.ask({ job: jobs, password }), asked), context);
    }
    async function projectIds(of: readonly string[]): Promise<readonly number[]> {
      const statement = statements.projectIds();
      return (await main.query<{ id: number }>(statement, valuesFor(statement, { paths: of }))).map(
        ({ id }) => id,
      );
    }
  };

  const factsOf = async (
    known: GitlabState,
    subject: Subject,
    paths: readonly string[],
    sql: Sql = main,
  ): Promise<SourceAnswer> => {
    const { userId, deployTokenId, jobProjectId } = idsOf(subject);
    const row = await query(known.statements.facts(), { paths, userId, deployTokenId, jobProjectId }, sql);
    const ci = jobProjectId === null ? null : ciOf(known);
    if (ci === null || jobProjectId === null) return toAnswer(row, NO_JOB);
    const ids = (row.projects ?? []).map(({ id }) => id);
    return toAnswer(row, { claims: null, links: await ci.links(ids, jobProjectId) });
  };

  const findRecords = async (known: GitlabState, question: SubjectQuestion): Promise<CredentialRecords> => {
    const { statements } = known;
    switch (question.kind) {
      case 'token':
        return toRecords(await query(statements.findToken(), { tokenId: question.id }), NO_JOB);
      case 'deploy_token':
        return toRecords(
          await query(statements.findDeployToken(), { deployTokenName: question.name }),
          NO_JOB,
        );
      case 'deploy_token_id':
        return toRecords(await query(statements.findDeployToken(), { deployTokenId: question.id }), NO_JOB);
      case 'user':
        return toRecords(await query(statements.findUser(), { login: question.name.toLowerCase() }), NO_JOB);
      case 'identity':
        throw new Error('identities are in the settings, not in GitLab: see configured-identities.ts');
      case 'job': {
        const ci = ciOf(known);
        const job = ci === null ? undefined : await ci.findJob({ jobId: question.id, encrypted: [] });
        if (job === undefined)
          return toRecords(await query(statements.findJob(), { jobId: question.id, encrypted: [] }), NO_JOB);
        const values = {
          jobId: job?.id ?? null,
          jobProjectId: job?.project_id ?? null,
          userId: job?.user_id ?? null,
        };
        const row = await query(statements.findJob(), values);
        return toRecords(row, job === null ? NO_JOB : { claims: null, job });
      }
    }
  };

  const withState = <T>(work: (known: GitlabState) => Promise<T>): Promise<T> => withCurrent(state, work);
  return {
    ask: (question, paths) =>
      withState((known) =>
        question === null ? factsOf(known, ANONYMOUS, paths) : askSecret(known, question, paths),
      ),
    facts: async (subject, paths) => (await withState((known) => factsOf(known, subject, paths))).facts,
    find: (question) => withState((known) => findRecords(known, question)),
    ping: () =>
      withState(async (known) => {
        await query(known.statements.facts(), { paths: [] });
      }),
    listRepositories: async (repositories) => {
      if (options.write !== null) await noteRepositories(options.write, repositories);
    },
    look: () => state.get(),
    withState,
    aside: {
      isEnterprise: options.isEnterprise,
      toRecords,
      factsOfOne: async (known, sql, subject, paths) => (await factsOf(known, subject, paths, sql)).facts,
      factsOfEach: async (known, sql, subjects, paths) => {
        const statement = known.statements.factsOfEach();
        const values = {
          paths,
          userIds: subjects.map(({ userId }) => userId),
          deployTokenIds: subjects.map(({ deployTokenId }) => deployTokenId),
        };
        const rows = await sql.query<AnswerRow>(statement, valuesFor(statement, values));
        return rows.map((row) => toFacts(row, NO_JOB));
      },
      findJobLinks: (known, sql, projectId) => {
        const ci = ciOf(known);
        return ci === null ? findJobLinks(sql, known.shape, projectId) : ci.entries(projectId);
      },
    },
    pingCi: async () => {
      await ciOf(await state.get())?.ping();
    },
    passwordDecoy: () => state.last()?.passwordDecoy ?? '',
  };
}

/** Where OAuth tokens may not be read, the login name that GitLab's documents give for them tells. */
function withOauth(answer: SourceAnswer, { shape }: GitlabState, username: string): SourceAnswer {
  const { accessToken, deployToken } = answer.credentials;
  const isKnown = accessToken !== null || deployToken !== null;
  if (isKnown || username !== 'oauth2' || shape.has('oauth_access_tokens', 'token')) return answer;
  return { ...answer, credentials: { ...answer.credentials, oauthToken: 'by_login_name' } };
}

/** GitLab gave it to accounts by mistake (CVE-2022-1162; `User::DISALLOWED_PASSWORDS`). */
const REFUSED_PASSWORDS: ReadonlySet<string> = new Set(['123qweQWE!@#000000000']);

function withoutPassword(answer: SourceAnswer): SourceAnswer {
  const { account } = answer.credentials;
  if (account === null) return answer;
  return { ...answer, credentials: { ...answer.credentials, account: { ...account, passwordHash: null } } };
}

/** Each token would look unknown. */
function wrongKey(): CellpassError {
  return unfit(
    "db_key_base is no longer this GitLab's: CELLPASS_GITLAB_SECRETS_FILE must name its file, and the server start again",
  );
}

function noCi(): CellpassError {
  return unfit(
    'the CI tables of this GitLab are in another database, so job tokens need CELLPASS_GITLAB_CI_DATABASE_URL',
  );
}
