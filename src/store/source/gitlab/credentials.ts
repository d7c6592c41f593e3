import type {
  AccessTokenRecord,
  CredentialRecords,
  DeployTokenRecord,
  JobRecord,
} from '../../../authn/account.ts';
import { type PersonReading, type PersonRow, toAccount, toTime } from './people.ts';
import type { SettingsRow } from './settings.ts';
import type { Shape } from './shape.ts';
import { columnOr, GIVEN, type Refer } from './statement.ts';

interface AccessTokenRow {
  readonly id: number;
  readonly name: string;
  readonly user_id: number;
  /** YAML of a list. */
  readonly scopes: string;
  readonly revoked: boolean | null;
  /** `yyyy-mm-dd`. */
  readonly expires_at: string | null;
  readonly granular: boolean | null;
}

export interface DeployTokenRow {
  readonly id: number;
  readonly username: string;
  readonly revoked: boolean | null;
  readonly expires_at: string | null;
  readonly read_registry: boolean | null;
  readonly write_registry: boolean | null;
}

/** A job, as CI's tables have it. */
export interface JobRow {
  readonly id: number;
  readonly project_id: number | null;
  readonly user_id: number | null;
  readonly scoped_user_id: number | null;
  readonly status: string | null;
  readonly erased_at: string | null;
}

/** What the main database has about a job's project. */
interface JobProjectRow {
  readonly path: string | null;
  readonly pending_delete: boolean | null;
  readonly builds: number | null;
  readonly outbound_limited: boolean | null;
}

export interface CredentialRow extends SettingsRow {
  readonly access_token?: AccessTokenRow | null;
  readonly deploy_token?: DeployTokenRow | null;
  readonly job?: JobRow | null;
  readonly job_project?: JobProjectRow | null;
  readonly oauth?: boolean | null;
  /** The owner of the token, or the user of the job. */
  readonly owner?: PersonRow | null;
  /** Whom the login name finds. */
  readonly account?: PersonRow | null;
}

/** As one column: the `AccessTokenRow` of `t` as JSON. */
export function accessTokenColumn(shape: Shape): string {
  const column = columnOr(shape, 'personal_access_tokens', 't');
  return `json_build_object('id', t.id, 'name', ${column('name', "''")}, 'user_id', t.user_id, 'scopes', t.scopes,
        'revoked', t.revoked, 'expires_at', t.expires_at, 'granular', ${column('granular', 'false')})`;
}

/** A relation `pat` with the access token that `condition` selects. */
export function accessTokenRelation(shape: Shape, condition: string): string {
  return `
    LEFT JOIN LATERAL (
      SELECT t.id, t.user_id, ${accessTokenColumn(shape)} AS record
      FROM personal_access_tokens AS t WHERE ${condition} LIMIT 1 OFFSET 0) AS pat ON true`;
}

/** As one column: the `DeployTokenRow` of `t` as JSON. */
export const DEPLOY_TOKEN_COLUMN = `json_build_object('id', t.id, 'username', coalesce(t.username, 'gitlab+deploy-token-' || t.id),
        'revoked', t.revoked, 'expires_at', t.expires_at, 'read_registry', t.read_registry, 'write_registry', t.write_registry)`;

/**
 * A relation `deploy` with the deploy token that `condition` selects. Without an order: with one the
 * planner would read the tokens by their ids.
 */
export function deployTokenRelation(condition: string): string {
  return `
    LEFT JOIN LATERAL (
      SELECT t.id, ${DEPLOY_TOKEN_COLUMN} AS record
      FROM deploy_tokens AS t WHERE ${condition} LIMIT 1 OFFSET 0) AS deploy ON true`;
}

/** Rails writes this into the column for single-table inheritance. */
const BUILD = "b.type = 'Ci::Build'";

/**
 * A relation `job` with at most one row. By a token it looks into the token's partition first,
 * because only there is a look-up in one index.
 */
export function jobRelation(shape: Shape, refer: Refer): string {
  return `
    LEFT JOIN LATERAL (${jobRows(shape, refer)}) AS job ON true`;
}

/** The same for CI's tables in a database of their own: one column, `job`. */
export function jobStatementText(shape: Shape, refer: Refer): string {
  return `SELECT job.record AS job FROM ${GIVEN} CROSS JOIN LATERAL (${jobRows(shape, refer)}) AS job`;
}

function jobRows(shape: Shape, refer: Refer): string {
  const column = columnOr(shape, 'p_ci_builds', 'b');
  const select = `
    SELECT b.id, b.project_id, b.user_id, json_build_object('id', b.id, 'project_id', b.project_id, 'user_id', b.user_id,
      'scoped_user_id', ${column('scoped_user_id', 'NULL')}, 'status', b.status, 'erased_at', ${column('erased_at', 'NULL')}) AS record
    FROM p_ci_builds AS b WHERE ${BUILD}`;
  const byToken = `b.token_encrypted = ANY (${refer('encrypted')})`;
  return `
    (${select} AND b.id = ${refer('jobId')} LIMIT 1)
    UNION ALL (${select} AND b.partition_id = ${refer('partition')} AND ${byToken} LIMIT 1)
    UNION ALL (${select} AND ${byToken} LIMIT 1)
    LIMIT 1 OFFSET 0`;
}

