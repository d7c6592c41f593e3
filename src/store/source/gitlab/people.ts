import type { Account } from '../../../authn/account.ts';
import type { SettingsRow } from './settings.ts';
import type { Shape } from './shape.ts';
import { columnOr } from './statement.ts';

/** A user as the database has it; times are text, in UTC where they name no zone. */
export interface PersonRow {
  readonly id: number;
  readonly username: string;
  readonly state: string | null;
  readonly user_type: number | null;
  readonly admin: boolean;
  readonly auditor: boolean | null;
  readonly external: boolean | null;
  readonly locked_at: string | null;
  readonly confirmed_at: string | null;
  readonly confirmation_sent_at: string | null;
  readonly password_expires_at: string | null;
  readonly password_automatically_set: boolean | null;
  readonly encrypted_password: string | null;
  readonly second_factor: boolean;
  readonly two_factor_from_group: boolean | null;
  /** Hours. */
  readonly two_factor_grace_period: number | null;
  readonly otp_grace_period_started_at: string | null;
  readonly email_otp_required_after: string | null;
  /** Of the other systems that the user logs in by, such as `ldapmain` and `saml`. */
  readonly providers: readonly (string | null)[] | null;
  /** The user acts for another one, and has that one's rights at most. */
  readonly composite: boolean | null;
  readonly bot_of: string | null;
  /** The user's company has switched access tokens off. */
  readonly tokens_off: boolean | null;
  /** The user's group or company has switched passwords off. */
  readonly passwords_off: boolean | null;
}

/**
 * As one column: the `PersonRow` of a user as JSON, or null.
 * @param id an expression for the user's id.
 * @param withPassword false: the hash of the password stays in the database.
 */
export function personColumn(shape: Shape, id: string, withPassword: boolean): string {
  const user = columnOr(shape, 'users', 'u');
  const details = columnOr(shape, 'user_details', 'details');
  const hasDetails = shape.hasTable('user_details');
  const fields: Readonly<Record<keyof PersonRow, string>> = {
    id: 'u.id',
    username: 'u.username',
    state: 'u.state',
    user_type: 'u.user_type',
    admin: 'u.admin',
    auditor: user('auditor', 'false'),
    external: user('external', 'false'),
    locked_at: user('locked_at', 'NULL'),
    // Without the column nobody can be unconfirmed.
    confirmed_at: user('confirmed_at', "'2000-01-01'"),
    confirmation_sent_at: user('confirmation_sent_at', 'NULL'),
    password_expires_at: user('password_expires_at', 'NULL'),
    password_automatically_set: user('password_automatically_set', 'false'),
    encrypted_password: withPassword ? user('encrypted_password', 'NULL') : 'NULL',
    second_factor: `${user('otp_required_for_login', 'false')} IS TRUE ${orWebauthn(shape)}`,
    two_factor_from_group: user('require_two_factor_authentication_from_group', 'false'),
    two_factor_grace_period: user('two_factor_grace_period', 'NULL'),
    otp_grace_period_started_at: user('otp_grace_period_started_at', 'NULL'),
    email_otp_required_after: hasDetails ? details('email_otp_required_after', 'NULL') : 'NULL',
    providers: shape.hasTable('identities')
      ? '(SELECT json_agg(identities.provider) FROM identities WHERE identities.user_id = u.id)'
      : 'NULL',
    composite: user('composite_identity_enforced', 'false'),
    bot_of: botOf(shape, hasDetails),
    tokens_off: tokensOff(shape, hasDetails),
    passwords_off: passwordsOff(shape, hasDetails),
  };
  const members = Object.entries(fields).map(([name, value]) => `'${name}', ${value}`);
  return `(
    SELECT json_build_object(${members.join(', ')})
    FROM users AS u ${hasDetails ? 'LEFT JOIN user_details AS details ON details.user_id = u.id' : ''}
    WHERE u.id = ${id})`;
}

