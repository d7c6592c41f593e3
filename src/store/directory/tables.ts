import type { DirectoryTables, TableName } from './rows.ts';

interface Table<R> {
  readonly key: readonly (keyof R & string)[];
  readonly columns: readonly (keyof R & string)[];
}

const RULE = [
  'project_id',
  'position',
  'pattern',
  'minimum_role_for_push',
  'minimum_role_for_delete',
] as const;

const SECRET = ['token_digest', 'token_prefix', 'token_routing'] as const;

/** Keys and columns of the directory's tables, each after those that it refers to. Columns that no document sets are left out. */
export const TABLES: { readonly [T in TableName]: Table<DirectoryTables[T]> } = {
  settings: {
    key: ['id'],
    columns: ['id', 'registry_enabled', 'maintenance_mode', 'password_authentication'],
  },
  organizations: { key: ['id'], columns: ['id', 'path', 'path_key', 'maintenance', 'position'] },
  users: {
    key: ['id'],
    columns: [
      'id',
      'organization_id',
      'username',
      'username_key',
      'email',
      'email_key',
      'kind',
      'state',
      'admin',
      'auditor',
      'external',
      'two_factor',
      'password_expired',
      'password_hash',
    ],
  },
  organization_users: { key: ['organization_id', 'user_id'], columns: ['organization_id', 'user_id'] },
  namespaces: {
    key: ['id'],
    columns: [
      'id',
      'type',
      'organization_id',
      'parent_id',
      'owner_id',
      'path',
      'path_key',
      'traversal_ids',
      'share_with_group_lock',
      'over_storage_limit',
      'archived',
      'ip_allowlist',
    ],
  },
  projects: {
    key: ['id'],
    columns: [
      'id',
      'namespace_id',
      'path',
      'path_key',
      'visibility',
      'container_registry',
      'archived',
      'deletion_scheduled',
      'ci_enabled',
      'job_token_open',
    ],
  },
  members: {
    key: ['user_id', 'source_type', 'source_id'],
    columns: ['user_id', 'source_type', 'source_id', 'role', 'expires_at'],
  },
  group_group_links: {
    key: ['shared_group_id', 'shared_with_group_id'],
    columns: ['shared_group_id', 'shared_with_group_id', 'role', 'expires_at'],
  },
  project_group_links: {
    key: ['project_id', 'group_id'],
    columns: ['project_id', 'group_id', 'role', 'expires_at'],
  },
  job_token_project_links: {
    key: ['project_id', 'target_project_id'],
    columns: ['project_id', 'target_project_id'],
  },
  job_token_group_links: {
    key: ['project_id', 'target_group_id'],
    columns: ['project_id', 'target_group_id'],
  },
  protected_repositories: { key: ['project_id', 'position'], columns: RULE },
  protected_tags: { key: ['project_id', 'position'], columns: [...RULE, 'immutable'] },
  access_tokens: {
    key: ['id'],
    columns: [
      'id',
      'kind',
      'name',
      'user_id',
      'project_id',
      'group_id',
      'scopes',
      'expires_at',
      'revoked',
      'minted',
      ...SECRET,
    ],
  },
  deploy_tokens: {
    key: ['id'],
    columns: ['id', 'name', 'username', 'scopes', 'group_id', 'expires_at', 'revoked', 'minted', ...SECRET],
  },
  project_deploy_tokens: {
    key: ['deploy_token_id', 'project_id'],
    columns: ['deploy_token_id', 'project_id'],
  },
  job_tokens: {
    key: ['id'],
    columns: ['id', 'project_id', 'user_id', 'running', 'expires_at', 'token_digest'],
  },
  revoked_secrets: { key: ['token_digest'], columns: ['token_digest', 'revoked_at'] },
};
