import { lowerCaseAscii } from '../../ascii.ts';
import { loginDigest } from '../../authn/failed-attempts.ts';
import type { DirectorySource } from '../../authn/source.ts';
import type { LockoutResource } from '../../http/admin/lockouts.ts';
import { clearStoredLockouts, searchLockouts } from '../../store/records/lockouts.ts';
import { findLoginNames } from '../../store/source/login-digests.ts';
import type { ServerInputs } from './inputs.ts';
import type { RecordViews } from './records.ts';

interface LockoutServices {
  readonly source: Pick<DirectorySource, 'find'>;
  readonly records: Pick<RecordViews, 'failedAttempts'>;
}

/** Failed attempts are counted in cellpass's own database, wherever the accounts are. */
export function lockoutsOf(
  { config, database, gitlab, now }: ServerInputs,
  { source, records }: LockoutServices,
): LockoutResource {
  const { perAddress, perAccount } = config.limits.failedAttempts;
  const limits = { address: perAddress, account: perAccount };
  return {
    list: (question) => searchLockouts(database, { ...question, limits, now: now() }),
    namesOf: (digests) =>
      gitlab === undefined
        ? findLoginNames(database, 'own', digests)
        : findLoginNames(gitlab.main, 'gitlab', digests),
    findAccount: async (name) => {
      const { account } = await source.find({ kind: 'user', name: lowerCaseAscii(name) });
      return account?.username ?? null;
    },
    clear: async ({ address, account, actor }) => {
      const keys =
        account === undefined ? { network: address } : { loginDigest: loginDigest(lowerCaseAscii(account)) };
      const subject = account ?? address;
      const cleared = await clearStoredLockouts(database, { keys, limits, now: now(), actor, subject });
      // Others hear of it by NOTIFY; this process need not wait for that.
      records.failedAttempts.recheck();
      return cleared;
    },
  };
}
