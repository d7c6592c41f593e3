import { isMapping } from '../../mapping.ts';
import type {
  AccessTokenRow,
  DeployTokenRow,
  FederatedIdentityRow,
  GroupGroupLinkRow,
  JobTokenGroupLinkRow,
  JobTokenProjectLinkRow,
  JobTokenRow,
  MemberRow,
  NamespaceRow,
  OrganizationRow,
  OrganizationUserRow,
  ProjectDeployTokenRow,
  ProjectGroupLinkRow,
  ProjectRow,
  ProtectedRepositoryRow,
  ProtectedTagRow,
  RevokedSecretRow,
  SettingsRow,
  UserRow,
} from './rows.ts';

interface Columns<R> {
  readonly key: readonly (keyof R & string)[];
  /** Without columns that no document sets. */
  readonly columns: readonly (keyof R & string)[];
}

export interface Table<R> extends Columns<R> {
  /** The row's key as one string. */
  readonly keyOf: (row: R) => string;
  /** Whether two rows have the same values in all columns. */
  readonly isSame: (a: R, b: R) => boolean;
}

function describe<R>({ key, columns }: Columns<R>): Table<R> {
  return {
    key,
    columns,
    keyOf: (row) => key.map((column) => String(row[column])).join(':'),
    isSame: (a, b) => columns.every((column) => isSameValue(a[column], b[column])),
  };
}

function isSameValue(a: unknown, b: unknown): boolean {
  if (isMapping(a) && isMapping(b)) return isSameMapping(a, b);
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

/** PostgreSQL does not keep the order of the members. */
function isSameMapping(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && isSameValue(a[name], b[name]))
  );
}

const RULE = [
  'project_id',
  'position',
  'pattern',
  'minimum_role_for_push',
  'minimum_role_for_delete',
] as const;

const SECRET = ['token_digest', 'token_prefix', 'token_routing'] as const;

/** The only list of the directory's tables. A table comes after those that it refers to. */
const DESCRIPTIONS = {
  settings: describe<SettingsRow>({
    key: ['id'],
    columns: ['id', 'registry_enabled', 'maintenance_mode', 'password_authentication'],
  }),
  organizations: describe<OrganizationRow>({
    key: ['id'],
    columns: ['id', 'path', 'path_key', 'maintenance', 'position'],
  }),
  users: describe<UserRow>({
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
  }),
  organization_users: describe<OrganizationUserRow>({
    key: ['organization_id', 'user_id'],
    columns: ['organization_id', 'user_id'],
  }),
  namespaces: describe<NamespaceRow>({
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
  }),
  projects: describe<ProjectRow>({
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
  }),
  members: describe<MemberRow>({
    key: ['user_id', 'source_type', 'source_id'],
    columns: ['user_id', 'source_type', 'source_id', 'role', 'expires_at'],
  }),
  group_group_links: describe<GroupGroupLinkRow>({
    key: ['shared_group_id', 'shared_with_group_id'],
    columns: ['shared_group_id', 'shared_with_group_id', 'role', 'expires_at'],
  }),
  project_group_links: describe<ProjectGroupLinkRow>({
    key: ['project_id', 'group_id'],
    columns: ['project_id', 'group_id', 'role', 'expires_at'],
  }),
  job_token_project_links: describe<JobTokenProjectLinkRow>({
    key: ['project_id', 'target_project_id'],
    columns: ['project_id', 'target_project_id'],
  }),
  job_token_group_links: describe<JobTokenGroupLinkRow>({
    key: ['project_id', 'target_group_id'],
    columns: ['project_id', 'target_group_id'],
  }),
  protected_repositories: describe<ProtectedRepositoryRow>({
    key: ['project_id', 'position'],
    columns: RULE,
  }),
  protected_tags: describe<ProtectedTagRow>({
    key: ['project_id', 'position'],
    columns: [...RULE, 'immutable'],
  }),
  federated_identities: describe<FederatedIdentityRow>({
    key: ['id'],
    columns: [
      'id',
      'name',
      'issuer',
      'kind',
      'user_id',
      'project_id',
      'group_id',
      'scopes',
      'claims',
      'lookup_keys',
      'expires_at',
    ],
  }),
  access_tokens: describe<AccessTokenRow>({
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
      'ends_at',
      'identity_id',
      'identity_name',
      'identity_issuer',
      'identity_subject',
      'identity_jti',
    ],
  }),
  deploy_tokens: describe<DeployTokenRow>({
    key: ['id'],
    columns: ['id', 'name', 'username', 'scopes', 'group_id', 'expires_at', 'revoked', 'minted', ...SECRET],
  }),
  project_deploy_tokens: describe<ProjectDeployTokenRow>({
    key: ['deploy_token_id', 'project_id'],
    columns: ['deploy_token_id', 'project_id'],
  }),
  job_tokens: describe<JobTokenRow>({
    key: ['id'],
    columns: ['id', 'project_id', 'user_id', 'running', 'expires_at', 'token_digest'],
  }),
  revoked_secrets: describe<RevokedSecretRow>({
    key: ['token_digest'],
    columns: ['token_digest', 'revoked_at'],
  }),
};

export type TableName = keyof typeof DESCRIPTIONS;
type RowOf<D> = D extends Table<infer R> ? R : never;
/** The row of each table. */
export type DirectoryTables = { readonly [T in TableName]: RowOf<(typeof DESCRIPTIONS)[T]> };
/** The same list, with the type that generic code needs. */
export const TABLES: { readonly [T in TableName]: Table<DirectoryTables[T]> } = DESCRIPTIONS;

/** In the order of `TABLES`. */
export const TABLE_NAMES: readonly TableName[] = Object.keys(TABLES).filter(isTableName);

function isTableName(name: string): name is TableName {
  return name in TABLES;
}

/** Tables whose new rows get ids from a sequence. */
const TABLES_WITH_SEQUENCE = [
  'organizations',
  'users',
  'namespaces',
  'projects',
  'access_tokens',
  'deploy_tokens',
  'job_tokens',
  'federated_identities',
] as const satisfies readonly TableName[];

/** `unnamed` gives ids to bots and personal namespaces, which no document names. */
export type IdSource = (typeof TABLES_WITH_SEQUENCE)[number] | 'unnamed';
