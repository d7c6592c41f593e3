import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import bcrypt from 'bcrypt';
import { decodeJwt } from 'jose';
import { type GitlabTestServer, startGitlabServer } from '../../../support/gitlab/server.ts';

/** GitLab's own way, fact by fact: each row changes GitLab's tables as GitLab would, and asks. */

const PASSWORD = 'correct horse battery';
const SECRETS = {
  dev: 'glpat-example-dev-0000001',
  read: 'glpat-example-read-000001',
  root: 'glpat-example-root-000001',
  auditor: 'glpat-example-audit-00001',
  bot: 'glpat-example-bot-0000001',
  deploy: 'gldt-example-deploy-00001',
  job: 'glcbt-64_exampleexampleexample',
  rootJob: 'glcbt-64_rootrootrootrootroot',
  lonelyJob: 'glcbt-64_lonelylonelylonely',
} as const;

const personal = (user: string, token: string, scopes: readonly string[] = ['api']): object => ({
  ...{ kind: 'personal', name: token, user, scopes, token },
});

const DIRECTORY = {
  users: [
    { username: 'dev', id: 1, password: PASSWORD, email: 'dev@example.com' },
    { username: 'root', id: 2, admin: true, password: PASSWORD },
    { username: 'auditor', id: 3, auditor: true },
    { username: 'stranger', id: 4, password: PASSWORD },
  ],
  groups: [
    { path: 'acme', id: 10 },
    { path: 'acme/team', id: 11 },
    { path: 'other', id: 12 },
  ],
  projects: [
    {
      path: 'acme/team/app',
      id: 100,
      members: [{ user: 'dev', role: 'developer' }],
      protected_tags: [{ pattern: 'v.*', immutable: true }],
    },
    { path: 'acme/inside', id: 101, visibility: 'internal' },
    { path: 'acme/open', id: 102, visibility: 'public' },
    { path: 'acme/members', id: 103, visibility: 'public', container_registry: 'private' },
    { path: 'other/origin', id: 104, members: [{ user: 'dev', role: 'developer' }] },
    {
      path: 'other/closed',
      id: 105,
      members: [{ user: 'dev', role: 'developer' }],
      job_token_allowlist: ['other'],
    },
  ],
  access_tokens: [
    personal('dev', SECRETS.dev),
    personal('dev', SECRETS.read, ['read_registry']),
    personal('root', SECRETS.root, ['read_registry']),
    personal('auditor', SECRETS.auditor),
    {
      kind: 'project',
      name: 'bot',
      project: 'acme/team/app',
      role: 'developer',
      scopes: ['api'],
      token: SECRETS.bot,
    },
  ],
  deploy_tokens: [
    { username: 'puller', projects: ['acme/team/app'], scopes: ['read_registry'], token: SECRETS.deploy },
  ],
  job_tokens: [
    { id: 7, project: 'acme/team/app', user: 'dev', token: SECRETS.job },
    { id: 8, project: 'acme/team/app', user: 'root', token: SECRETS.rootJob },
    { id: 9, project: 'acme/team/app', user: null, token: SECRETS.lonelyJob },
  ],
};

const APP = 'repository:acme/team/app:pull,push';
const JOB = 'gitlab-ci-token';
type Login = readonly [username: string, password: string] | null;
const dev: Login = ['x', SECRETS.dev];
const stranger: Login = ['stranger', PASSWORD];
const byPassword: Login = ['dev', PASSWORD];

interface Row {
  readonly what: string;
  /** What GitLab would have written. */
  readonly sql: string;
  readonly as: Login;
  readonly scope: string;
  /** The granted actions, or the status with the reason in the log. */
  readonly outcome: string;
  readonly ip?: string;
  /** `ce`: without a licence; default: with one. */
  readonly edition?: 'ce' | 'ee';
}

const row = (
  what: string,
  sql: string,
  as: Login,
  scope: string,
  outcome: string,
  more: Pick<Row, 'ip' | 'edition'> = {},
): Row => ({ what, sql, as, scope, outcome, ...more });

const user = (change: string): string => `UPDATE users SET ${change} WHERE id = 1`;
const settings = (change: string): string => `UPDATE application_settings SET ${change}`;

