import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { within } from '../../within.ts';
import type { ClientClass } from './connections.ts';

/** Plus up to as much again at random, so that replicas don't all reconnect at the same moment. */
const RECONNECT_MS = 700;
const QUERY_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 1000;

/**
 * Runs LISTEN on a separate connection and reconnects whenever it breaks; see `Database.listen`.
 */
export async function listenOnPostgres(
  Client: ClientClass,
  channel: string,
  onNotice: () => void,
): Promise<() => Promise<void>> {
  const stopped = new AbortController();
  const first = await connect(Client, channel, onNotice);
  const following = follow(first, { Client, channel, onNotice, signal: stopped.signal });
  return async () => {
    stopped.abort();
    await following;
  };
}

interface Listener {
  readonly client: pg.Client;
  /** Resolves when the connection has ended. */
  readonly ended: Promise<void>;
}

/** Undefined if it can't connect. */
async function connect(
  Client: ClientClass,
  channel: string,
  onNotice: () => void,
): Promise<Listener | undefined> {
  const client = new Client({ query_timeout: QUERY_TIMEOUT_MS });
  const ended = new Promise<void>((resolve) => {
    client.on('end', () => resolve());
    client.on('error', () => resolve());
  });
  client.on('notification', onNotice);
  try {
    await client.connect();
    await client.query(`LISTEN ${client.escapeIdentifier(channel)}`);
    return { client, ended };
  } catch {
    await client.end().catch(() => undefined);
    return undefined;
  }
}

interface FollowOptions {
  readonly Client: ClientClass;
  readonly channel: string;
  readonly onNotice: () => void;
  readonly signal: AbortSignal;
}

async function follow(
  first: Listener | undefined,
  { Client, channel, onNotice, signal }: FollowOptions,
): Promise<void> {
  const stop = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
  let listener = first;
  while (!signal.aborted) {
    if (listener === undefined) {
      const waitMs = RECONNECT_MS * (1 + Math.random());
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      listener = await connect(Client, channel, onNotice);
      if (listener !== undefined) onNotice();
      continue;
    }
    await Promise.race([listener.ended, stop]);
    await within(
      CLOSE_TIMEOUT_MS,
      listener.client.end().catch(() => undefined),
    );
    listener = undefined;
  }
}
