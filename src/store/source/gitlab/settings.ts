import type { Shape } from './shape.ts';
import { columnOr } from './statement.ts';

/** GitLab's settings that answers depend on, as the database has them. */
export interface SettingsRow {
  readonly password_authentication: boolean;
  readonly maintenance_mode: boolean | null;
  /** Minutes. */
  readonly token_expire_delay: number | null;
  /** 0 off, 1 soft, 2 hard. */
  readonly email_confirmation: number | null;
  readonly require_two_factor: boolean | null;
  /** Of admins alone. */
  readonly require_admin_two_factor: boolean | null;
  /** Hours. */
  readonly two_factor_grace_period: number | null;
  /** Minutes. */
  readonly unlock_period: number | null;
  readonly access_tokens_off: boolean | null;
  /** Passwords are switched off for users who have another identity, too. */
  readonly sso_passwords_off: boolean | null;
  readonly enforce_allowlist: boolean | null;
  readonly allowed_ips: string | null;
  readonly external_authorization: boolean | null;
}

interface Setting {
  readonly column: string;
  /** The column is JSON with this boolean; anything but `true` counts as false. */
  readonly member?: string;
  /** The result of a prepared statement stays the same where GitLab gives the column another type. */
  readonly type: 'boolean' | 'integer' | 'text';
  /** What a GitLab without the column does. */
  readonly otherwise: string;
}

const SETTINGS: Readonly<Record<Exclude<keyof SettingsRow, 'password_authentication'>, Setting>> = {
  maintenance_mode: { column: 'maintenance_mode', type: 'boolean', otherwise: 'false' },
  token_expire_delay: {
    column: 'container_registry_token_expire_delay',
    type: 'integer',
    otherwise: 'NULL',
  },
  email_confirmation: { column: 'email_confirmation_setting', type: 'integer', otherwise: 'NULL' },
  require_two_factor: { column: 'require_two_factor_authentication', type: 'boolean', otherwise: 'false' },
  require_admin_two_factor: {
    column: 'require_admin_two_factor_authentication',
    type: 'boolean',
    otherwise: 'false',
  },
  two_factor_grace_period: { column: 'two_factor_grace_period', type: 'integer', otherwise: 'NULL' },
  unlock_period: {
    column: 'failed_login_attempts_unlock_period_in_minutes',
    type: 'integer',
    otherwise: 'NULL',
  },
  access_tokens_off: { column: 'disable_personal_access_tokens', type: 'boolean', otherwise: 'false' },
  sso_passwords_off: {
    column: 'sign_in_restrictions',
    member: 'disable_password_authentication_for_users_with_sso_identities',
    type: 'boolean',
    otherwise: 'NULL::jsonb',
  },
  enforce_allowlist: {
    column: 'enforce_ci_inbound_job_token_scope_enabled',
    type: 'boolean',
    otherwise: 'false',
  },
  allowed_ips: { column: 'globally_allowed_ips', type: 'text', otherwise: 'NULL' },
  external_authorization: {
    column: 'external_authorization_service_enabled',
    type: 'boolean',
    otherwise: 'false',
  },
};

/** A relation of one row, `setting`, with the columns of `SettingsRow`. */
export function settingsRelation(shape: Shape): string {
  const column = columnOr(shape, 'application_settings', 'settings');
  const columns = Object.entries(SETTINGS).map(([as, { column: name, member, type, otherwise }]) => {
    const value = column(name, otherwise);
    return `(${member === undefined ? value : `${value} ->> '${member}' = 'true'`})::${type} AS ${as}`;
  });
  // A password can be checked only where this role may read what it is checked against.
  const mayReadPasswords = shape.has('users', 'encrypted_password');
  return `(
    SELECT settings.password_authentication_enabled_for_git AND ${mayReadPasswords} AS password_authentication,
      ${columns.join(', ')}
    FROM application_settings AS settings ORDER BY settings.id DESC LIMIT 1) AS setting`;
}

/** Whether a feature of GitLab is switched on for everybody. */
export function featureIsOn(shape: Shape, feature: string): string {
  if (!shape.hasTable('feature_gates')) return 'false';
  return `EXISTS (
    SELECT FROM feature_gates WHERE feature_key = '${feature}' AND key = 'boolean' AND value = 'true')`;
}