/** As one column: the `JobProjectRow` of a project as JSON. */
export function jobProjectColumn(shape: Shape, projectId: string): string {
  const project = columnOr(shape, 'projects', 'own');
  const outbound = shape.has('project_ci_cd_settings', 'job_token_scope_enabled')
    ? '(SELECT job_token_scope_enabled FROM project_ci_cd_settings WHERE project_id = own.id LIMIT 1)'
    : 'false';
  return `(
    SELECT json_build_object(
      'path', (SELECT path FROM routes WHERE source_type = 'Project' AND source_id = own.id LIMIT 1),
      'pending_delete', ${project('pending_delete', 'false')},
      'builds', (SELECT builds_access_level FROM project_features WHERE project_id = own.id LIMIT 1),
      'outbound_limited', ${outbound})
    FROM projects AS own WHERE own.id = ${projectId})`;
}

/** What a row does not say. */
export interface CredentialReading extends PersonReading {
  /** When a job token that is a JWT ends. */
  readonly jobEndsAt: Date | null;
  readonly isCompositeJwt: boolean;
}

export function toCredentialRecords(row: CredentialRow, reading: CredentialReading): CredentialRecords {
  const { access_token: token, deploy_token: deployToken, job, oauth } = row;
  return {
    passwordAuthentication: row.password_authentication,
    job: job ? toJob(job, row, reading) : null,
    accessToken: token ? toAccessToken(token, row, reading) : null,
    deployToken: deployToken ? toDeployToken(deployToken) : null,
    account: row.account ? toAccount(row.account, reading) : null,
    dialect: 'gitlab',
    ...(oauth === true && { oauthToken: 'recorded' }),
  };
}

/** Null, as if it were unknown: its owner is gone, or access tokens are switched off. */
function toAccessToken(
  token: AccessTokenRow,
  { owner, access_tokens_off }: CredentialRow,
  reading: CredentialReading,
): AccessTokenRecord | null {
  if (!owner) return null;
  if (reading.isEnterprise && (access_tokens_off === true || owner.tokens_off === true)) return null;
  return {
    id: token.id,
    name: token.name,
    scopes: parseScopes(token.scopes),
    expiresOn: token.expires_at,
    revoked: token.revoked === true,
    owner: toAccount(owner, reading),
    ...(owner.composite === true && { unjudged: 'composite_identity' }),
    ...(token.granular === true && { unjudged: 'granular_token' }),
  };
}

/** No scope at all, and none that can be read. */
const UNREADABLE = ['(unreadable)'];
const EMPTY = /^---\s*\[\s*\]\s*$/;
const FLOW = /^---\s*\[(.*)\]\s*$/;
const SCOPE = /^\s*-\s*:?(["']?)([a-z0-9_]+(?::\S+)?)\1\s*$/;

/**
 * The scopes of an access token, which Rails keeps as the YAML of a list of texts or symbols. A
 * line that can't be read gives no scope.
 */
export function parseScopes(yaml: string): readonly string[] {
  if (EMPTY.test(yaml.trim())) return [];
  const flow = FLOW.exec(yaml.trim())?.[1];
  const lines = flow === undefined ? yaml.split('\n') : flow.split(',').map((item) => `- ${item.trim()}`);
  const scopes = lines.flatMap((line) => SCOPE.exec(line)?.[2] ?? []);
  // An empty list would count as `api`.
  return scopes.length === 0 ? UNREADABLE : scopes;
}

/** A token whose `revoked` is null is not active (`DeployToken.active`). */
export function toDeployToken(row: DeployTokenRow): DeployTokenRecord {
  const expiresAt = toTime(row.expires_at);
  return {
    id: row.id,
    username: row.username,
    scopes: [
      ...(row.read_registry === true ? ['read_registry'] : []),
      ...(row.write_registry === true ? ['write_registry'] : []),
    ],
    expiresAt: expiresAt === null ? null : new Date(expiresAt),
    revoked: row.revoked !== false,
  };
}

/** `Ci::HasStatus::EXECUTING_STATUSES`. */
const EXECUTING: ReadonlySet<string | null> = new Set(['running', 'canceling']);

/** Null, as if it were unknown: its project or its user is gone. */
function toJob(
  job: JobRow,
  { job_project: project, owner }: CredentialRow,
  reading: CredentialReading,
): JobRecord | null {
  if (!project || job.project_id === null || (job.user_id !== null && !owner)) return null;
  const user = job.user_id === null ? null : owner;
  const isComposite = job.scoped_user_id !== null || reading.isCompositeJwt || user?.composite === true;
  return {
    id: job.id,
    projectId: job.project_id,
    projectPath: (project.path ?? '').toLowerCase(),
    running: EXECUTING.has(job.status) && job.erased_at === null,
    expiresAt: reading.jobEndsAt,
    ciEnabled: (project.builds ?? 0) > 0,
    deletionScheduled: project.pending_delete === true,
    user: user ? toAccount(user, reading, { inJob: true }) : null,
    ...(isComposite && { unjudged: 'composite_identity' }),
  };
}
