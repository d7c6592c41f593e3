import { CellpassError } from '../../errors.ts';
import { createExpiringMap } from '../../expiring-map.ts';
import type { Log } from '../../log.ts';
import { createTurns, type ShareStats } from '../../shares/turns.ts';
import type { Requester } from '../choose-cell.ts';
import type { TopologyServiceSettings } from '../topology.ts';
import { createClassifier, NameRefused } from './classifier.ts';

export interface TopologyServiceOptions extends TopologyServiceSettings {
  /** Elapsed milliseconds of a clock that never goes back; default: this process's. */
  readonly monotonicMs?: () => number;
  /** Counters to increment; shared by all clients across reloads. */
  readonly calls?: TopologyServiceCalls;
  readonly log: Pick<Log, 'error'>;
}

/**
 * Calls since the start: answered, failed, and not sent, because the service was away or too many
 * calls were open.
 */
export interface TopologyServiceCalls {
  answered: number;
  failed: number;
  notAsked: number;
}

export interface TopologyServiceStats extends Readonly<TopologyServiceCalls> {
  /** It failed several times in a row, so requests fail at once instead of waiting for it. */
  readonly isAway: boolean;
}

/**
 * A client of GitLab's Topology Service, written after its protocol; it was not tested against the
 * real service.
 */
export interface TopologyService {
  /**
   * The host of the cell that claims a top-level namespace; null: none does. Waits for the turn of
   * the requester's network, at most as long as for an answer.
   * @throws {CellpassError} `unavailable` if the service doesn't answer, or answers something else.
   */
  classify(namespace: string, requester: Pick<Requester, 'network' | 'gone'>): Promise<string | null>;
  isAway(): boolean;
  /** Of the open calls. */
  shareStats(): ShareStats;
  close(): Promise<void>;
}

/**
 * How long and how many answers are cached. Unclaimed names have their own cache, so that requests
 * for invented names can't evict claimed ones.
 */
const CLAIMED = { lifeMs: 60_000, max: 10_000 };
const UNCLAIMED = { lifeMs: 10_000, max: 10_000 };
/** Open calls, in all and of one address. */
const PLACES = { places: 64, perAddress: 8 };
/** Waiting calls beyond the time-out's worth of them would only wait in vain. */
const MOST_WAITING = 1024;
/**
 * After so many failures in a row, requests fail at once; then one call every 2 s tests the
 * service.
 */
const FAILURES_TO_OPEN = 5;
const OPEN_MS = 2000;

export const NO_CALLS: TopologyServiceCalls = { answered: 0, failed: 0, notAsked: 0 };

/** Creates a client with a cache, a limit of open calls, and a circuit breaker. */
export function createTopologyService(options: TopologyServiceOptions): TopologyService {
  const { monotonicMs = () => performance.now(), calls = { ...NO_CALLS } } = options;
  const classifier = createClassifier({ ...options, monotonicMs });
  const claimed = createExpiringMap<string>({ ...CLAIMED, monotonicMs });
  const unclaimed = createExpiringMap<true>({ ...UNCLAIMED, monotonicMs });
  const inFlight = new Map<string, Promise<string | null>>();
  const breaker = createBreaker(monotonicMs);

  const turns = createTurns({
    ...PLACES,
    waiting: MOST_WAITING,
    refusal: { message: 'too many questions about cells at once; try again', reason: 'topology_service' },
  });

  const refuseWhere = (refused: boolean, why: string): void => {
    if (!refused) return;
    calls.notAsked += 1;
    throw unavailable(new Error(why));
  };
  const ask = async (namespace: string): Promise<string | null> => {
    refuseWhere(!breaker.enter(), 'the Topology Service failed several times in a row');
    try {
      const address = await classifier.classify(namespace);
      calls.answered += 1;
      breaker.succeed();
      if (address === null) unclaimed.set(namespace, true);
      else claimed.set(namespace, address);
      return address;
    } catch (error) {
      calls.failed += 1;
      if (error instanceof NameRefused) breaker.succeed();
      else breaker.fail();
      throw unavailable(error);
    }
  };

  /** From the cache, or from a call that is open; undefined: the service must be asked. */
  const recall = (namespace: string): Promise<string | null> | string | null | undefined => {
    const known = claimed.get(namespace);
    if (known !== undefined) return known;
    return unclaimed.get(namespace) === true ? null : inFlight.get(namespace);
  };
  const begin = (namespace: string): Promise<string | null> => {
    const asked = ask(namespace).finally(() => inFlight.delete(namespace));
    inFlight.set(namespace, asked);
    return asked;
  };

  return {
    async classify(namespace, { network, gone }) {
      const recalled = recall(namespace);
      if (recalled !== undefined) return recalled;
      // Only open calls are shared: the turn of another network may come later than one's own.
      const inTurn = async (): Promise<string | null> => {
        const meanwhile = recall(namespace);
        return meanwhile === undefined ? begin(namespace) : meanwhile;
      };
      const tooLate = (): AbortSignal => AbortSignal.any([gone(), AbortSignal.timeout(options.timeoutMs)]);
      return turns.run({ address: network }, inTurn, tooLate).catch((error: unknown) => {
        if (!(error instanceof CellpassError) || error.reason !== 'client_gone') throw error;
        calls.notAsked += 1;
        throw unavailable(new Error('the turn to ask the Topology Service did not come in time'));
      });
    },
    isAway: () => breaker.isOpen(),
    shareStats: turns.stats,
    close: () => classifier.close(),
  };
}

interface Breaker {
  /** False while calls must fail at once. */
  enter(): boolean;
  succeed(): void;
  fail(): void;
  isOpen(): boolean;
}

function createBreaker(monotonicMs: () => number): Breaker {
  let failures = 0;
  let closedUntilMs = 0;
  return {
    enter() {
      if (failures < FAILURES_TO_OPEN) return true;
      if (monotonicMs() < closedUntilMs) return false;
      // Until this call has its answer, no other one is sent.
      closedUntilMs = monotonicMs() + OPEN_MS;
      return true;
    },
    succeed() {
      failures = 0;
    },
    fail() {
      failures += 1;
      closedUntilMs = monotonicMs() + OPEN_MS;
    },
    isOpen: () => failures >= FAILURES_TO_OPEN,
  };
}

function unavailable(cause: unknown): CellpassError {
  if (cause instanceof CellpassError) return cause;
  return new CellpassError('unavailable', 'could not find out which cell this belongs to; try again', {
    reason: 'topology_service',
    cause,
  });
}