const USERS: readonly Row[] = [
  row('an active user', '', dev, APP, 'pull,push'),
  row('a deactivated user', user("state = 'deactivated'"), dev, APP, 'pull,push'),
  ...['blocked', 'ldap_blocked', 'blocked_pending_approval', 'banned', 'a_later_state'].map((state) =>
    row(`a user who is ${state}`, user(`state = '${state}'`), dev, APP, '401 account_blocked'),
  ),
  row(
    'a lock that is in force',
    user("locked_at = now() AT TIME ZONE 'UTC'"),
    dev,
    APP,
    '401 account_locked',
  ),
  row(
    'a lock that is over after ten minutes',
    user("locked_at = now() AT TIME ZONE 'UTC' - interval '11 minutes'"),
    dev,
    APP,
    'pull,push',
  ),
  row(
    'a lock for as long as the settings say',
    `${settings('failed_login_attempts_unlock_period_in_minutes = 20')};
     ${user("locked_at = now() AT TIME ZONE 'UTC' - interval '11 minutes'")}`,
    dev,
    APP,
    '401 account_locked',
  ),
  row('an unconfirmed user', user('confirmed_at = NULL'), dev, APP, '401 account_unconfirmed'),
  row(
    'an unconfirmed user where nobody must confirm',
    `${settings('email_confirmation_setting = 0')}; ${user('confirmed_at = NULL')}`,
    dev,
    APP,
    'pull,push',
  ),
  row(
    'an unconfirmed user in the first three days',
    `${settings('email_confirmation_setting = 1')};
     ${user("confirmed_at = NULL, confirmation_sent_at = now() AT TIME ZONE 'UTC' - interval '2 days'")}`,
    dev,
    APP,
    'pull,push',
  ),
  row(
    'an unconfirmed user after three days',
    `${settings('email_confirmation_setting = 1')};
     ${user("confirmed_at = NULL, confirmation_sent_at = now() AT TIME ZONE 'UTC' - interval '4 days'")}`,
    dev,
    APP,
    '401 account_unconfirmed',
  ),
  row('an expired password', user("password_expires_at = '2020-01-01'"), dev, APP, '401 password_expired'),
  row(
    'an expired password that GitLab made itself',
    user("password_expires_at = '2020-01-01', password_automatically_set = true"),
    dev,
    APP,
    'pull,push',
  ),
  row(
    'an expired password of a user with LDAP',
    `${user("password_expires_at = '2020-01-01'")};
     INSERT INTO identities (user_id, provider) VALUES (1, 'ldapmain')`,
    dev,
    APP,
    'pull,push',
  ),
  row("an account that is GitLab's own", user('user_type = 5'), dev, APP, '401 account_internal'),
  row(
    'a kind of account that a later GitLab invents',
    user('user_type = 99'),
    dev,
    APP,
    '401 account_internal',
  ),
  row('a service account', user('user_type = 13'), dev, APP, 'pull,push'),
  row('the bot of a project token', '', ['x', SECRETS.bot], APP, 'pull,push'),
];

/** `User::DISALLOWED_PASSWORDS` */
const KNOWN_TO_ALL = '123qweQWE!@#000000000';
const SAML = "INSERT INTO identities (user_id, provider) VALUES (1, 'saml')";
const SSO_SWITCH = 'disable_password_authentication_for_users_with_sso_identities';
const COMPOSITE = user('composite_identity_enforced = true');

