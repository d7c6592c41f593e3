import type { MinimumRole, Role } from '../../../src/policy/role.ts';
import type { UserRow } from '../../../src/store/directory/rows.ts';
import type { DirectoryRows } from '../../../src/store/directory/table-values.ts';
import type { GitlabKeys } from '../../../src/store/source/gitlab/keys.ts';

/** Rows of one of GitLab's tables, by the names of their columns. */
export type GitlabRows = ReadonlyMap<string, readonly Readonly<Record<string, unknown>>[]>;

export interface Secrets {
  /** The secret that has this SHA-256, in hexadecimal. */
  secretOf(sha256: string): string;
  /** A hash, as GitLab keeps it, of the password that cellpass keeps this hash of. */
  gitlabHashOf(ownHash: string): string;
}

const LEVELS: Readonly<Record<MinimumRole, number>> = {
  minimal_access: 5,
  guest: 10,
  planner: 15,
  reporter: 20,
  security_manager: 25,
  developer: 30,
  maintainer: 40,
  owner: 50,
  admin: 60,
};
const VISIBILITY = { private: 0, internal: 10, public: 20 } as const;
const REGISTRY = { disabled: 0, private: 10, enabled: 20 } as const;
const USER_TYPES: Readonly<Record<UserRow['kind'], number>> = {
  human: 0,
  service_account: 13,
  project_bot: 6,
  group_bot: 6,
};
const FOREVER = '3000-01-01T00:00:00Z';
const PAST = '2020-01-31T00:00:00';
/** What only GitLab has; a test writes it itself. */
const NOT_IN_OWN_TABLES = [
  'group_deletion_schedules',
  'identities',
  'saml_providers',
  'webauthn_registrations',
  'namespace_bans',
  'oauth_access_tokens',
  'container_repositories',
  'personal_access_token_last_used_ips',
];
const level = (role: MinimumRole | null): number | null => (role === null ? null : LEVELS[role]);

/**
 * The same directory as GitLab has it: the rows of cellpass's own tables in the shape of GitLab's,
 * with the roles that GitLab's background jobs would have worked out by `today` (`yyyy-mm-dd`).
 */
