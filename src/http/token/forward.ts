import { mayBePassword } from '../../authn/credential-kinds.ts';
import type { Cell } from '../../cells/topology.ts';
import { CellpassError } from '../../errors.ts';
import { createTurns, type ShareStats, sumOf, type Turns } from '../../shares/turns.ts';
import { type RailsAnswer, toRailsAnswer } from './rails/client.ts';
import { ANSWERED_BY, RAILS } from './rails/headers.ts';
import { HELD_BACK, HELD_BACK_HEADER, HOP_HEADER, type TokenRequest } from './request.ts';
import { createUpstream, type Outgoing, type Upstream } from './upstream.ts';

/** The other cell, and what may go there. */
interface Destination {
  readonly cell: Cell;
  /** The id of this cell. */
  readonly self: number;
  /** Whether the other cell may be shown the credentials. */
  readonly takesCredentials: boolean;
}

/** A token request as it came, as far as another server needs it. */
export interface IncomingRequest extends Pick<TokenRequest, 'form' | 'credentials'> {
  /** The origin of a web page that may ask for tokens; null: another client. */
  readonly webPage: string | null;
  /** The query with its question mark; empty: none. */
  readonly search: string;
  /** Headers; empty: missing. */
  readonly authorization: string;
  readonly userAgent: string;
  readonly clientAddress: string;
  /** The address, or its IPv6 network, whose share of the connections the request takes. */
  readonly network: string;
  /** When the request came, as `performance.now()` gives it. */
  readonly startedAtMs: number;
}

/** The answer of another cell, or of the Rails beside it. */
type Forwarded =
  | { readonly by: 'cell'; readonly answer: ForwardedAnswer }
  | { readonly by: 'rails'; readonly answer: RailsAnswer };

export interface ForwardedAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** JSON. */
  readonly body: Buffer;
}

/** Sends token requests to the issuers of other cells. */
export interface Forwarder {
  /** @throws {CellpassError} `unavailable` without an issuer's answer in time. */
  forward(incoming: IncomingRequest, destination: Destination): Promise<Forwarded>;
  /** Of the connections to all cells. */
  stats(): ShareStats;
  close(): Promise<void>;
}

export interface ForwarderOptions {
  /**
   * From the first byte sent to the last byte received; less where the request has waited before.
   * Clients give up after 15 s.
   */
  readonly deadlineMs?: number;
  /** The same for credentials that may be a password, which the other cell hashes in its turn. */
  readonly passwordDeadlineMs?: number;
}

const DEADLINE_MS = 3000;
/** A look-up of the cell may take so long without shortening the deadline: 4 s in all, with a margin. */
const FREE_MS = 900;
/** To one cell. Further requests wait for their turn. */
const CONNECTIONS = 128;
/** How many of them one address may use. */
const CONNECTIONS_OF_ONE_ADDRESS = 32;
/**
 * The headers that the client gets, with the form that each must have, so that a cell that was taken
 * over can't send clients elsewhere. The challenge of a 401 is this cell's own.
 */
const RETURNED_HEADERS: Readonly<Record<string, RegExp>> = {
  'retry-after': /^\d{1,6}$/,
  'cache-control': /^no-store$/,
  'x-request-id': /^[A-Za-z0-9-]{1,64}$/,
};
/** The statuses of the contract that another cell may answer. */
const RETURNED_STATUSES: ReadonlySet<number> = new Set([200, 400, 401, 403, 404, 421, 429, 431, 503]);

export function createForwarder({
  deadlineMs = DEADLINE_MS,
  passwordDeadlineMs = deadlineMs,
}: ForwarderOptions = {}): Forwarder {
  const upstream = createUpstream({ connections: CONNECTIONS, connectMs: deadlineMs });
  const turns = createTurnsByCell();
  return {
    forward: (incoming, destination) => {
      const isPassword =
        destination.takesCredentials && incoming.credentials !== null && mayBePassword(incoming.credentials);
      const late = Math.max(0, Math.ceil(performance.now() - incoming.startedAtMs - FREE_MS));
      const signal = AbortSignal.timeout(isPassword ? passwordDeadlineMs : Math.max(1, deadlineMs - late));
      const work = () => ask(upstream, toOutgoing(incoming, destination), signal);
      const holder = { address: incoming.network };
      return turns
        .of(destination.cell)
        .run(holder, work, signal)
        .catch((error: unknown) => {
          throw unavailable(destination.cell, error);
        });
    },
    stats: turns.stats,
    close: () => upstream.close(),
  };
}