const PASSWORDS: readonly Row[] = [
  row('a password by user name', '', byPassword, APP, 'pull,push'),
  row('a password by the primary e-mail', '', [' DEV@example.com', PASSWORD], APP, 'pull,push'),
  row('a password of a user who acts for another', COMPOSITE, byPassword, APP, '401 composite_identity'),
  row('a wrong password', '', ['dev', 'wrong'], APP, '401 wrong_password'),
  row('a second factor', user('otp_required_for_login = true'), byPassword, APP, '401 two_factor'),
  row(
    'WebAuthn',
    'INSERT INTO webauthn_registrations (user_id) VALUES (1)',
    byPassword,
    APP,
    '401 two_factor',
  ),
  row(
    'a demanded second factor, and the time to set it up is over',
    `${settings('require_two_factor_authentication = true, two_factor_grace_period = 1')};
     ${user("otp_grace_period_started_at = now() AT TIME ZONE 'UTC' - interval '2 hours'")}`,
    byPassword,
    APP,
    '401 two_factor',
  ),
  row(
    'a demanded second factor, and there is still time',
    `${settings('require_two_factor_authentication = true, two_factor_grace_period = 3')};
     ${user("otp_grace_period_started_at = now() AT TIME ZONE 'UTC' - interval '2 hours'")}`,
    byPassword,
    APP,
    'pull,push',
  ),
  row(
    'a second factor that a group demands, whose time is the lesser',
    user(
      "require_two_factor_authentication_from_group = true, two_factor_grace_period = 1, otp_grace_period_started_at = now() AT TIME ZONE 'UTC' - interval '2 hours'",
    ),
    byPassword,
    APP,
    '401 two_factor',
  ),
  row(
    'a one-time password by e-mail',
    "UPDATE user_details SET email_otp_required_after = now() - interval '1 day' WHERE user_id = 1",
    byPassword,
    APP,
    '401 two_factor',
  ),
  ...(
    [
      ['of an admin, and the time is over', 'admin = true', 2, '401 two_factor'],
      ['of an admin, and there is still time', 'admin = true', 0, 'pull,push'],
      ['of admins, from somebody else', 'admin = false', 2, 'pull,push'],
    ] as const
  ).map(([what, is, hoursAgo, outcome]) =>
    row(
      `a second factor demanded ${what}`,
      `${settings('require_admin_two_factor_authentication = true, two_factor_grace_period = 1')};
       ${user(`${is}, otp_grace_period_started_at = now() AT TIME ZONE 'UTC' - interval '${hoursAgo} hours'`)}`,
      byPassword,
      APP,
      outcome,
    ),
  ),
  row('a second factor, with a token', user('otp_required_for_login = true'), dev, APP, 'pull,push'),
  row(
    'a password of a user with LDAP',
    "INSERT INTO identities (user_id, provider) VALUES (1, 'ldapmain')",
    byPassword,
    APP,
    '401 external_identity',
  ),
  row(
    'a password of a user with SAML',
    "INSERT INTO identities (user_id, provider) VALUES (1, 'saml')",
    byPassword,
    APP,
    'pull,push',
  ),
  row(
    'passwords switched off for Git',
    settings('password_authentication_enabled_for_git = false'),
    byPassword,
    APP,
    '401 password_authentication_off',
  ),
  row(
    'a password of a user with Crowd',
    "INSERT INTO identities (user_id, provider) VALUES (1, 'crowd')",
    byPassword,
    APP,
    '401 external_identity',
  ),
  row(
    'a password that GitLab made up',
    user('password_automatically_set = true'),
    byPassword,
    APP,
    '401 wrong_password',
  ),
  row(
    'a password that GitLab once gave to many',
    `UPDATE users SET encrypted_password = '${bcrypt.hashSync(KNOWN_TO_ALL, 4)}' WHERE id = 1`,
    ['dev', KNOWN_TO_ALL],
    APP,
    '401 wrong_password',
  ),
  ...(
    [
      ['and single sign-on', 'true', SAML, '401 password_authentication_off'],
      ['and no other identity', 'true', '', 'pull,push'],
      ['where they are not', 'false', SAML, 'pull,push'],
      ['where the switch is no boolean', '"perhaps"', SAML, 'pull,push'],
    ] as const
  ).map(([what, value, identity, outcome]) =>
    row(
      `a password with passwords off for single sign-on, ${what}`,
      `${settings(`sign_in_restrictions = '{"${SSO_SWITCH}": ${value}}'`)}; ${identity}`,
      byPassword,
      APP,
      outcome,
    ),
  ),
  ...(
    [
      ['of the company', 10, 'true, true', 'ee', '401 password_authentication_off'],
      ['of another company', 12, 'true, true', 'ee', 'pull,push'],
      ['of a company whose SAML is off', 10, 'false, true', 'ee', 'pull,push'],
      ['of a company that has not', 10, 'true, false', 'ee', 'pull,push'],
      ['of the company, without a licence', 10, 'true, true', 'ce', 'pull,push'],
    ] as const
  ).map(([what, group, flags, edition, outcome]) =>
    row(
      `a password with passwords off ${what}`,
      `INSERT INTO saml_providers (group_id, enabled, disable_password_authentication_for_enterprise_users) VALUES (${group}, ${flags});
       UPDATE user_details SET enterprise_group_id = 10 WHERE user_id = 1`,
      byPassword,
      APP,
      outcome,
      { edition },
    ),
  ),
  ...(
    [
      ['ee', '401 password_authentication_off'],
      ['ce', 'pull,push'],
    ] as const
  ).map(([edition, outcome]) =>
    row(
      `a password of a user whom a group manages, ${edition}`,
      user('managing_group_id = 10'),
      byPassword,
      APP,
      outcome,
      { edition },
    ),
  ),
  ...(
    [
      ['that can be used', '', '401 password_expired'],
      ['where passwords are off for the user', user('managing_group_id = 10'), 'pull,push'],
    ] as const
  ).map(([what, sql, outcome]) =>
    row(
      `a token, with an expired password ${what}`,
      `${user("password_expires_at = now() AT TIME ZONE 'UTC' - interval '1 day'")}; ${sql}`,
      dev,
      APP,
      outcome,
    ),
  ),
  row(
    'an account without a password',
    user("encrypted_password = ''"),
    byPassword,
    APP,
    '401 wrong_password',
  ),
  row(
    'a hash that nobody knows',
    user("encrypted_password = '$6$salt$digest'"),
    byPassword,
    APP,
    '401 wrong_password',
  ),
];

