import { CellpassError } from '../../../errors.ts';
import { createTurns, type ShareStats } from '../../../shares/turns.ts';
import { HOP_HEADER, RAILS_HOP } from '../request.ts';
import { createUpstream, type Outgoing, type UpstreamAnswer } from '../upstream.ts';

/** GitLab Rails' own `/jwt/auth`. */

/** A token request, as Rails is asked for its answer. */
export interface RailsRequest {
  /** The query with its question mark; empty: none. */
  readonly search: string;
  /** The unchanged body of a POST; null for a GET. */
  readonly form: Buffer | null;
  /** Headers; empty: missing. */
  readonly contentType: string;
  readonly authorization: string;
  readonly accept: string;
  readonly userAgent: string;
  readonly clientAddress: string;
  /** The address, or its IPv6 network, whose share of the connections the request takes. */
  readonly network: string;
  /** Aborted when nobody waits for the answer any more; missing: somebody always does. */
  readonly gone?: () => AbortSignal;
}

/** An answer of Rails that a client may get. */
export interface RailsAnswer {
  readonly status: number;
  /** Null: it names none. */
  readonly contentType: string | null;
  /** Seconds, as text. */
  readonly retryAfter: string | null;
  readonly body: Buffer;
}

export interface RailsClient {
  /** @throws {CellpassError} `unavailable` without an answer in time that a client may get. */
  ask(request: RailsRequest): Promise<RailsAnswer>;
  /** Of the connections. */
  stats(): ShareStats;
  close(): Promise<void>;
}

/** From the first byte sent to the last byte received. Clients give up after 15 s. */
export const RAILS_DEADLINE_MS = 10_000;
const CONNECTIONS = 128;
/** How many of them one address may use. */
const CONNECTIONS_OF_ONE_ADDRESS = 32;
/** For a connection, with up to 64 KiB each. */
const MOST_WAITING = 1024;

export function createRailsClient(
  url: string,
  { deadlineMs = RAILS_DEADLINE_MS }: { readonly deadlineMs?: number } = {},
): RailsClient {
  const upstream = createUpstream({ connections: CONNECTIONS, connectMs: deadlineMs });
  const turns = createTurns({
    places: CONNECTIONS,
    perAddress: CONNECTIONS_OF_ONE_ADDRESS,
    waiting: MOST_WAITING,
    refusal: { message: 'too many requests for GitLab at once', reason: 'rails_away' },
  });
  return {
    ask: async (request) => {
      const signal = AbortSignal.timeout(deadlineMs);
      const wait = (): AbortSignal =>
        request.gone === undefined ? signal : AbortSignal.any([signal, request.gone()]);
      const work = () => upstream.ask(toOutgoing(url, request), signal);
      try {
        // A request that has begun is finished: who hangs up after a guess has guessed, too.
        return toRailsAnswer(await turns.run({ address: request.network }, work, wait));
      } catch (error) {
        if (error instanceof CellpassError && !signal.aborted) throw error;
        throw new CellpassError('unavailable', 'GitLab, which answers this, is away or slow; try again', {
          reason: 'rails_away',
          retryAfterSeconds: 1,
          cause: error,
        });
      }
    },
    stats: () => turns.stats(),
    close: () => upstream.close(),
  };
}

function toOutgoing(url: string, request: RailsRequest): Outgoing {
  const { search, form, contentType, authorization, accept, userAgent, clientAddress } = request;
  return {
    url: `${url}/jwt/auth${search}`,
    method: form === null ? 'GET' : 'POST',
    headers: {
      Accept: accept || 'application/json',
      'User-Agent': userAgent || 'cellpass',
      'X-Forwarded-For': clientAddress,
      [HOP_HEADER]: RAILS_HOP,
      ...(authorization !== '' && { Authorization: authorization }),
      ...(contentType !== '' && form !== null && { 'Content-Type': contentType }),
    },
    body: form,
  };
}

const MEDIA_TYPE = /^[\w.+-]{1,64}\/[\w.+-]{1,64}(?:; ?charset=[\w-]{1,32})?$/i;
const SECONDS = /^\d{1,6}$/;

/**
 * Every refusal may come through, because clients know those of GitLab; an answer that is neither a
 * refusal nor a token may not: a redirect could lead clients elsewhere.
 * @throws when it is of another kind.
 */
export function toRailsAnswer({ status, headers, body }: UpstreamAnswer): RailsAnswer {
  const isSuccess = status >= 200 && status < 300;
  if (status < 400 && !(isSuccess && tokenOf(body) !== null)) {
    throw new Error(`Rails answered ${status} without a token`);
  }
  return {
    status,
    contentType: inForm(headers['content-type'], MEDIA_TYPE),
    retryAfter: inForm(headers['retry-after'], SECONDS),
    body,
  };
}

function inForm(value: string | string[] | undefined, form: RegExp): string | null {
  return typeof value === 'string' && form.test(value) ? value : null;
}

/** The token of an answer; null: it has none. */
export function tokenOf(body: Buffer): string | null {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null || !('token' in parsed)) return null;
    return typeof parsed.token === 'string' ? parsed.token : null;
  } catch {
    return null;
  }
}
