/**
 * Every table and column of GitLab's database that cellpass reads or writes: for finding out what a
 * GitLab has, for `gitlab grants`, and for `gitlab check`. The source is GitLab's `db/structure.sql`
 * of about 19.5; the versions are from its `db/docs`.
 */

export type DatabaseName = 'main' | 'ci';

interface UsedTable {
  readonly database: DatabaseName;
  /** Without one of these nothing can be judged. */
  readonly required: readonly string[];
  /** Those that came or went with a version: what a missing one means counts as absent. */
  readonly optional?: readonly string[];
  /** Those that an admin may keep back. */
  readonly withheld?: readonly string[];
  /** What does not count where the table or an optional column is missing; null: all is needed. */
  readonly without: string | null;
}

const main = (
  required: readonly string[],
  without: string | null,
  others: Pick<UsedTable, 'optional' | 'withheld'> = {},
): UsedTable => ({ database: 'main', required, without, ...others });
const ci = (
  required: readonly string[],
  without: string | null,
  others: Pick<UsedTable, 'optional'> = {},
): UsedTable => ({ database: 'ci', required, without, ...others });

export const TABLES: Readonly<Record<string, UsedTable>> = {
  application_settings: main(['id', 'password_authentication_enabled_for_git'], null, {
    optional: [
      'maintenance_mode',
      'container_registry_token_expire_delay',
      'email_confirmation_setting',
      'require_two_factor_authentication',
      'require_admin_two_factor_authentication',
      'two_factor_grace_period',
      'sign_in_restrictions',
      'failed_login_attempts_unlock_period_in_minutes',
      'disable_personal_access_tokens',
      'enforce_ci_inbound_job_token_scope_enabled',
      'globally_allowed_ips',
      'external_authorization_service_enabled',
      'encrypted_ci_job_token_signing_key',
      'encrypted_ci_job_token_signing_key_iv',
    ],
  }),
  users: main(['id', 'username', 'email', 'state', 'admin', 'user_type'], null, {
    optional: [
      'auditor',
      'external',
      'locked_at',
      'confirmed_at',
      'confirmation_sent_at',
      'password_expires_at',
      'password_automatically_set',
      'otp_required_for_login',
      'otp_grace_period_started_at',
      'require_two_factor_authentication_from_group',
      'two_factor_grace_period',
      'composite_identity_enforced',
      'managing_group_id',
    ],
    withheld: ['encrypted_password'],
  }),
  user_details: main(['user_id'], 'one-time passwords by e-mail, and tokens switched off by a company', {
    optional: ['bot_namespace_id', 'enterprise_group_id', 'email_otp_required_after'],
  }),
  webauthn_registrations: main(['user_id'], 'second factors by WebAuthn'),
  identities: main(['user_id', 'provider'], 'logins by LDAP, Crowd and single sign-on'),
  saml_providers: main(['group_id'], 'passwords switched off by a company (17.4)', {
    optional: ['enabled', 'disable_password_authentication_for_enterprise_users'],
  }),
  namespaces: main(['id', 'traversal_ids'], null, { optional: ['type', 'state'] }),
  namespace_settings: main(['namespace_id'], 'archived groups', {
    optional: ['archived', 'disable_personal_access_tokens'],
  }),
  group_deletion_schedules: main(['group_id'], 'groups that are scheduled for deletion'),
  projects: main(['id', 'namespace_id', 'visibility_level', 'archived'], null, {
    optional: ['project_namespace_id', 'pending_delete', 'marked_for_deletion_at', 'organization_id'],
  }),
  project_features: main(['project_id', 'container_registry_access_level', 'builds_access_level'], null),
  project_ci_cd_settings: main(['project_id'], 'open job token allowlists', {
    optional: ['inbound_job_token_scope_enabled', 'job_token_scope_enabled'],
  }),
  routes: main(['source_type', 'source_id', 'path'], null),
  project_authorizations: main(['user_id', 'project_id', 'access_level'], null),
  organizations: main(['id', 'path'], 'maintenance of an organization', { optional: ['state'] }),
  organization_users: main(['organization_id', 'user_id', 'access_level'], 'owners of organizations'),
  personal_access_tokens: main(['id', 'user_id', 'token_digest', 'scopes', 'revoked', 'expires_at'], null, {
    optional: ['name', 'granular', 'organization_id', 'last_used_at'],
    // Roles that were granted before cellpass read it lack it.
    withheld: ['created_at'],
  }),
  deploy_tokens: main(
    ['id', 'token_encrypted', 'username', 'revoked', 'expires_at', 'read_registry', 'write_registry'],
    null,
    { withheld: ['created_at'] },
  ),
  project_deploy_tokens: main(['project_id', 'deploy_token_id'], null),
  group_deploy_tokens: main(['group_id', 'deploy_token_id'], null),
  oauth_access_tokens: main([], 'that a secret is an OAuth token, but for the login name oauth2', {
    withheld: ['token', 'revoked_at'],
  }),
  ip_restrictions: main(['group_id', 'range'], 'IP allowlists'),
  namespace_bans: main(['namespace_id', 'user_id'], 'bans from a group'),
  container_registry_protection_rules: main(
    ['project_id', 'repository_path_pattern'],
    'protected repositories',
    {
      optional: [
        'id',
        'minimum_access_level_for_push',
        'minimum_access_level_for_delete',
        // Before 17.0.
        'push_protected_up_to_access_level',
        'delete_protected_up_to_access_level',
      ],
    },
  ),
  container_registry_protection_tag_rules: main(['project_id', 'tag_name_pattern'], 'protected tags (17.7)', {
    optional: ['id', 'minimum_access_level_for_push', 'minimum_access_level_for_delete'],
  }),
  container_repositories: main(['project_id', 'name'], 'which images GitLab lists'),
  feature_gates: main(['feature_key', 'key', 'value'], 'features that are switched on'),
  p_ci_builds: ci(
    ['id', 'partition_id', 'type', 'status', 'token_encrypted', 'project_id', 'user_id'],
    null,
    {
      optional: ['scoped_user_id', 'erased_at'],
    },
  ),
  ci_job_token_project_scope_links: ci(
    ['source_project_id', 'target_project_id', 'direction'],
    'projects in job token allowlists',
  ),
  ci_job_token_group_scope_links: ci(
    ['source_project_id', 'target_group_id'],
    'groups in job token allowlists (16.9)',
  ),
};