const token = (change: string): string => `UPDATE personal_access_tokens SET ${change} WHERE user_id = 1`;
const TOKENS: readonly Row[] = [
  row('a revoked token', token('revoked = true'), dev, APP, '401 token_revoked'),
  row('a token that was never revoked', token('revoked = NULL'), dev, APP, 'pull,push'),
  row(
    'a token on the day on which it expires',
    token("expires_at = (now() AT TIME ZONE 'UTC')::date"),
    dev,
    APP,
    '401 token_expired',
  ),
  row(
    'a token on the day before',
    token("expires_at = (now() AT TIME ZONE 'UTC')::date + 1"),
    dev,
    APP,
    'pull,push',
  ),
  row('a token of a user who acts for another', COMPOSITE, dev, APP, '401 composite_identity'),
  row('a granular token', token('granular = true'), dev, APP, '401 granular_token'),
  row('tokens switched off', settings('disable_personal_access_tokens = true'), dev, APP, '401 unknown'),
  row(
    'tokens switched off, without a licence',
    settings('disable_personal_access_tokens = true'),
    dev,
    APP,
    'pull,push',
    { edition: 'ce' },
  ),
  row(
    "tokens switched off by the user's company",
    `UPDATE user_details SET enterprise_group_id = 12 WHERE user_id = 1;
     UPDATE namespace_settings SET disable_personal_access_tokens = true WHERE namespace_id = 12`,
    dev,
    APP,
    '401 unknown',
  ),
  row(
    'an OAuth token',
    `INSERT INTO oauth_access_tokens (resource_owner_id, token) VALUES (1, '${createHash('sha512').update('oauth-token-example').digest('hex')}')`,
    ['oauth2', 'oauth-token-example'],
    APP,
    '401 oauth_token',
  ),
  row(
    'a deploy token without a state',
    'UPDATE deploy_tokens SET revoked = NULL',
    ['puller', SECRETS.deploy],
    APP,
    '401 token_revoked',
  ),
  row(
    'a deploy token without a user name of its own',
    'UPDATE deploy_tokens SET username = NULL, id = 77; UPDATE project_deploy_tokens SET deploy_token_id = 77',
    ['gitlab+deploy-token-77', SECRETS.deploy],
    APP,
    'pull',
  ),
  row(
    'a deploy token on another internal project',
    '',
    ['puller', SECRETS.deploy],
    'repository:acme/inside:pull',
    'pull',
  ),
  row(
    'a deploy token on another public project',
    '',
    ['puller', SECRETS.deploy],
    'repository:acme/open:pull',
    'pull',
  ),
  row(
    'a deploy token on a registry for members',
    '',
    ['puller', SECRETS.deploy],
    'repository:acme/members:pull',
    '',
  ),
];

