import { createHash } from 'node:crypto';
import type { CredentialRecords } from '../../../authn/account.ts';
import {
  type DirectorySource,
  idsOf,
  type SourceAnswer,
  type SourceQuestion,
  type SubjectQuestion,
} from '../../../authn/source.ts';
import { LONGEST_TTL_SECONDS, SHORTEST_LIFE_SECONDS } from '../../../config/periods.ts';
import { CellpassError } from '../../../errors.ts';
import { ANONYMOUS, type Subject } from '../../../policy/subject.ts';
import type { Sql } from '../../database/drivers.ts';
import { unfit, withCurrent } from './changes.ts';
import { type CiDatabase, openCi } from './ci.ts';
import { type CredentialRow, type JobRow, toCredentialRecords } from './credentials.ts';
import type { JobLinks } from './job-links.ts';
import { type JobClaims, type JobTokenForm, jobTokenForm, verifyJobJwt } from './job-token.ts';
import type { PersonReading } from './people.ts';
import { type ProjectRow, toProjects } from './projects.ts';
import type { SettingsRow } from './settings.ts';
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

type Row = CredentialRow & {
  readonly user_id: number | null;
  readonly deploy_token_id: number | null;
  readonly job_project_id: number | null;
  readonly projects: readonly ProjectRow[] | null;
  readonly [column: string]: unknown;
};

/** What a row does not say about a job. */
interface JobContext {
  readonly claims: JobClaims | null;
  /** From CI's own database. */
  readonly job?: JobRow;
  readonly links?: ReadonlyMap<number, JobLinks>;
}

const NO_JOB: JobContext = { claims: null };
const NO_LINKS: ReadonlyMap<number, JobLinks> = new Map();

/**
 * GitLab's own database as the source of the directory. It remembers nothing between requests: each
 * asks once, and twice for a job where CI has a database of its own.
 */
export function createGitlabSource(options: GitlabSourceOptions): GitlabSource {
  const { main, keys, isEnterprise, now } = options;
  const state = createState(options);
  const ownCi = options.ci && openCi(options.ci, options);
  /** Where the jobs are: null for the main database. */
  const ciOf = ({ ciIsElsewhere }: GitlabState): CiDatabase | null => {
    if (!ciIsElsewhere) return null;
    if (ownCi === null) throw noCi();
    return ownCi;
  };

  const query = async (statement: GitlabStatement, values: Partial<Values>): Promise<Row> => {
    const [row] = await main.query<Row>(statement, valuesFor(statement, values));
    if (row === undefined) throw unfit("GitLab's database has no row in application_settings");
    return row;
  };
  const personReading = (settings: SettingsRow): PersonReading => ({ settings, isEnterprise, now: now() });
  const toRecords = (row: CredentialRow, { claims, job }: JobContext): CredentialRecords =>
    toCredentialRecords(job === undefined ? row : { ...row, job }, {
      ...personReading(row),
      jobEndsAt: claims?.expiresAt ?? null,
      isCompositeJwt: claims !== null && claims.scopedUserId !== null,
    });
  const toFacts = (row: Row, { links = NO_LINKS }: JobContext): SourceAnswer['facts'] => ({
    instance: {
      registryEnabled: true,
      maintenanceMode: isEnterprise && row.maintenance_mode === true,
      dialect: 'gitlab',
      ...(options.write === null && { listIsClosed: true }),
      ...(row.token_expire_delay !== null && { tokenTtlSeconds: lifeOf(row.token_expire_delay) }),
    },
    projects: toProjects(row.projects ?? [], {
      settings: row,
      isEnterprise,
      outboundLimited: row.job_project?.outbound_limited === true,
      links,
    }),
  });
  const toAnswer = (row: Row, context: JobContext): SourceAnswer => {
    if (row.external_authorization === true) throw externalAuthorization();
    return {
      credentials: toRecords(row, context),
      facts: toFacts(row, context),
      about: {
        userId: row.user_id,
        deployTokenId: row.deploy_token_id,
        jobProjectId: row.job_project_id,
      },
    };
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
  ): Promise<SourceAnswer> => {
    const { userId, deployTokenId, jobProjectId } = idsOf(subject);
    const row = await query(known.statements.facts(), { paths, userId, deployTokenId, jobProjectId });
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

const MINUTE_SECONDS = 60;

/** GitLab's setting is in minutes; clients need a minute at least. */
function lifeOf(minutes: number): number {
  return Math.min(Math.max(minutes * MINUTE_SECONDS, SHORTEST_LIFE_SECONDS), LONGEST_TTL_SECONDS);
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

function externalAuthorization(): CellpassError {
  return new CellpassError(
    'unavailable',
    'this GitLab asks another service who may do what (external_authorization_service_enabled), which cellpass cannot',
    { reason: 'external_authorization', retryAfterSeconds: 60 },
  );
}