interface TurnsByCell {
  of(cell: Cell): Turns;
  stats(): ShareStats;
}

/** One cell that is slow must not keep requests for the others waiting. */
function createTurnsByCell(): TurnsByCell {
  const byCell = new Map<number, Turns>();
  return {
    of({ id }) {
      const turns =
        byCell.get(id) ??
        createTurns({
          places: CONNECTIONS,
          perAddress: CONNECTIONS_OF_ONE_ADDRESS,
          refusal: { message: `too many requests for cell ${id} at once`, reason: 'cell_away' },
        });
      byCell.set(id, turns);
      return turns;
    },
    stats: () => sumOf([...byCell.values()].map((turns) => turns.stats())),
  };
}

function toOutgoing(incoming: IncomingRequest, destination: Destination): Outgoing {
  const { form, credentials, webPage, search, authorization, userAgent, clientAddress } = incoming;
  const { cell, self, takesCredentials } = destination;
  // Without this header the other cell could not tell held-back credentials from none.
  const heldBack = !takesCredentials;
  return {
    url: `${cell.url}/jwt/auth${heldBack ? searchWithoutCredentials(search) : search}`,
    method: form === null ? 'GET' : 'POST',
    headers: {
      Accept: 'application/json',
      'User-Agent': userAgent || 'cellpass',
      'X-Forwarded-For': clientAddress,
      [HOP_HEADER]: `cell-${self}`,
      ...(webPage !== null && { Origin: webPage }),
      ...(heldBack && { [HELD_BACK_HEADER]: HELD_BACK }),
      ...(form !== null && { 'Content-Type': 'application/x-www-form-urlencoded' }),
      ...(!heldBack && form === null && credentials !== null && { Authorization: authorization }),
    },
    body: form !== null && heldBack ? withoutCredentials(form) : form,
  };
}

const CREDENTIALS = ['username', 'password', 'refresh_token', 'subject_token'];

function withoutCredentials(form: Buffer): string {
  const params = new URLSearchParams(form.toString('utf8'));
  for (const name of CREDENTIALS) params.delete(name);
  return params.toString();
}

/** No cell reads credentials in a query; but a client may send them there, and other cells log it. */
function searchWithoutCredentials(search: string): string {
  const params = new URLSearchParams(search);
  if (!CREDENTIALS.some((name) => params.has(name))) return search;
  const rest = withoutCredentials(Buffer.from(search.slice(1)));
  return rest === '' ? '' : `?${rest}`;
}

async function ask(upstream: Upstream, outgoing: Outgoing, signal: AbortSignal): Promise<Forwarded> {
  const answer = await upstream.ask(outgoing, signal);
  const { status, headers, body } = answer;
  if (headers[ANSWERED_BY.toLowerCase()] === RAILS) return { by: 'rails', answer: toRailsAnswer(answer) };
  // A proxy's error page, or another kind of server: clients would not understand it.
  if (!isJson(headers['content-type']) || !RETURNED_STATUSES.has(status)) {
    throw new Error(`${outgoing.url.split('?', 1)[0]} answered ${status} that is no issuer's`);
  }
  const returned = Object.entries(RETURNED_HEADERS).flatMap(([name, form]) => {
    const value = headers[name];
    return typeof value === 'string' && form.test(value) ? [[name, value] as const] : [];
  });
  return { by: 'cell', answer: { status, headers: returned, body } };
}

function isJson(contentType: string | string[] | undefined): boolean {
  return typeof contentType === 'string' && /^application\/json\b/i.test(contentType);
}

function unavailable({ id }: Cell, cause: unknown): CellpassError {
  return new CellpassError('unavailable', `cell ${id}, which answers this, is away or slow; try again`, {
    reason: 'cell_away',
    cause,
  });
}