const ADMINS: readonly Row[] = [
  row("an admin's flag, with a token that only reads", '', ['x', SECRETS.root], 'registry:catalog:*', '*'),
  row('another user', '', dev, 'registry:catalog:*', ''),
  row("an admin's job", '', [JOB, SECRETS.rootJob], 'registry:catalog:*', ''),
  row("an admin's job, which has no more than its role", '', [JOB, SECRETS.rootJob], APP, '403 job_push'),
  row('an auditor', '', ['x', SECRETS.auditor], APP, 'pull'),
  row('an auditor, without a licence', '', ['x', SECRETS.auditor], APP, '', { edition: 'ce' }),
  row(
    'the owner of the organization',
    'INSERT INTO organization_users (organization_id, user_id, access_level) SELECT organization_id, 4, 50 FROM projects WHERE id = 100',
    stranger,
    APP,
    'pull,push',
  ),
  row(
    'another member of the organization',
    'INSERT INTO organization_users (organization_id, user_id, access_level) SELECT organization_id, 4, 10 FROM projects WHERE id = 100',
    stranger,
    APP,
    '',
  ),
];

const project = (change: string): string => `UPDATE projects SET ${change} WHERE id = 100`;
const PROJECTS: readonly Row[] = [
  row(
    'the highest of several roles',
    'INSERT INTO project_authorizations VALUES (1, 100, 10), (1, 100, 40)',
    dev,
    'repository:acme/team/app:delete',
    'delete',
  ),
  row('a role that is removed', 'DELETE FROM project_authorizations', dev, APP, ''),
  row(
    'a level that a later GitLab invents',
    'UPDATE project_authorizations SET access_level = 37',
    dev,
    APP,
    '',
  ),
  row('an archived project', project('archived = true'), dev, APP, 'pull'),
  row('an archived group, by its state', 'UPDATE namespaces SET state = 1 WHERE id = 10', dev, APP, 'pull'),
  row(
    'an archived group, by its settings',
    'UPDATE namespace_settings SET archived = true WHERE namespace_id = 11',
    dev,
    APP,
    'pull',
  ),
  row("a state of before GitLab's states", 'UPDATE namespaces SET state = NULL', dev, APP, 'pull,push'),
  row('a scheduled deletion', project('marked_for_deletion_at = now()'), dev, APP, 'pull'),
  row('a scheduled deletion of a group', 'UPDATE namespaces SET state = 2 WHERE id = 10', dev, APP, 'pull'),
  row('a group that is being deleted', 'UPDATE namespaces SET state = 4 WHERE id = 11', dev, APP, 'pull'),
  row(
    'a scheduled deletion of a group, in the older table',
    'INSERT INTO group_deletion_schedules (group_id) VALUES (10)',
    dev,
    APP,
    'pull',
  ),
  row('a project that is being deleted', project('pending_delete = true'), dev, APP, 'pull'),
  row('no row of features', 'DELETE FROM project_features', dev, APP, ''),
  row(
    'a registry that everybody may use, by a later value',
    'UPDATE project_features SET container_registry_access_level = 30 WHERE project_id = 102',
    null,
    'repository:acme/open:pull',
    'pull',
  ),
  row('no list of ancestors', "UPDATE namespaces SET traversal_ids = '{}'", dev, APP, 'pull,push'),
  row(
    'two paths that differ in case: the one in lower case',
    "UPDATE routes SET path = 'ACME/Team/App' WHERE source_type = 'Project' AND source_id = 101",
    dev,
    APP,
    'pull,push',
  ),
  row(
    'an external user on an internal project',
    'UPDATE users SET external = true WHERE id = 4',
    stranger,
    'repository:acme/inside:pull',
    '',
  ),
  row('maintenance of the instance', settings('maintenance_mode = true'), dev, APP, 'pull'),
  row('maintenance, without a licence', settings('maintenance_mode = true'), dev, APP, 'pull,push', {
    edition: 'ce',
  }),
  row('maintenance of the organization', 'UPDATE organizations SET state = 5', dev, APP, 'pull'),
  row(
    'maintenance of the organization that is not enforced',
    'UPDATE organizations SET state = 6; DELETE FROM feature_gates',
    dev,
    APP,
    'pull,push',
  ),
];

const inRange = (group: number, range: string): string =>
  `INSERT INTO ip_restrictions (group_id, range) VALUES (${group}, '${range}')`;
