import {
  BLOCKED_STATES,
  CONFIRMATION_GRACE_HOURS,
  DEFAULT_UNLOCK_MINUTES,
  KINDS,
  SOFT_CONFIRMATION,
} from './people.ts';
import type { Shape } from './shape.ts';
import { columnOr, inUtc } from './statement.ts';

/**
 * The state of the user `u` by the settings `setting` (see `settingsRelation`), so that the database
 * can filter by it. `toAccount` decides the same for logins; a test compares both.
 */
export function ownerStateColumn(shape: Shape): string {
  const user = columnOr(shape, 'users', 'u');
  const list = (values: Iterable<string>): string => [...values].map((value) => `'${value}'`).join(', ');
  const confirmationSent = inUtc(user('confirmation_sent_at', 'NULL::timestamptz'));
  return `CASE
    WHEN coalesce(u.user_type, 0) NOT IN (${Object.keys(KINDS).join(', ')}) THEN 'internal'
    WHEN u.state IN (${list(BLOCKED_STATES)}) THEN 'blocked'
    WHEN ${inUtc(user('locked_at', 'NULL::timestamptz'))}
      > now() - coalesce(setting.unlock_period, ${DEFAULT_UNLOCK_MINUTES}) * interval '1 minute' THEN 'locked'
    WHEN ${user('confirmed_at', "'2000-01-01'")} IS NULL AND coalesce(setting.email_confirmation, 0) <> 0
      AND (setting.email_confirmation <> ${SOFT_CONFIRMATION} OR ${confirmationSent} IS NULL
        OR ${confirmationSent} <= now() - interval '${CONFIRMATION_GRACE_HOURS} hours') THEN 'unconfirmed'
    WHEN u.state IN ('active', 'deactivated') THEN u.state
    ELSE 'blocked' END`;
}
