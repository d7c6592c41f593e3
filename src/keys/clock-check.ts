import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';

/** The identity of the clock that a process reads. */
export interface OwnClock {
  /** A UUID of this process. */
  readonly replica: string;
  /** Processes of one machine read the same clock. */
  readonly machine: string;
}

/** The clock of another process; milliseconds ahead of the database's, negative if behind. */
export interface OtherClock {
  readonly machine: string;
  readonly aheadMs: number;
}

export interface ClockReading {
  /** Milliseconds since 1970, by the database's clock. */
  readonly databaseMs: number;
  /** Those of other processes, as they were in the last half minute. */
  readonly others: readonly OtherClock[];
}

export interface ClockStore {
  /** @param aheadMs saved for other processes to read; null: nothing is saved. */
  compare(own: OwnClock, aheadMs: number | null): Promise<ClockReading>;
}

/** Whose clock is wrong: nobody's, this machine's, or the database's. */
export type ClockVerdict = 'right' | 'own_wrong' | 'database_wrong';

export interface ClockStats {
  readonly verdict: ClockVerdict;
  readonly aheadMs: number;
}

/** Compares the clock of this machine with the database's, again and again. */
export interface ClockCheck {
  /** @throws {CellpassError} `unavailable` while the clock of this machine is wrong. */
  assertRight(): void;
  stats(): ClockStats;
  /** Compares now. Rejects when the database doesn't answer; the last verdict stays. */
  compare(): Promise<void>;
  /** Compares on a timer until closed. */
  poll(): void;
  close(): Promise<void>;
}

export interface ClockCheckOptions {
  readonly store: ClockStore;
  readonly own: OwnClock;
  readonly log: Pick<Log, 'info' | 'error'>;
  /** The clock of the machine, in milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Elapsed milliseconds from an arbitrary start; setting the wall clock doesn't change it. */
  readonly monotonicMs: () => number;
}

/** Half of the 60 s by which registries accept a wrong clock (distribution, registry/auth/token). */
export const TOLERANCE_MS = 30_000;
const POLL_MS = 2000;
/** How often the own clock is saved while it does not change. */
const SAVE_MS = 10_000;
const CHANGED_MS = 1000;
/** A clock that moves by so much between two comparisons was set, and did not drift. */
const SET_MS = 5000;
const LOG_AGAIN_MS = 10 * 60_000;

export interface ClockEvidence {
  readonly aheadMs: number;
  /** Half of the round trip to the database. */
  readonly errorMs: number;
  readonly machine: string;
  readonly others: readonly OtherClock[];
  /** The clocks agreed before, and since then the database's was set, and this machine's was not. */
  readonly databaseWasSet: boolean;
}

/**
 * Says which clock is wrong when the two differ by more than 30 s:
 *
 * 1. A process that agrees with the database shows that this machine is wrong.
 * 2. If the clocks of all other machines differ from the database's in the same way, the database
 *    is wrong. If they differ otherwise, this machine is.
 * 3. A machine that is alone trusts the database, unless it saw the database's clock being set.
 */
export function judgeClocks({
  aheadMs,
  errorMs,
  machine,
  others,
  databaseWasSet,
}: ClockEvidence): ClockVerdict {
  if (Math.abs(aheadMs) - errorMs <= TOLERANCE_MS) return 'right';
  if (others.some((other) => Math.abs(other.aheadMs) <= TOLERANCE_MS)) return 'own_wrong';
  const elsewhere = others.filter((other) => other.machine !== machine);
  if (elsewhere.length === 0) return databaseWasSet ? 'database_wrong' : 'own_wrong';
  const areAlike = elsewhere.every((other) => Math.abs(other.aheadMs - aheadMs) <= TOLERANCE_MS);
  return areAlike ? 'database_wrong' : 'own_wrong';
}

/** Both clocks against the monotonic one, at one comparison. */
interface Offsets {
  readonly wallMs: number;
  readonly databaseMs: number;
}

export function createClockCheck({ store, own, log, wallMs, monotonicMs }: ClockCheckOptions): ClockCheck {
  let stats: ClockStats = { verdict: 'right', aheadMs: 0 };
  let last: Offsets | undefined;
  let databaseWasSet = false;
  let saved: { readonly aheadMs: number; readonly atMs: number } | undefined;
  let loggedMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let isClosed = false;

  /** Null while the saved value is still true. */
  const toSave = (): number | null => {
    if (last === undefined) return null;
    const { aheadMs } = stats;
    const isSaved =
      saved !== undefined &&
      monotonicMs() - saved.atMs < SAVE_MS &&
      Math.abs(saved.aheadMs - aheadMs) < CHANGED_MS;
    return isSaved ? null : aheadMs;
  };
  const watchForSet = (offsets: Offsets): void => {
    if (last === undefined) return;
    if (Math.abs(offsets.wallMs - last.wallMs) >= SET_MS) databaseWasSet = false;
    else if (Math.abs(offsets.databaseMs - last.databaseMs) >= SET_MS) databaseWasSet = true;
  };
  const report = (next: ClockStats): void => {
    const isNew = next.verdict !== stats.verdict;
    stats = next;
    if (next.verdict === 'right') {
      if (isNew) log.info(fieldsOf(next), 'the clocks of this server and of the database agree again');
    } else if (isNew || monotonicMs() - loggedMs >= LOG_AGAIN_MS) {
      loggedMs = monotonicMs();
      log.error(fieldsOf(next), MESSAGES[next.verdict]);
    }
  };
  const compare = async (): Promise<void> => {
    const aheadBefore = toSave();
    const beganMs = monotonicMs();
    const { databaseMs, others } = await store.compare(own, aheadBefore);
    const errorMs = (monotonicMs() - beganMs) / 2;
    if (aheadBefore !== null) saved = { aheadMs: aheadBefore, atMs: beganMs };
    const middleMs = beganMs + errorMs;
    const offsets = { wallMs: wallMs() - monotonicMs(), databaseMs: databaseMs - middleMs };
    watchForSet(offsets);
    last = offsets;
    const aheadMs = offsets.wallMs - offsets.databaseMs;
    const verdict = judgeClocks({ aheadMs, errorMs, machine: own.machine, others, databaseWasSet });
    if (verdict === 'right') databaseWasSet = false;
    report({ verdict, aheadMs });
  };
  const poll = (): void => {
    if (isClosed) return;
    timer = setTimeout(() => {
      // The keyring logs that the database is away, and stops signing after ten seconds.
      running = compare()
        .catch(() => undefined)
        .then(poll);
    }, POLL_MS).unref();
  };
  return {
    assertRight() {
      if (stats.verdict === 'own_wrong') throw clockIsWrong(stats);
    },
    stats: () => stats,
    compare,
    poll,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await running;
    },
  };
}

const MESSAGES: Readonly<Record<Exclude<ClockVerdict, 'right'>, string>> = {
  own_wrong:
    "the clock of this server differs from the database's by more than 30 s, so it issues no tokens: synchronize both with a time server",
  database_wrong:
    "the database's clock differs from the servers' by more than 30 s: synchronize it with a time server; tokens are issued by the servers' clocks",
};

function fieldsOf({ aheadMs }: ClockStats): object {
  return { ahead_of_database_seconds: Math.round(aheadMs) / 1000 };
}

function clockIsWrong({ aheadMs }: ClockStats): CellpassError {
  const seconds = Math.abs(Math.round(aheadMs / 1000));
  const message = `the clock of this server is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the database's`;
  return new CellpassError('unavailable', message, { reason: 'clock_wrong', retryAfterSeconds: 5 });
}
