import type { AccessTokenRecord, Account, IdentityRecord } from '../../../authn/account.ts';
import type { Row, Sql } from '../../database/drivers.ts';
import { identityRecords } from '../../federation/identities.ts';
import type { Holder, HolderQuestion, JobEntry } from '../questions.ts';

/**
 * Who may have access to one project: $1 the project, $2 roles, $3 to $5 the place of the page
 * before, $6 the limit. From each source of a role (the project, the groups above it, and the groups
 * that are invited to them) it reads no more users than the page can hold, in the order of an index.
 */
const FIND_HOLDERS = `
  WITH place AS MATERIALIZED (
    SELECT project.id, namespace.traversal_ids, namespace.owner_id, namespace.organization_id
    FROM projects AS project JOIN namespaces AS namespace ON namespace.id = project.namespace_id WHERE project.id = $1),
  source AS MATERIALIZED (
    SELECT 'Project' AS type, id FROM place
    UNION SELECT 'Namespace', unnest(traversal_ids) FROM place
    UNION SELECT 'Namespace', link.shared_with_group_id
    FROM place JOIN group_group_links AS link ON link.shared_group_id = ANY (place.traversal_ids) WHERE link.role = ANY ($2::text[])
    UNION SELECT 'Namespace', link.group_id
    FROM place JOIN project_group_links AS link ON link.project_id = place.id WHERE link.role = ANY ($2::text[])),
  holder AS MATERIALIZED (
    SELECT id FROM (
      SELECT member.user_id AS id FROM source CROSS JOIN LATERAL (
        SELECT user_id FROM members
        WHERE source_type = source.type AND source_id = source.id AND user_id >= $3 AND role = ANY ($2::text[])
        ORDER BY user_id LIMIT $6 + 1) AS member
      UNION SELECT owner_id FROM place WHERE owner_id >= $3
      UNION (SELECT owner.user_id FROM place JOIN organization_users AS owner ON owner.organization_id = place.organization_id
        WHERE owner.user_id >= $3 ORDER BY owner.user_id LIMIT $6 + 1)
      UNION (SELECT id FROM users WHERE id >= $3 AND (admin OR auditor) ORDER BY id LIMIT $6 + 1)
    ) AS found ORDER BY id LIMIT $6 + 1)
  SELECT holder.id AS user_id, account.account, credential.rank, credential.id, credential.record,
    EXISTS (SELECT FROM access_tokens WHERE user_id = holder.id AND identity_name IS NULL) AS has_tokens
  FROM holder JOIN accounts AS account ON account.id = holder.id
  CROSS JOIN LATERAL (
    SELECT 0 AS rank, 0::bigint AS id, NULL::json AS record WHERE holder.id > $3 OR $4 < 0
    UNION ALL (
      SELECT 1, token.id, token.record FROM access_token_records AS token
      WHERE token.user_id = holder.id AND account.account ->> 'kind' <> 'human' AND (holder.id > $3 OR (1, token.id) > ($4, $5))
      ORDER BY token.id LIMIT $6)
    UNION ALL (
      SELECT 2, one.id, ${identityRecords('identity.id = one.id')} -> 0 FROM federated_identities AS one
      WHERE one.user_id = holder.id AND (holder.id > $3 OR (2, one.id) > ($4, $5))
      ORDER BY one.id LIMIT $6)
  ) AS credential
  ORDER BY holder.id, credential.rank, credential.id LIMIT $6`;

interface HolderRow extends Row {
  readonly user_id: number;
  readonly account: Account;
  readonly has_tokens: boolean;
  readonly rank: number;
  readonly id: number;
  readonly record: unknown;
}
type TypedHolderRow = HolderRow &
  (
    | { readonly rank: 0; readonly record: null }
    | { readonly rank: 1; readonly record: AccessTokenRecord }
    | { readonly rank: 2; readonly record: IdentityRecord }
  );

/** Fewer than `limit`: there are no more. */
export async function findHolders(
  sql: Sql,
  { projectId, roles, after, limit }: HolderQuestion,
): Promise<readonly Holder[]> {
  const { userId, rank, id } = after ?? { userId: 0, rank: -1, id: 0 };
  const rows = await sql.query<TypedHolderRow>(FIND_HOLDERS, [
    projectId,
    [...roles],
    userId,
    rank,
    id,
    limit,
  ]);
  return rows.map((row) => ({
    place: { userId: row.user_id, rank: row.rank, id: row.id },
    account: row.account,
    hasTokens: row.has_tokens,
    token: row.rank === 1 ? row.record : null,
    identity: row.rank === 2 ? row.record : null,
  }));
}

const FIND_JOB_ENTRIES = `
  SELECT name, key, access FROM (
    SELECT '*' AS name, '*' AS key, 'anyone' AS access FROM projects WHERE id = $1 AND job_token_open
    UNION ALL SELECT path, path_key, 'own' FROM projects WHERE id = $1
    UNION ALL SELECT target.path, target.path_key, 'listed'
    FROM job_token_project_links AS link JOIN projects AS target ON target.id = link.target_project_id
    WHERE link.project_id = $1 AND target.id <> $1
    UNION ALL SELECT target.path, target.path_key, 'listed'
    FROM job_token_group_links AS link JOIN namespaces AS target ON target.id = link.target_group_id
    WHERE link.project_id = $1
  ) AS entry WHERE key COLLATE "C" > $2 ORDER BY key COLLATE "C" LIMIT $3`;

export function findJobEntries(
  sql: Sql,
  projectId: number,
  after: string,
  limit: number,
): Promise<readonly JobEntry[]> {
  return sql.query<JobEntry & Row>(FIND_JOB_ENTRIES, [projectId, after, limit]);
}

/** The ids of the deploy tokens of a project; `deploy_token_records` has the records. */
export const FIND_DEPLOY_TOKENS = `
  SELECT record.id, record.record AS deploy_token
  FROM deploy_token_records AS record
  WHERE record.id IN (
    SELECT token.id FROM projects AS project JOIN namespaces AS namespace ON namespace.id = project.namespace_id
    JOIN deploy_tokens AS token ON token.group_id = ANY (namespace.traversal_ids) WHERE project.id = $1
    UNION ALL SELECT deploy_token_id FROM project_deploy_tokens WHERE project_id = $1)
  AND record.id > $2 ORDER BY record.id LIMIT $3`;
