import type { CredentialRecords } from '../../../authn/account.ts';
import type { SourceAnswer } from '../../../authn/source.ts';
import { LONGEST_TTL_SECONDS, SHORTEST_LIFE_SECONDS } from '../../../config/periods.ts';
import { CellpassError } from '../../../errors.ts';
import { type CredentialRow, type JobRow, toCredentialRecords } from './credentials.ts';
import type { JobLinks } from './job-links.ts';
import type { JobClaims } from './job-token.ts';
import { type ProjectRow, toProjects } from './projects.ts';

/** What the rows of GitLab's database mean. */

export type AnswerRow = CredentialRow & {
  readonly user_id: number | null;
  readonly deploy_token_id: number | null;
  readonly job_project_id: number | null;
  readonly projects: readonly ProjectRow[] | null;
  readonly [column: string]: unknown;
};

/** What a row does not say about a job. */
export interface JobContext {
  readonly claims: JobClaims | null;
  /** From CI's own database. */
  readonly job?: JobRow;
  readonly links?: ReadonlyMap<number, JobLinks>;
}

export const NO_JOB: JobContext = { claims: null };
const NO_LINKS: ReadonlyMap<number, JobLinks> = new Map();

export interface Reading {
  toRecords(row: CredentialRow, context: JobContext): CredentialRecords;
  /** @throws {CellpassError} `unavailable` where another service decides. */
  toFacts(row: AnswerRow, context: JobContext): SourceAnswer['facts'];
  /** @throws {CellpassError} `unavailable` where another service decides. */
  toAnswer(row: AnswerRow, context: JobContext): SourceAnswer;
}

interface ReadingOptions {
  /** Whether GitLab has a licence, so that what needs one counts. */
  readonly isEnterprise: boolean;
  /** Null: cellpass can't list new repositories. */
  readonly write: object | null;
  readonly now: () => Date;
}

export function createReading({ isEnterprise, write, now }: ReadingOptions): Reading {
  const toRecords: Reading['toRecords'] = (row, { claims, job }) =>
    toCredentialRecords(job === undefined ? row : { ...row, job }, {
      settings: row,
      isEnterprise,
      now: now(),
      jobEndsAt: claims?.expiresAt ?? null,
      isCompositeJwt: claims !== null && claims.scopedUserId !== null,
    });
  const toFacts: Reading['toFacts'] = (row, { links = NO_LINKS }) => {
    if (row.external_authorization === true) throw externalAuthorization();
    return {
      instance: {
        registryEnabled: true,
        maintenanceMode: isEnterprise && row.maintenance_mode === true,
        dialect: 'gitlab',
        ...(write === null && { listIsClosed: true }),
        ...(row.token_expire_delay !== null && { tokenTtlSeconds: lifeOf(row.token_expire_delay) }),
      },
      projects: toProjects(row.projects ?? [], {
        settings: row,
        isEnterprise,
        outboundLimited: row.job_project?.outbound_limited === true,
        links,
      }),
    };
  };
  return {
    toRecords,
    toFacts,
    toAnswer: (row, context) => ({
      credentials: toRecords(row, context),
      facts: toFacts(row, context),
      about: {
        userId: row.user_id,
        deployTokenId: row.deploy_token_id,
        jobProjectId: row.job_project_id,
      },
    }),
  };
}

const MINUTE_SECONDS = 60;

/** GitLab's setting is in minutes; clients need a minute at least. */
function lifeOf(minutes: number): number {
  return Math.min(Math.max(minutes * MINUTE_SECONDS, SHORTEST_LIFE_SECONDS), LONGEST_TTL_SECONDS);
}

function externalAuthorization(): CellpassError {
  return new CellpassError(
    'unavailable',
    'this GitLab asks another service who may do what (external_authorization_service_enabled), which cellpass cannot',
    { reason: 'external_authorization', retryAfterSeconds: 60 },
  );
}