const NETWORKS: readonly Row[] = [
  row('outside the root group', inRange(10, '10.0.0.0/8'), dev, APP, '', { ip: '192.0.2.1' }),
  row('inside the root group', inRange(10, '10.0.0.0/8'), dev, APP, 'pull,push', { ip: '10.1.2.3' }),
  row('at the only address', inRange(10, '10.1.2.3'), dev, APP, 'pull,push', { ip: '10.1.2.3' }),
  row('outside a group below', inRange(11, '10.0.0.0/8'), dev, APP, 'pull,push', { ip: '192.0.2.1' }),
  row(
    'at an address that is allowed everywhere',
    `${inRange(10, '10.0.0.0/8')}; ${settings("globally_allowed_ips = '198.51.100.0/24, 192.0.2.1'")}`,
    dev,
    APP,
    'pull,push',
    { ip: '192.0.2.1' },
  ),
  row('outside, without a licence', inRange(10, '10.0.0.0/8'), dev, APP, 'pull,push', {
    ip: '192.0.2.1',
    edition: 'ce',
  }),
  row(
    'a ban from the root group',
    'INSERT INTO namespace_bans (namespace_id, user_id) VALUES (10, 1)',
    dev,
    APP,
    '',
  ),
  row(
    'a ban from the root group, on a public project',
    'INSERT INTO namespace_bans (namespace_id, user_id) VALUES (10, 1)',
    dev,
    'repository:acme/open:pull',
    '',
  ),
  row(
    'a ban from another group',
    'INSERT INTO namespace_bans (namespace_id, user_id) VALUES (12, 1)',
    dev,
    APP,
    'pull,push',
  ),
  row(
    'a ban, without a licence',
    'INSERT INTO namespace_bans (namespace_id, user_id) VALUES (10, 1)',
    dev,
    APP,
    'pull,push',
    { edition: 'ce' },
  ),
];

const job: Login = [JOB, SECRETS.job];
const builds = (change: string): string => `UPDATE p_ci_builds SET ${change} WHERE id = 7`;
const JOBS: readonly Row[] = [
  row('a running job', '', job, 'repository:acme/team/app:pull,push,delete', 'pull,push,delete'),
  row('a job that is being cancelled', builds("status = 'canceling'"), job, APP, 'pull,push'),
  ...['success', 'failed', 'canceled', 'pending', 'created'].map((status) =>
    row(`a job whose status is ${status}`, builds(`status = '${status}'`), job, APP, '401 job_not_running'),
  ),
  row('an erased job', builds('erased_at = now()'), job, APP, '401 job_not_running'),
  row('a bridge, which is no job', builds("type = 'Ci::Bridge'"), job, APP, '401 unknown'),
  row('a job of a user who acts for another', COMPOSITE, job, APP, '401 composite_identity'),
  row('a job for two users', builds('scoped_user_id = 4'), job, APP, '401 composite_identity'),
  row(
    'a job of a project that is scheduled for deletion',
    project('marked_for_deletion_at = now()'),
    job,
    'repository:acme/team/app:pull',
    'pull',
  ),
  row(
    'a job of a project that is being deleted',
    project('pending_delete = true'),
    job,
    APP,
    '401 project_deletion_scheduled',
  ),
  row(
    'a job where CI is off',
    'UPDATE project_features SET builds_access_level = 0',
    job,
    APP,
    '401 ci_disabled',
  ),
  row('a job in another partition than its token says', builds('partition_id = 102'), job, APP, 'pull,push'),
  row('a job of a policy bot', user('user_type = 10'), job, APP, 'pull,push'),
  row(
    'a job on an open list',
    'UPDATE project_ci_cd_settings SET inbound_job_token_scope_enabled = false',
    job,
    'repository:other/closed:pull',
    'pull',
  ),
  row(
    'a job on an open list, where lists are enforced',
    `UPDATE project_ci_cd_settings SET inbound_job_token_scope_enabled = false; ${settings('enforce_ci_inbound_job_token_scope_enabled = true')}`,
    job,
    'repository:other/closed:pull',
    '',
  ),
  row(
    'a job that a project lists',
    'INSERT INTO ci_job_token_project_scope_links (source_project_id, target_project_id, direction) VALUES (105, 100, 1)',
    job,
    'repository:other/closed:pull',
    'pull',
  ),
  row(
    'a job whose link goes in the other direction',
    'INSERT INTO ci_job_token_project_scope_links (source_project_id, target_project_id, direction) VALUES (105, 100, 0)',
    job,
    'repository:other/closed:pull',
    '',
  ),
  row(
    'a job whose root group is listed',
    'INSERT INTO ci_job_token_group_scope_links (source_project_id, target_group_id) VALUES (105, 10)',
    job,
    'repository:other/closed:pull',
    'pull',
  ),
  row(
    'a job that may reach only listed projects',
    `INSERT INTO ci_job_token_project_scope_links (source_project_id, target_project_id, direction) VALUES (105, 100, 1);
     UPDATE project_ci_cd_settings SET job_token_scope_enabled = true WHERE project_id = 100`,
    job,
    'repository:other/closed:pull',
    '',
  ),
  row(
    'a job that may reach only listed projects, and lists this one',
    `INSERT INTO ci_job_token_project_scope_links (source_project_id, target_project_id, direction) VALUES (105, 100, 1), (100, 105, 0);
     UPDATE project_ci_cd_settings SET job_token_scope_enabled = true WHERE project_id = 100`,
    job,
    'repository:other/closed:pull',
    'pull',
  ),
];