/** Where CI has a database of its own, the groups above a job's project are read there. */
export const CI_MIRRORS: Readonly<Record<string, UsedTable>> = {
  ci_project_mirrors: ci(['project_id', 'namespace_id'], 'groups in job token allowlists'),
  ci_namespace_mirrors: ci(['namespace_id', 'traversal_ids'], 'groups in job token allowlists'),
};

/** Columns that may be written, and what writing them takes. */
interface WritableTable {
  readonly insert?: readonly string[];
  readonly select?: readonly string[];
  readonly update?: readonly string[];
  readonly delete?: boolean;
  readonly sequence?: string;
}

/** What the role for writing needs, and nothing else. */
export const WRITES: Readonly<Record<string, WritableTable>> = {
  container_repositories: {
    insert: ['project_id', 'name', 'created_at', 'updated_at'],
    select: ['project_id', 'name'],
    sequence: 'container_repositories_id_seq',
  },
  personal_access_tokens: { update: ['last_used_at'], select: ['id', 'last_used_at', 'organization_id'] },
  personal_access_token_last_used_ips: {
    insert: ['personal_access_token_id', 'organization_id', 'ip_address', 'created_at', 'updated_at'],
    select: ['id', 'personal_access_token_id', 'ip_address', 'created_at'],
    delete: true,
    sequence: 'personal_access_token_last_used_ips_id_seq',
  },
};

export function columnsOf({ required, optional = [], withheld = [] }: UsedTable): readonly string[] {
  return [...required, ...optional, ...withheld];
}

/** The tables that are read in this database. */
export function tablesIn(
  database: DatabaseName,
  ciIsElsewhere: boolean,
): readonly (readonly [name: string, table: UsedTable])[] {
  const own = Object.entries(TABLES).filter(([, table]) =>
    ciIsElsewhere ? table.database === database : database === 'main',
  );
  return ciIsElsewhere && database === 'ci' ? [...own, ...Object.entries(CI_MIRRORS)] : own;
}