export function toGitlabRows(
  rows: DirectoryRows,
  {
    keys,
    secrets,
    today,
    jobKey,
  }: {
    readonly keys: GitlabKeys;
    readonly secrets: Secrets;
    readonly today: string;
    readonly jobKey: { readonly value: string; readonly iv: string } | null;
  },
): GitlabRows {
  const [settings] = rows.settings;
  const digestOf = (token_digest: string): string => secrets.secretOf(token_digest.replace(/^\\x/, ''));
  const encrypted = (token_digest: string): string => keys.encryptedTokens(digestOf(token_digest))[0] ?? '';
  return new Map<string, readonly Readonly<Record<string, unknown>>[]>([
    ...NOT_IN_OWN_TABLES.map((table) => [table, []] as const),
    [
      'application_settings',
      [
        {
          id: 1,
          maintenance_mode: settings?.maintenance_mode ?? false,
          password_authentication_enabled_for_git: settings?.password_authentication ?? true,
          email_confirmation_setting: 2,
          enforce_ci_inbound_job_token_scope_enabled: false,
          encrypted_ci_job_token_signing_key: jobKey?.value ?? null,
          encrypted_ci_job_token_signing_key_iv: jobKey?.iv ?? null,
        },
      ],
    ],
    [
      'feature_gates',
      [{ feature_key: 'organization_maintenance_enforcement', key: 'boolean', value: 'true' }],
    ],
    [
      'organizations',
      rows.organizations.map(({ id, path, maintenance }) => ({ id, path, state: maintenance ? 6 : 4 })),
    ],
    [
      'organization_users',
      rows.organization_users.map((owner) => ({ ...owner, access_level: LEVELS.owner })),
    ],
    ['users', rows.users.map((user) => toUser(user, secrets))],
    ['user_details', rows.users.map((user) => ({ user_id: user.id, bot_namespace_id: homeOf(user, rows) }))],
    [
      'namespaces',
      rows.namespaces.map((row) => ({
        id: row.id,
        type: row.type,
        path: row.path.split('/').at(-1),
        parent_id: row.parent_id,
        owner_id: row.owner_id,
        traversal_ids: row.traversal_ids,
        organization_id: row.organization_id,
        share_with_group_lock: row.share_with_group_lock,
        state: row.archived ? 1 : 0,
      })),
    ],
    ['namespace_settings', rows.namespaces.map(({ id, archived }) => ({ namespace_id: id, archived }))],
    [
      'routes',
      [
        ...rows.namespaces.map(({ id, path }) => ({ source_type: 'Namespace', source_id: id, path })),
        ...rows.projects.map(({ id, path }) => ({ source_type: 'Project', source_id: id, path })),
      ],
    ],
    [
      'ip_restrictions',
      rows.namespaces.flatMap(({ id, ip_allowlist }) =>
        ip_allowlist.map((range) => ({ group_id: id, range })),
      ),
    ],
    [
      'projects',
      rows.projects.map((row) => ({
        id: row.id,
        namespace_id: row.namespace_id,
        path: row.path.split('/').at(-1),
        visibility_level: VISIBILITY[row.visibility],
        archived: row.archived,
        pending_delete: row.deletion_scheduled,
        marked_for_deletion_at: row.deletion_scheduled ? today : null,
        organization_id: rows.namespaces.find(({ id }) => id === row.namespace_id)?.organization_id,
      })),
    ],
    [
      'project_features',
      rows.projects.map(({ id, container_registry, ci_enabled }) => ({
        project_id: id,
        container_registry_access_level: REGISTRY[container_registry],
        builds_access_level: ci_enabled ? 20 : 0,
      })),
    ],
    [
      'project_ci_cd_settings',
      rows.projects.map(({ id, job_token_open }) => ({
        project_id: id,
        inbound_job_token_scope_enabled: !job_token_open,
      })),
    ],
    ['project_authorizations', authorizations(rows, today)],
    [
      'container_registry_protection_rules',
      rows.protected_repositories.map((rule) => ({
        project_id: rule.project_id,
        repository_path_pattern: rule.pattern,
        minimum_access_level_for_push: level(rule.minimum_role_for_push),
        minimum_access_level_for_delete: level(rule.minimum_role_for_delete),
      })),
    ],
    [
      'container_registry_protection_tag_rules',
      rows.protected_tags.map((rule) => ({
        project_id: rule.project_id,
        tag_name_pattern: rule.pattern,
        ...(!rule.immutable && {
          // GitLab wants both; a minimum that a document leaves out asks for nothing more than pushing.
          minimum_access_level_for_push: level(rule.minimum_role_for_push ?? 'developer'),
          minimum_access_level_for_delete: level(rule.minimum_role_for_delete ?? 'developer'),
        }),
      })),
    ],
    [
      'personal_access_tokens',
      rows.access_tokens.map((token) => ({
        id: token.id,
        user_id: token.user_id,
        name: token.name,
        scopes:
          token.scopes.length === 0
            ? '--- []\n'
            : `---\n${token.scopes.map((scope) => `- ${scope}\n`).join('')}`,
        revoked: token.revoked,
        expires_at: token.expires_at,
        token_digest: keys.accessTokenDigests(digestOf(token.token_digest))[0],
      })),
    ],
    [
      'deploy_tokens',
      rows.deploy_tokens.map((token) => ({
        id: token.id,
        name: token.username,
        username: token.username,
        revoked: token.revoked,
        expires_at: token.expires_at ?? FOREVER,
        read_registry: token.scopes.includes('read_registry'),
        write_registry: token.scopes.includes('write_registry'),
        deploy_token_type: token.group_id === null ? 2 : 1,
        token_encrypted: encrypted(token.token_digest),
      })),
    ],
    ['project_deploy_tokens', rows.project_deploy_tokens.map((row) => ({ ...row }))],
    [
      'group_deploy_tokens',
      rows.deploy_tokens.flatMap(({ id, group_id }) =>
        group_id === null ? [] : [{ deploy_token_id: id, group_id }],
      ),
    ],
    [
      'p_ci_builds',
      rows.job_tokens.map((job) => ({
        id: job.id,
        partition_id: 100 + (job.id % 3),
        type: 'Ci::Build',
        status:
          job.running && (job.expires_at === null || job.expires_at > new Date().toISOString())
            ? 'running'
            : 'success',
        project_id: job.project_id,
        user_id: job.user_id,
        token_encrypted: encrypted(job.token_digest),
      })),
    ],
    [
      'ci_job_token_project_scope_links',
      rows.job_token_project_links.map((link) => ({
        source_project_id: link.project_id,
        target_project_id: link.target_project_id,
        direction: 1,
      })),
    ],
    [
      'ci_job_token_group_scope_links',
      rows.job_token_group_links.map((link) => ({
        source_project_id: link.project_id,
        target_group_id: link.target_group_id,
      })),
    ],
    ['ci_project_mirrors', rows.projects.map(({ id, namespace_id }) => ({ project_id: id, namespace_id }))],
    [
      'ci_namespace_mirrors',
      rows.namespaces.map(({ id, traversal_ids }) => ({ namespace_id: id, traversal_ids })),
    ],
  ]);
}