function orWebauthn(shape: Shape): string {
  if (!shape.hasTable('webauthn_registrations')) return '';
  return 'OR EXISTS (SELECT FROM webauthn_registrations WHERE webauthn_registrations.user_id = u.id)';
}

function botOf(shape: Shape, hasDetails: boolean): string {
  if (!hasDetails || !shape.has('user_details', 'bot_namespace_id') || !shape.has('namespaces', 'type'))
    return 'NULL';
  return '(SELECT n.type FROM namespaces AS n WHERE n.id = details.bot_namespace_id)';
}

function tokensOff(shape: Shape, hasDetails: boolean): string {
  const isKnown =
    hasDetails &&
    shape.has('user_details', 'enterprise_group_id') &&
    shape.has('namespace_settings', 'disable_personal_access_tokens');
  if (!isKnown) return 'false';
  return `EXISTS (
    SELECT FROM namespace_settings AS s
    WHERE s.namespace_id = details.enterprise_group_id AND s.disable_personal_access_tokens)`;
}

/**
 * Its group manages the account, or its company has switched passwords off
 * (`password_authentication_disabled_by_enterprise_group?`).
 */
function passwordsOff(shape: Shape, hasDetails: boolean): string {
  const isManaged = shape.has('users', 'managing_group_id') ? 'u.managing_group_id IS NOT NULL' : 'false';
  const knowsCompanies =
    hasDetails &&
    shape.has('user_details', 'enterprise_group_id') &&
    shape.has('saml_providers', 'enabled') &&
    shape.has('saml_providers', 'disable_password_authentication_for_enterprise_users');
  if (!knowsCompanies) return isManaged;
  return `(${isManaged} OR EXISTS (
    SELECT FROM saml_providers AS s
    WHERE s.group_id = details.enterprise_group_id AND s.enabled
      AND s.disable_password_authentication_for_enterprise_users))`;
}

/** `Gitlab::Auth`'s reading of a user needs the settings, the edition and the time. */
export interface PersonReading {
  readonly settings: SettingsRow;
  readonly isEnterprise: boolean;
  readonly now: Date;
}

/** GitLab's `User#user_type` (`has_user_type.rb`); all others are GitLab's own accounts. */
export const KINDS: Readonly<Record<number, Account['kind']>> = {
  0: 'human',
  4: 'human',
  6: 'project_bot',
  13: 'service_account',
};
/** May run jobs, but not log in. */
const SECURITY_POLICY_BOT = 10;
export const BLOCKED_STATES: ReadonlySet<string> = new Set([
  'blocked',
  'ldap_blocked',
  'blocked_pending_approval',
  'banned',
]);

/** @param inJob whether the user runs a job. */
export function toAccount(row: PersonRow, reading: PersonReading, { inJob = false } = {}): Account {
  const { settings, isEnterprise, now } = reading;
  const kind = KINDS[row.user_type ?? 0];
  const isBot = kind === 'project_bot' || kind === 'service_account';
  const isPolicyBot = inJob && row.user_type === SECURITY_POLICY_BOT;
  const providers = row.providers ?? [];
  const isExternal = providers.some((provider) => provider !== null && EXTERNAL_PASSWORDS.test(provider));
  const hasNoPassword = row.encrypted_password === '' || row.password_automatically_set === true;
  const passwordsAreOff =
    (settings.sso_passwords_off === true && providers.length > 0) ||
    (isEnterprise && row.passwords_off === true);
  const unjudged = unjudgedOf(row, isExternal);
  return {
    id: row.id,
    username: row.username,
    kind: kind === 'project_bot' && row.bot_of === 'Group' ? 'group_bot' : (kind ?? 'human'),
    state: kind === undefined && !isPolicyBot ? 'internal' : stateOf(row, reading),
    admin: row.admin,
    auditor: isEnterprise && row.auditor === true,
    external: row.external === true,
    twoFactor: hasTwoFactor(row, settings, now),
    passwordExpired:
      !isBot &&
      !isExternal &&
      // A password that can't be used does not expire.
      !passwordsAreOff &&
      row.password_automatically_set !== true &&
      isPast(row.password_expires_at, now),
    passwordHash: hasNoPassword ? null : row.encrypted_password,
    ...(passwordsAreOff && { passwordsAreOff }),
    ...(unjudged !== null && { unjudged }),
  };
}

