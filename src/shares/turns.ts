import { randomInt } from 'node:crypto';
import { CellpassError, type Reason } from '../errors.ts';
import { createPlaces } from './places.ts';
import { createWaitingLine, type Holder, type WaitingLine } from './waiting-line.ts';

export interface TurnsOptions {
  /** How much work runs at the same time. */
  readonly places: number;
  /** How many of the places one address may hold; default: all. */
  readonly perAddress?: number;
  /** How many may wait; default: no bound, where something else bounds them. */
  readonly waiting?: number;
  /** The answer when too many wait. */
  readonly refusal: { readonly message: string; readonly reason: Reason };
}

/** What is held and waited for at this moment, and refusals since the start. */
export interface ShareStats {
  readonly held: number;
  readonly waiting: number;
  readonly refused: number;
}

export const NO_SHARES: ShareStats = { held: 0, waiting: 0, refused: 0 };

/**
 * Bounds work that runs at the same time. Holders take turns, so that one of them can't keep the
 * others out; see docs/adr/0015-fair-shares.md.
 */
export interface Turns {
  /**
   * Runs `work` when the holder's turn comes, and gives the place back when it is done, or earlier
   * if `work` calls `end`.
   * @param clientGone ends the wait when it is aborted; a function is called only if the holder
   * must wait. Work that has begun is finished.
   * @throws {CellpassError} `unavailable` when too many wait, or when the client is gone.
   */
  run<T>(
    holder: Holder,
    work: (end: () => void) => Promise<T>,
    clientGone?: AbortSignal | (() => AbortSignal),
  ): Promise<T>;
  /** @throws {CellpassError} `unavailable` when `run` would refuse. */
  refuseIfFull(holder: Holder): void;
  /**
   * The account has proved who it is. Its turn counts for the account from all addresses: what is
   * only claimed must not make the account's owner wait.
   */
  charge(account: string): void;
  stats(): ShareStats;
}

/**
 * Different waits for clients that are refused at the same time, so that they do not all retry
 * together.
 */
const LONGEST_RETRY_SECONDS = 4;

interface Waiter {
  readonly holder: Holder;
  readonly begin: () => void;
  readonly refuse: () => void;
}

export function createTurns(options: TurnsOptions): Turns {
  const { places: total, perAddress = total, waiting: mostWaiting = Number.POSITIVE_INFINITY } = options;
  const places = createPlaces({ total, perHolder: perAddress });
  const line = createWaitingLine<Waiter>();
  let refused = 0;

  const begin = (holder: Holder): void => {
    places.take(holder.address);
    line.noteTurn(holder);
  };
  const full = (): CellpassError => {
    refused += 1;
    return new CellpassError('unavailable', options.refusal.message, {
      reason: options.refusal.reason,
      retryAfterSeconds: randomInt(1, LONGEST_RETRY_SECONDS + 1),
    });
  };
  /** The place passes straight to a waiter, so that no newcomer takes it in between. */
  const end = ({ address }: Holder): void => {
    places.give(address);
    const next = line.takeNext(places.hasRoom);
    if (next === undefined) return;
    begin(next.holder);
    next.begin();
  };
  const isFull = ({ address }: Holder): boolean => !places.hasRoom(address) && line.size() >= mostWaiting;
  const enter = async (holder: Holder, clientGone?: AbortSignal): Promise<void> => {
    if (clientGone?.aborted === true) throw clientGoneError();
    if (isFull(holder)) {
      const evicted = line.takeFromLonger(holder.address);
      if (evicted === undefined) throw full();
      evicted.refuse();
    }
    await waitIn(line, holder, { clientGone, full });
  };

  return {
    async run(holder, work, clientGone) {
      if (clientGone instanceof AbortSignal && clientGone.aborted) throw clientGoneError();
      if (places.hasRoom(holder.address)) begin(holder);
      else await enter(holder, typeof clientGone === 'function' ? clientGone() : clientGone);
      let isOver = false;
      const endOnce = (): void => {
        if (isOver) return;
        isOver = true;
        end(holder);
      };
      try {
        return await work(endOnce);
      } finally {
        endOnce();
      }
    },
    refuseIfFull(holder) {
      if (isFull(holder) && !line.hasLonger(holder.address)) throw full();
    },
    charge: line.noteAccount,
    stats: () => ({ held: places.held(), waiting: line.size(), refused }),
  };
}

interface Waiting {
  readonly clientGone: AbortSignal | undefined;
  /** Makes the error for a waiter that has to leave, because the line is full. */
  readonly full: () => CellpassError;
}

/** Resolves when the holder's turn comes. */
function waitIn(line: WaitingLine<Waiter>, holder: Holder, { clientGone, full }: Waiting): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      line.remove(waiter);
      reject(clientGoneError());
    };
    const settle = (finish: () => void) => () => {
      clientGone?.removeEventListener('abort', giveUp);
      finish();
    };
    const waiter = { holder, begin: settle(resolve), refuse: settle(() => reject(full())) };
    line.add(waiter);
    clientGone?.addEventListener('abort', giveUp, { once: true });
  });
}

/** The stats of several shares as one. */
export function sumOf(all: readonly ShareStats[]): ShareStats {
  const sum = (pick: (stats: ShareStats) => number): number =>
    all.reduce((total, stats) => total + pick(stats), 0);
  return {
    held: sum(({ held }) => held),
    waiting: sum(({ waiting }) => waiting),
    refused: sum(({ refused }) => refused),
  };
}

/** Only the log shows it: no client waits for the answer. */
function clientGoneError(): CellpassError {
  return new CellpassError('unavailable', 'the client has gone away', { reason: 'client_gone' });
}
