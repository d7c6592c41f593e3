import type { Row, Sql } from '../database/drivers.ts';
import { parseRow } from './read-rows.ts';
import { TABLES, type TableName } from './tables.ts';

interface Reference {
  readonly to: TableName;
  readonly from: TableName;
  readonly column: string;
  /** More that a row must fulfil. */
  readonly where?: string;
}

/** Exchanged tokens go with their identity, and end soon in any case. */
const NOT_EXCHANGED = 't.identity_id IS NULL';

/** Rows that the database removes together with what they refer to, or that keep it from going. */
const REFERENCES: readonly Reference[] = [
  { to: 'organizations', from: 'users', column: 'organization_id' },
  { to: 'organizations', from: 'namespaces', column: 'organization_id' },
  { to: 'organizations', from: 'organization_users', column: 'organization_id' },
  { to: 'users', from: 'namespaces', column: 'owner_id' },
  { to: 'users', from: 'members', column: 'user_id' },
  { to: 'users', from: 'organization_users', column: 'user_id' },
  { to: 'users', from: 'access_tokens', column: 'user_id', where: NOT_EXCHANGED },
  { to: 'users', from: 'federated_identities', column: 'user_id' },
  { to: 'users', from: 'job_tokens', column: 'user_id' },
  { to: 'namespaces', from: 'namespaces', column: 'parent_id' },
  { to: 'namespaces', from: 'projects', column: 'namespace_id' },
  { to: 'namespaces', from: 'members', column: 'source_id', where: `t.source_type = 'Namespace'` },
  { to: 'namespaces', from: 'access_tokens', column: 'group_id' },
  { to: 'namespaces', from: 'deploy_tokens', column: 'group_id' },
  { to: 'namespaces', from: 'federated_identities', column: 'group_id' },
  { to: 'namespaces', from: 'group_group_links', column: 'shared_group_id' },
  { to: 'namespaces', from: 'group_group_links', column: 'shared_with_group_id' },
  { to: 'namespaces', from: 'project_group_links', column: 'group_id' },
  { to: 'namespaces', from: 'job_token_group_links', column: 'target_group_id' },
  { to: 'projects', from: 'members', column: 'source_id', where: `t.source_type = 'Project'` },
  { to: 'projects', from: 'access_tokens', column: 'project_id' },
  { to: 'projects', from: 'federated_identities', column: 'project_id' },
  { to: 'projects', from: 'job_tokens', column: 'project_id' },
  { to: 'projects', from: 'project_deploy_tokens', column: 'project_id' },
  { to: 'projects', from: 'project_group_links', column: 'project_id' },
  { to: 'projects', from: 'job_token_project_links', column: 'project_id' },
  { to: 'projects', from: 'job_token_project_links', column: 'target_project_id' },
  { to: 'projects', from: 'job_token_group_links', column: 'project_id' },
  { to: 'projects', from: 'protected_repositories', column: 'project_id' },
  { to: 'projects', from: 'protected_tags', column: 'project_id' },
  { to: 'deploy_tokens', from: 'project_deploy_tokens', column: 'deploy_token_id' },
];

/** The keys of all rows that refer to rows of a table, as `Table.keyOf` makes them. */
export async function findReferring(
  sql: Sql,
  to: TableName,
  ids: readonly number[],
): Promise<readonly { readonly table: TableName; readonly key: string }[]> {
  const found: { readonly table: TableName; readonly key: string }[] = [];
  if (ids.length === 0) return found;
  for (const { from, column, where = 'true' } of REFERENCES.filter((one) => one.to === to)) {
    const rows = await sql.query<Row & { readonly row: string }>(
      `SELECT to_jsonb(t)::text AS row FROM ${from} AS t WHERE t.${column} = ANY ($1::bigint[]) AND ${where}`,
      [[...ids]],
    );
    for (const { row } of rows) found.push({ table: from, key: keyOfText(from, row) });
  }
  return found;
}

function keyOfText<T extends TableName>(table: T, text: string): string {
  return TABLES[table].keyOf(parseRow<T>(text));
}
