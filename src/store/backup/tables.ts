/**
 * What a backup has of each table. A test compares both lists with the tables of the database, so
 * that each new table must be put into one of them.
 */

/** How the rows of a table are read and written. */
export interface BackedUpTable {
  readonly name: string;
  /** An expression of columns: rows come before the rows that refer to them. */
  readonly order: string;
  /** True: a migration writes the only row, which the restored one replaces. */
  readonly replacesRow?: true;
}

/** In this order, rows come after the rows of other tables that they refer to. */
export const BACKED_UP: readonly BackedUpTable[] = [
  { name: 'settings', order: 'id', replacesRow: true },
  { name: 'organizations', order: 'id' },
  { name: 'users', order: 'id' },
  { name: 'organization_users', order: 'organization_id, user_id' },
  // Parents first.
  { name: 'namespaces', order: 'cardinality(traversal_ids), id' },
  { name: 'projects', order: 'id' },
  { name: 'members', order: 'user_id, source_type, source_id' },
  { name: 'group_group_links', order: 'shared_group_id, shared_with_group_id' },
  { name: 'project_group_links', order: 'project_id, group_id' },
  { name: 'job_token_project_links', order: 'project_id, target_project_id' },
  { name: 'job_token_group_links', order: 'project_id, target_group_id' },
  { name: 'protected_repositories', order: 'project_id, position' },
  { name: 'protected_tags', order: 'project_id, position' },
  { name: 'federated_identities', order: 'id' },
  { name: 'access_tokens', order: 'id' },
  { name: 'deploy_tokens', order: 'id' },
  { name: 'project_deploy_tokens', order: 'deploy_token_id, project_id' },
  { name: 'job_tokens', order: 'id' },
  { name: 'revoked_secrets', order: 'token_digest' },
  { name: 'revoked_identities', order: 'name, identity_id' },
  { name: 'revoked_id_tokens', order: 'token_key' },
  // Without these, an ID token could be exchanged a second time.
  { name: 'exchanged_id_tokens', order: 'token_key' },
  { name: 'certificate_authorities', order: 'created_at, id' },
  { name: 'signing_keys', order: 'created_at, kid' },
  { name: 'admin_tokens', order: 'id' },
  // Who changed the directory, and from what, so that a restored change can be undone.
  { name: 'history', order: 'id' },
  { name: 'history_entries', order: 'change_id, position' },
  { name: 'history_rows', order: 'change_id, position' },
  { name: 'former_names', order: 'section, name, entry_id' },
  // Who changed keys and admin tokens.
  { name: 'audit_events', order: 'id' },
];

/** Tables that a backup leaves out, and why. Partitions count as their table. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  schema_migrations: 'the header names the last migration, and a restore applies them',
  directory_version: 'a restored directory must have a version of its own',
  group_versions: 'triggers write it when namespaces are restored',
  refusals: 'a record, kept for days',
  issued_tokens: 'a record, which may be larger than everything else together',
  comparison_differences: 'a record, kept for days',
  comparison_counts: 'a record, kept for days',
  failed_attempts: 'counts of the last minutes',
  record_sizes: 'the size of records that are left out',
  retention_turns: 'when this database was last cleaned',
  replica_clocks: 'the clocks of replicas that run now',
};