/** Systems that check the passwords of their users themselves (`password_based_omniauth_user?`). */
const EXTERNAL_PASSWORDS = /^(ldap|crowd$)/;

function unjudgedOf(
  { composite }: PersonRow,
  isExternal: boolean,
): 'composite_identity' | 'external_identity' | null {
  if (composite === true) return 'composite_identity';
  return isExternal ? 'external_identity' : null;
}

function stateOf(row: PersonRow, { settings, now }: PersonReading): Account['state'] {
  if (row.state !== null && BLOCKED_STATES.has(row.state)) return 'blocked';
  if (isLocked(row, settings, now)) return 'locked';
  if (!isConfirmed(row, settings, now)) return 'unconfirmed';
  if (row.state === 'deactivated') return 'deactivated';
  // A state that a later GitLab invents.
  return row.state === 'active' ? 'active' : 'blocked';
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const DEFAULT_UNLOCK_MINUTES = 10;
export const CONFIRMATION_GRACE_HOURS = 3 * 24;
export const SOFT_CONFIRMATION = 1;

/** A lock ends by itself (Devise's unlock strategy `both`). */
function isLocked({ locked_at }: PersonRow, { unlock_period }: SettingsRow, now: Date): boolean {
  const since = toTime(locked_at);
  if (since === null) return false;
  return now.getTime() - since < (unlock_period ?? DEFAULT_UNLOCK_MINUTES) * MINUTE_MS;
}

function isConfirmed(row: PersonRow, { email_confirmation }: SettingsRow, now: Date): boolean {
  if (row.confirmed_at !== null || email_confirmation === null || email_confirmation === 0) return true;
  const sent = toTime(row.confirmation_sent_at);
  return (
    email_confirmation === SOFT_CONFIRMATION &&
    sent !== null &&
    now.getTime() - sent < CONFIRMATION_GRACE_HOURS * HOUR_MS
  );
}

/** A second factor is set up, or one is demanded and the time to set it up is over. */
function hasTwoFactor(row: PersonRow, settings: SettingsRow, now: Date): boolean {
  if (row.second_factor || isPast(row.email_otp_required_after, now)) return true;
  const fromGroup = row.two_factor_from_group === true;
  const asAdmin = settings.require_admin_two_factor === true && row.admin;
  if (settings.require_two_factor !== true && !fromGroup && !asAdmin) return false;
  const since = toTime(row.otp_grace_period_started_at);
  if (since === null) return false;
  const hours = [settings.two_factor_grace_period, fromGroup ? row.two_factor_grace_period : null];
  const grace = Math.min(...hours.filter((one) => one !== null));
  return Number.isFinite(grace) && now.getTime() > since + grace * HOUR_MS;
}

function isPast(text: string | null, now: Date): boolean {
  const time = toTime(text);
  return time !== null && time < now.getTime();
}

const NAMES_ZONE = /(?:Z|[+-]\d\d(?::?\d\d)?)$/;

/**
 * Milliseconds of a time in JSON. Rails keeps UTC in columns without a zone. Null: there is none,
 * or it is infinite.
 */
export function toTime(text: string | null): number | null {
  if (text === null) return null;
  const isDate = /^\d{4,}-\d\d-\d\d$/.test(text);
  const time = Date.parse(isDate || NAMES_ZONE.test(text) ? text : `${text}Z`);
  return Number.isNaN(time) ? null : time;
}
