import type { CredentialAnswer, CredentialLookup, CredentialQuestion } from '../authn/account.ts';
import type { SecretKind } from '../cells/credential-form.ts';
import type { Subject } from '../policy/subject.ts';
import {
  ACCESS_TOKEN,
  ACCOUNT,
  type CredentialRow,
  DEPLOY_TOKEN,
  JOB,
  toCredentialAnswer,
} from './accounts.ts';
import type { Sql, Statement } from './drivers.ts';
import {
  type AskedIds,
  type Facts,
  type FactsRow,
  findFacts,
  idsOf,
  projectFacts,
  toFacts,
} from './facts.ts';

/**
 * What one token request asks the database: who has this secret, and what about these projects for whoever that is. Both come in one
 * round trip, because the way there and back costs more than the answer.
 */
export interface Inquiry extends CredentialLookup {
  /** How the subject stands to the projects. Costs nothing more where the subject is whose secret it was. */
  findFacts(subject: Subject): Promise<Facts>;
}

/** `$1` paths, `$2` digest, `$3` login. A token that is there by its secret comes before an account that has the name. */
const INQUIRE: Readonly<Record<SecretKind, Statement>> = {
  job: {
    name: 'inquire-job',
    isHot: true,
    text: `
      SELECT settings.password_authentication, settings.registry_enabled, settings.maintenance_mode, job.record AS job, ${askedIds()}, found.projects
      FROM settings ${JOB}
      CROSS JOIN LATERAL (
        SELECT $1::text[] AS paths, job.user_id, NULL::bigint AS deploy_token_id, job.project_id AS job_project_id OFFSET 0) AS asked
      ${projectFacts(['memberships', 'job'])}`,
  },
  token: {
    name: 'inquire-token',
    isHot: true,
    text: `
      SELECT settings.password_authentication, settings.registry_enabled, settings.maintenance_mode, access_token.known, access_token.record AS access_token, deploy_token.record AS deploy_token,
        ${askedIds()}, found.projects
      FROM settings ${ACCESS_TOKEN} ${DEPLOY_TOKEN}
      CROSS JOIN LATERAL (
        SELECT $1::text[] AS paths, CASE WHEN deploy_token.id IS NULL THEN access_token.user_id END AS user_id,
          deploy_token.id AS deploy_token_id, NULL::bigint AS job_project_id OFFSET 0) AS asked
      ${projectFacts(['memberships', 'deployToken'])}`,
  },
  token_or_password: {
    name: 'inquire-token-or-password',
    isHot: true,
    text: `
      SELECT settings.password_authentication, settings.registry_enabled, settings.maintenance_mode, access_token.known, access_token.record AS access_token, deploy_token.record AS deploy_token,
        account.account, ${askedIds()}, found.projects
      FROM settings ${ACCESS_TOKEN} ${DEPLOY_TOKEN} ${ACCOUNT}
      CROSS JOIN LATERAL (
        SELECT $1::text[] AS paths, deploy_token.id AS deploy_token_id, NULL::bigint AS job_project_id,
          CASE WHEN access_token.known THEN access_token.user_id WHEN deploy_token.id IS NULL THEN account.id END AS user_id OFFSET 0) AS asked
      ${projectFacts(['memberships', 'deployToken'])}`,
  },
};

function askedIds(): string {
  return 'asked.user_id, asked.deploy_token_id, asked.job_project_id';
}

interface InquiryRow extends FactsRow, Partial<CredentialRow> {
  readonly password_authentication: boolean;
  readonly user_id: number | null;
  readonly deploy_token_id: number | null;
  readonly job_project_id: number | null;
}

/** @param paths of the projects that could own what is asked, in lower case. */
export function inquire(sql: Sql, paths: readonly string[]): Inquiry {
  let known: { readonly about: AskedIds; readonly facts: Facts } | undefined;
  return {
    async findCredentials({ digest, kind, loginKey }: CredentialQuestion): Promise<CredentialAnswer> {
      const params = [[...paths], digest, ...(kind === 'token_or_password' ? [loginKey] : [])];
      const [row] = await sql.query<InquiryRow>(INQUIRE[kind], params);
      const facts = toFacts(row);
      if (row !== undefined) known = { about: toIds(row), facts };
      return toCredentialAnswer(row);
    },
    // Facts about one subject never decide about another.
    findFacts: async (subject) =>
      known !== undefined && areSame(known.about, idsOf(subject))
        ? known.facts
        : findFacts(sql, subject, paths),
  };
}

function toIds({ user_id, deploy_token_id, job_project_id }: InquiryRow): AskedIds {
  return { userId: user_id, deployTokenId: deploy_token_id, jobProjectId: job_project_id };
}

function areSame(one: AskedIds, other: AskedIds): boolean {
  return (
    one.userId === other.userId &&
    one.deployTokenId === other.deployTokenId &&
    one.jobProjectId === other.jobProjectId
  );
}
