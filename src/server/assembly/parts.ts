import type { PasswordHashing } from '../../authn/password-schemes.ts';
import type { Config } from '../../config/load.ts';
import type { Snapshot } from '../../http/metrics/report.ts';
import type { RotatableMasterKey } from '../../keys/master-key.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../../store/database/drivers.ts';

/** What a server is made of, once the database and the master key are open. */
export interface Parts {
  readonly config: Config;
  /** Migrated. */
  readonly database: Database;
  readonly masterKey: RotatableMasterKey;
  /** What hashes passwords; default: this process. */
  readonly argon2id?: PasswordHashing;
  readonly log: Log;
  readonly now: () => Date;
  /** Time that no clock setting changes; default: this process's. */
  readonly monotonicMs?: () => number;
  readonly isDraining: () => boolean;
  /** How often the topology's file is looked at. */
  readonly topologyPollMs?: number;
  /** What other processes of this server have counted. */
  readonly otherMetrics?: () => Promise<readonly Snapshot[]>;
}

/** The clock that tests may give, for whatever takes one. */
export function clockOf({ monotonicMs }: Parts): Pick<Parts, 'monotonicMs'> {
  return monotonicMs === undefined ? {} : { monotonicMs };
}
