import type { Secret } from '../authn/secret.ts';
import type { Log } from '../log.ts';
import { type Subject, subjectName } from '../policy/subject.ts';
import { createAllowance } from '../shares/allowance.ts';
import type { StoredRefusal } from '../store/records/refusals.ts';
import { BatchWriter } from './batch-writer.ts';

export interface RefusalLogOptions {
  readonly save: (refusals: readonly StoredRefusal[]) => Promise<void>;
  /** The name of the account that has this login name; null: there is none. */
  readonly findAccount: (loginName: Secret) => Promise<string | null>;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
}

/** Refusals, for `explain --request`. They are written in batches, behind the requests. */
export interface RefusalLog {
  /**
   * Clients without valid credentials share the room by their network.
   */
  add(refusal: StoredRefusal, client: RefusedClient): void;
  /** Writes all refusals that wait now. */
  flush(): Promise<void>;
  /** How many refusals were lost so far. */
  dropped(): number;
  close(): Promise<void>;
}

interface RefusedClient {
  /** Null: the credentials were not valid. */
  readonly subject: Subject | null;
  readonly network: string;
  /** Whose account is still to be found; null: nobody's. */
  readonly loginName: Secret | null;
}

interface HeldRefusal extends StoredRefusal {
  /** The subject, or the network of a client without valid credentials. */
  readonly holder: string;
  readonly loginName: Secret | null;
}

const FLUSH_MS = 1000;
const MAX_WAITING = { items: 400, bytes: 8_000_000 };
/** Clients without valid credentials can be refused as often as they like: they get less room. */
const MAX_UNKNOWN_WAITING = { items: 100, bytes: 2_000_000 };
/**
 * How many bytes of refusals are recorded in a minute: of one subject or network, and of all. They
 * bound what clients make the database write, about 300 MB an hour in each process at most.
 */
const EVERY_MS = 60_000;
const KNOWN_SHARE = { each: 256_000, inAll: 4_000_000, everyMs: EVERY_MS };
const UNKNOWN_SHARE = { each: 64_000, inAll: 1_000_000, everyMs: EVERY_MS };
/** About what a refusal takes without its scopes and facts, and what each of those takes. */
const RECORD_BYTES = 500;
const SCOPE_BYTES = 300;
const PROJECT_BYTES = 1000;

export function createRefusalLog(options: RefusalLogOptions): RefusalLog {
  const { save, findAccount, log, monotonicMs = () => performance.now() } = options;
  const knownShares = createAllowance({ ...KNOWN_SHARE, monotonicMs });
  const unknownShares = createAllowance({ ...UNKNOWN_SHARE, monotonicMs });
  const writer = new BatchWriter<HeldRefusal>({
    save: async (batch) => save(await withAccounts(batch, findAccount)),
    bytesOf,
    batchItems: MAX_WAITING.items,
    everyMs: FLUSH_MS,
    messages: {
      failed: 'refusals could not be recorded',
      lost: 'refusals are missing from the record; "explain --request" does not find them',
    },
    log,
    monotonicMs,
  });
  const addKnown = writer.openQueue({
    ...MAX_WAITING,
    hasShare: (refusal) => knownShares.take(refusal.holder, bytesOf(refusal)),
  });
  const addUnknown = writer.openQueue({
    ...MAX_UNKNOWN_WAITING,
    hasShare: (refusal) => unknownShares.take(refusal.holder, bytesOf(refusal)),
  });
  return {
    add(refusal, { subject, network, loginName }) {
      if (subject === null || subject.kind === 'anonymous')
        addUnknown({ ...refusal, holder: network, loginName });
      else addKnown({ ...refusal, holder: `${subject.kind} ${subjectName(subject)}`, loginName });
    },
    flush: () => writer.flush(),
    dropped: () => Object.values(writer.stats().lost).reduce((sum, count) => sum + count, 0),
    close: () => writer.close(),
  };
}

/**
 * Adds the accounts of failed logins, here because the client must not wait for it. A login name
 * that is no account's is dropped, since it may be a password in the wrong field.
 */
async function withAccounts(
  batch: readonly HeldRefusal[],
  findAccount: RefusalLogOptions['findAccount'],
): Promise<readonly StoredRefusal[]> {
  const accounts = new Map<string, string | null>();
  const accountOf = async (loginName: Secret): Promise<string | null> => {
    const name = loginName.reveal();
    const known = accounts.get(name);
    if (known !== undefined) return known;
    // The record is worth more than the name in it.
    const account = await findAccount(loginName).catch(() => null);
    accounts.set(name, account);
    return account;
  };
  const named: StoredRefusal[] = [];
  for (const { requestId, record, loginName } of batch) {
    const { early } = record;
    const account = loginName !== null && early !== undefined ? await accountOf(loginName) : null;
    named.push({
      requestId,
      record: account && early ? { ...record, early: { ...early, account } } : record,
    });
  }
  return named;
}

function bytesOf({ record: { question, early } }: StoredRefusal): number {
  if (question === null)
    return RECORD_BYTES + (early?.asked ?? []).reduce((sum, scope) => sum + scope.length, 0);
  const { asked, facts } = question;
  const dropped = asked.dropped.reduce((sum, { text }) => sum + text.length, 0);
  return (
    RECORD_BYTES +
    dropped +
    (asked.scopes.length + asked.dropped.length) * SCOPE_BYTES +
    facts.projects.length * PROJECT_BYTES
  );
}