const ALL: Readonly<Record<string, readonly Row[]>> = {
  users: USERS,
  passwords: PASSWORDS,
  tokens: TOKENS,
  admins: ADMINS,
  projects: PROJECTS,
  'networks and bans': NETWORKS,
  jobs: JOBS,
};

describe("answers by a GitLab's database", () => {
  const servers = new Map<string, GitlabTestServer>();
  const serverOf = (edition: 'ce' | 'ee'): GitlabTestServer => {
    const server = servers.get(edition);
    assert.ok(server);
    return server;
  };

  before(async function () {
    this.timeout(60_000);
    for (const edition of ['ee', 'ce'] as const) {
      const server = await startGitlabServer({ edition });
      servers.set(edition, server);
      await server.apply(DIRECTORY);
    }
  });

  after(async () => {
    for (const server of servers.values()) await server.close();
  });

  /** What was granted of the first scope, or the status and why. */
  async function outcome(server: GitlabTestServer, { as, scope, ip }: Row): Promise<string> {
    const answer = await server.ask({ scope, ...(as !== null && { as }), ...(ip !== undefined && { ip }) });
    if (answer.status !== 200) {
      const line = server.log.findLast((one) => one['request_id'] === answer.headers['x-request-id']);
      return `${answer.status} ${line?.['reason']}`;
    }
    const { access } = await server.verify(answer.body.token);
    return access.flatMap(({ actions }) => actions).join();
  }

  for (const [about, rows] of Object.entries(ALL)) {
    describe(`about ${about}`, () => {
      for (const one of rows) {
        it(`${one.what}: ${one.outcome || 'nothing'}`, async () => {
          const server = serverOf(one.edition ?? 'ee');
          if (one.sql !== '') await server.gitlab.main.execute(one.sql);
          try {
            assert.equal(await outcome(server, one), one.outcome);
          } finally {
            if (one.sql !== '') await server.copy();
          }
        });
      }
    });
  }

  it('calls a job without a user ci, in the claim auth_type', async () => {
    const answer = await serverOf('ee').ask({
      as: [JOB, SECRETS.lonelyJob],
      scope: 'repository:acme/team/app:pull',
    });
    const claims = decodeJwt(answer.body.token);
    assert.deepEqual([claims['auth_type'], claims.sub], ['ci', '']);
  });

  it('puts immutable tags into the token, where GitLab has a licence', async () => {
    for (const [edition, patterns] of [
      ['ee', ['v.*']],
      ['ce', undefined],
    ] as const) {
      const answer = await serverOf(edition).ask({ as: dev, scope: APP });
      const [entry] = (await serverOf(edition).verify(answer.body.token)).access;
      assert.deepEqual(entry?.meta?.tag_immutable_patterns, patterns);
    }
  });

  for (const [minutes, seconds] of [
    [5, 300],
    [10, 600],
    [600, 3600],
    [0, 60],
  ]) {
    it(`gives tokens the life of GitLab's setting: ${minutes} minutes are ${seconds} s`, async () => {
      const server = serverOf('ee');
      await server.gitlab.main.execute(settings(`container_registry_token_expire_delay = ${minutes}`));
      try {
        assert.equal((await server.ask({ as: dev, scope: APP })).body.expires_in, seconds);
      } finally {
        await server.copy();
      }
    });
  }

  it('judges nothing where another service says who may do what', async () => {
    const server = serverOf('ee');
    await server.gitlab.main.execute(settings('external_authorization_service_enabled = true'));
    try {
      for (const as of [dev, null])
        assert.equal((await server.ask({ ...(as && { as }), scope: APP })).status, 503);
    } finally {
      await server.copy();
    }
  });
});
