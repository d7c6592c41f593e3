import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { within } from './connections.ts';

const RECONNECT_MS = 1000;
const CONNECT_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 1000;

/**
 * Runs LISTEN on a separate connection and reconnects whenever it breaks; see `Database.listen`.
 */
export async function listenOnPostgres(
  url: string,
  channel: string,
  onNotice: () => void,
): Promise<() => Promise<void>> {
  const stopped = new AbortController();
  const first = await connect(url, channel, onNotice);
  const following = follow(first, { url, channel, onNotice, signal: stopped.signal });
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
async function connect(url: string, channel: string, onNotice: () => void): Promise<Listener | undefined> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'cellpass listener',
  });
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
  readonly url: string;
  readonly channel: string;
  readonly onNotice: () => void;
  readonly signal: AbortSignal;
}

async function follow(
  first: Listener | undefined,
  { url, channel, onNotice, signal }: FollowOptions,
): Promise<void> {
  const stop = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
  let listener = first;
  while (!signal.aborted) {
    if (listener === undefined) {
      await delay(RECONNECT_MS, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      listener = await connect(url, channel, onNotice);
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
