import type { FetchKeys } from '../../authn/federation/key-set.ts';
import type { PasswordHashing } from '../../authn/password-schemes.ts';
import type { Config } from '../../config/load.ts';
import type { RailsRules } from '../../config/rails.ts';
import type { ApplyDependencies } from '../../directory/apply.ts';
import type { Snapshot } from '../../http/metrics/report.ts';
import type { RotatableMasterKey } from '../../keys/master-key.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../../store/database/drivers.ts';
import type { OpenGitlab } from '../open-gitlab.ts';
import type { Planner } from '../planning/planner.ts';

/** What a server is assembled from, once the database and the master key are open. */
export interface ServerInputs {
  readonly config: Config;
  /** Migrated. The caller closes it. */
  readonly database: Database;
  readonly masterKey: RotatableMasterKey;
  /** The directory; missing: it is in `database`. The caller closes it. */
  readonly gitlab?: OpenGitlab;
  /** Where passwords are hashed; default: in this process. */
  readonly argon2id?: PasswordHashing;
  /** Where directory documents are planned; default: in this process. */
  readonly openPlanner?: (services: ApplyDependencies) => Planner;
  readonly log: Log;
  /** How many lines of the log were lost; default: none. */
  readonly logLinesLost?: () => number;
  readonly now: () => Date;
  /** Milliseconds on a clock that no setting changes; default: `performance.now`. */
  readonly monotonicMs?: () => number;
  /**
   * The clock of the machine, which the database's is compared with; default: the system's. It is
   * apart from `now`, because a test's `now` differs from the database's clock on purpose.
   */
  readonly machineClock?: {
    readonly machine: string;
    readonly wallMs: () => number;
    readonly monotonicMs: () => number;
  };
  /** True from the moment this process should get no new requests. */
  readonly isDraining: () => boolean;
  /** How often the topology file is checked for changes; default: see `openTopology`. */
  readonly topologyPollMs?: number;
  /** Beside GitLab Rails, as the settings say now; default: as they said at the start. */
  readonly railsRules?: () => RailsRules | null;
  /** How the keys of issuers of ID tokens are fetched; default: over the network. */
  readonly fetchKeys?: FetchKeys;
  /** The certificates in PEM that the listeners show now, their own first; null: without TLS. */
  readonly tlsCertificate?: () => string | null;
  /** The metrics of this server's other processes. */
  readonly otherMetrics?: () => Promise<readonly Snapshot[]>;
}

/** The test's clock as an option, or no option, so that the default applies. */
export function clockOf({ monotonicMs }: ServerInputs): Pick<ServerInputs, 'monotonicMs'> {
  return monotonicMs === undefined ? {} : { monotonicMs };
}
