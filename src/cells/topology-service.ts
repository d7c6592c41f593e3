import { Agent, request } from 'undici';
import { z } from 'zod';
import { CellpassError } from '../errors.ts';
import { createExpiringMap } from './expiring-map.ts';
import type { TopologyServiceSettings } from './topology.ts';

export interface TopologyServiceOptions extends TopologyServiceSettings {
  /** Milliseconds of a clock that never goes back; default: this process's. */
  readonly monotonicMs?: () => number;
}

/** GitLab's Topology Service, after its design documents; this client was not tried against the real one. */
export interface TopologyService {
  /**
   * The host of the cell that claims a top-level namespace; null: none does.
   * @throws {CellpassError} `unavailable` when the service doesn't answer, or with something else.
   */
  classify(namespace: string): Promise<string | null>;
  close(): Promise<void>;
}

/** How long an answer is believed, and how many are kept: whoever asks for names that nobody has must not push out those that are used. */
const CLAIMED = { lifeMs: 60_000, max: 10_000 };
const UNCLAIMED = { lifeMs: 10_000, max: 10_000 };
/** Names being asked for at the same time. */
const MOST_AT_ONCE = 64;
/** After so many failures in a row nobody waits for the service; then one request at a time tries whether it is back. */
const FAILURES_TO_OPEN = 5;
const OPEN_MS = 2000;
const LONGEST_ANSWER_BYTES = 65_536;

const answer = z.object({ action: z.literal('PROXY'), proxy: z.object({ address: z.string().min(1) }) });

export function createTopologyService(options: TopologyServiceOptions): TopologyService {
  const { monotonicMs = () => performance.now() } = options;
  const agent = new Agent({ maxResponseSize: LONGEST_ANSWER_BYTES });
  const claimed = createExpiringMap<string>({ ...CLAIMED, monotonicMs });
  const unclaimed = createExpiringMap<true>({ ...UNCLAIMED, monotonicMs });
  const inFlight = new Map<string, Promise<string | null>>();
  const breaker = createBreaker(monotonicMs);

  const ask = async (namespace: string): Promise<string | null> => {
    breaker.enter();
    try {
      const address = await classify(options, agent, namespace);
      breaker.succeed();
      if (address === null) unclaimed.set(namespace, true);
      else claimed.set(namespace, address);
      return address;
    } catch (error) {
      breaker.fail();
      throw unavailable(error);
    }
  };

  return {
    async classify(namespace) {
      const known = claimed.get(namespace);
      if (known !== undefined) return known;
      if (unclaimed.get(namespace) === true) return null;
      const running = inFlight.get(namespace);
      if (running !== undefined) return running;
      if (inFlight.size >= MOST_AT_ONCE) throw unavailable(new Error('too many names asked for at once'));
      const asked = ask(namespace).finally(() => inFlight.delete(namespace));
      inFlight.set(namespace, asked);
      return asked;
    },
    close: () => agent.close(),
  };
}

async function classify(
  { url, timeoutMs }: TopologyServiceSettings,
  agent: Agent,
  namespace: string,
): Promise<string | null> {
  const { statusCode, body } = await request(`${url}/v1/classify`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
    body: JSON.stringify({ type: 'ROUTE', value: namespace }),
    dispatcher: agent,
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await body.text();
  if (statusCode === 404) return null;
  if (statusCode !== 200) throw new Error(`the Topology Service answered ${statusCode}`);
  return answer.parse(JSON.parse(text)).proxy.address.toLowerCase();
}

interface Breaker {
  /** Throws while nobody should wait. */
  enter(): void;
  succeed(): void;
  fail(): void;
}

function createBreaker(monotonicMs: () => number): Breaker {
  let failures = 0;
  let closedUntilMs = 0;
  return {
    enter() {
      if (failures < FAILURES_TO_OPEN) return;
      if (monotonicMs() < closedUntilMs) throw unavailable(new Error('it failed several times in a row'));
      // Until this one has its answer, nobody else tries.
      closedUntilMs = monotonicMs() + OPEN_MS;
    },
    succeed() {
      failures = 0;
    },
    fail() {
      failures += 1;
      closedUntilMs = monotonicMs() + OPEN_MS;
    },
  };
}

function unavailable(cause: unknown): CellpassError {
  if (cause instanceof CellpassError) return cause;
  return new CellpassError('unavailable', 'it could not be found out which cell this belongs to; try again', {
    reason: 'topology_service',
    cause,
  });
}
