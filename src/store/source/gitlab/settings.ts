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
  /** Hours. */
  readonly two_factor_grace_period: number | null;
  /** Minutes. */
  readonly unlock_period: number | null;
  readonly access_tokens_off: boolean | null;
  readonly enforce_allowlist: boolean | null;
  readonly allowed_ips: string | null;
  readonly external_authorization: boolean | null;
}

const COLUMNS: readonly (readonly [column: string, as: keyof SettingsRow, otherwise: string])[] = [
  ['maintenance_mode', 'maintenance_mode', 'false'],
  ['container_registry_token_expire_delay', 'token_expire_delay', 'NULL::integer'],
  ['email_confirmation_setting', 'email_confirmation', 'NULL::integer'],
  ['require_two_factor_authentication', 'require_two_factor', 'false'],
  ['two_factor_grace_period', 'two_factor_grace_period', 'NULL::integer'],
  ['failed_login_attempts_unlock_period_in_minutes', 'unlock_period', 'NULL::integer'],
  ['disable_personal_access_tokens', 'access_tokens_off', 'false'],
  ['enforce_ci_inbound_job_token_scope_enabled', 'enforce_allowlist', 'true'],
  ['globally_allowed_ips', 'allowed_ips', 'NULL::text'],
  ['external_authorization_service_enabled', 'external_authorization', 'false'],
];

/** A relation of one row, `setting`, with the columns of `SettingsRow`. */
export function settingsRelation(shape: Shape): string {
  const column = columnOr(shape, 'application_settings', 'settings');
  const columns = COLUMNS.map(([name, as, otherwise]) => `${column(name, otherwise)} AS ${as}`);
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