/** The group of a group bot. */
function homeOf({ id, kind }: UserRow, { members }: DirectoryRows): number | null {
  if (kind !== 'group_bot') return null;
  const membership = members.find(
    ({ user_id, source_type }) => user_id === id && source_type === 'Namespace',
  );
  return membership?.source_id ?? null;
}

function toUser(user: UserRow, secrets: Secrets): Readonly<Record<string, unknown>> {
  return {
    id: user.id,
    username: user.username,
    email: user.email ?? `${user.username}@users.example`,
    encrypted_password: user.password_hash === null ? '' : secrets.gitlabHashOf(user.password_hash),
    state: user.state === 'blocked' || user.state === 'deactivated' ? user.state : 'active',
    admin: user.admin,
    auditor: user.auditor,
    external: user.external,
    user_type: USER_TYPES[user.kind],
    confirmed_at: user.state === 'unconfirmed' ? null : PAST,
    locked_at: user.state === 'locked' ? new Date().toISOString().replace('Z', '') : null,
    password_expires_at: user.password_expired ? PAST : null,
    otp_required_for_login: user.two_factor,
  };
}

type Authorization = Readonly<Record<'user_id' | 'project_id' | 'access_level', number>>;

/** The highest role of each user on each project, by GitLab's own sources of roles. */
function authorizations(rows: DirectoryRows, today: string): readonly Authorization[] {
  const counts = ({ expires_at }: { readonly expires_at: string | null }): boolean =>
    expires_at === null || expires_at > today;
  const namespaces = new Map(rows.namespaces.map((row) => [row.id, row]));
  const membersOf = (
    type: 'Namespace' | 'Project',
    id: number,
  ): readonly (readonly [user: number, role: Role])[] =>
    rows.members
      .filter((row) => row.source_type === type && row.source_id === id && counts(row))
      .map(({ user_id, role }) => [user_id, role]);
  const found: Authorization[] = [];
  for (const project of rows.projects) {
    const above = (namespaces.get(project.namespace_id)?.traversal_ids ?? []).flatMap(
      (id) => namespaces.get(id) ?? [],
    );
    const levels = new Map<number, number>();
    const add = (user: number, role: Role, most: Role = 'owner'): void => {
      const given = Math.min(LEVELS[role], LEVELS[most]);
      levels.set(user, Math.max(levels.get(user) ?? 0, given));
    };
    for (const [user, role] of membersOf('Project', project.id)) add(user, role);
    for (const group of above) {
      for (const [user, role] of membersOf('Namespace', group.id)) add(user, role);
      if (group.type === 'User' && group.owner_id !== null) add(group.owner_id, 'owner');
      for (const link of rows.group_group_links) {
        if (link.shared_group_id !== group.id || !counts(link)) continue;
        for (const [user, role] of membersOf('Namespace', link.shared_with_group_id))
          add(user, role, link.role);
      }
    }
    const isLocked = above.some(({ share_with_group_lock }) => share_with_group_lock);
    for (const link of rows.project_group_links) {
      if (isLocked || link.project_id !== project.id || !counts(link)) continue;
      for (const [user, role] of membersOf('Namespace', link.group_id)) add(user, role, link.role);
    }
    for (const [user_id, access_level] of levels)
      found.push({ user_id, project_id: project.id, access_level });
  }
  return found;
}
