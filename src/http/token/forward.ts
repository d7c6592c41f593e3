import type { Context } from 'koa';
import { Agent, type Dispatcher, request } from 'undici';
import type { Cell } from '../../cells/topology.ts';
import { CellpassError } from '../../errors.ts';
import type { RequestState } from '../request-state.ts';
import { HELD_BACK, HELD_BACK_HEADER, HOP_HEADER, type TokenRequest } from './request.ts';

/** To which cell, and what may go there. */
interface Destination {
  readonly cell: Cell;
  /** The id of this cell. */
  readonly self: number;
  /** Whether the other cell may be shown the credentials. */
  readonly takesCredentials: boolean;
}

/** Token requests to the issuers of other cells. */
export interface Forwarder {
  /**
   * Answers with what the other cell answers.
   * @throws {CellpassError} `unavailable` when it doesn't in time, or with something that no issuer answers.
   */
  forward(
    ctx: Context & { state: RequestState },
    asked: TokenRequest,
    destination: Destination,
  ): Promise<void>;
  close(): Promise<void>;
}

export interface ForwarderOptions {
  /** From the first byte sent to the last byte received; clients give up after 15 s. */
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 3000;
/** To one cell; over that, requests wait for one another. */
const CONNECTIONS = 128;
const KEEP_ALIVE_MS = 30_000;
/** An issuer's answer is a tenth of it. */
const LONGEST_ANSWER_BYTES = 262_144;
const RETURNED_HEADERS = ['www-authenticate', 'retry-after', 'cache-control', 'x-request-id'] as const;

export function createForwarder({ deadlineMs = DEADLINE_MS }: ForwarderOptions = {}): Forwarder {
  const agent = new Agent({
    connections: CONNECTIONS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: { timeout: deadlineMs },
    maxResponseSize: LONGEST_ANSWER_BYTES,
  });
  return {
    async forward(ctx, asked, destination) {
      ctx.state.logFields['forwarded_to'] = destination.cell.id;
      const answer = await ask(agent, toOutgoing(ctx, asked, destination), deadlineMs).catch(
        (error: unknown) => {
          throw unavailable(destination.cell, error);
        },
      );
      for (const [name, value] of answer.headers) ctx.set(name, value);
      ctx.status = answer.status;
      ctx.type = 'application/json';
      ctx.body = answer.body;
    },
    close: () => agent.close(),
  };
}

interface Outgoing {
  readonly url: string;
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Record<string, string>;
  readonly body: Buffer | string | null;
}

function toOutgoing(
  ctx: Context & { state: RequestState },
  { form, credentials }: TokenRequest,
  { cell, self, takesCredentials }: Destination,
): Outgoing {
  // What is refused there would be refused for being no credentials at all, and not for being of another cell.
  const heldBack = !takesCredentials;
  const authorization = ctx.get('Authorization');
  return {
    url: `${cell.url}/jwt/auth${ctx.search}`,
    method: form === null ? 'GET' : 'POST',
    headers: {
      Accept: 'application/json',
      'User-Agent': ctx.get('User-Agent') || 'cellpass',
      'X-Forwarded-For': ctx.state.clientAddress.text,
      [HOP_HEADER]: `cell-${self}`,
      ...(heldBack && { [HELD_BACK_HEADER]: HELD_BACK }),
      ...(form !== null && { 'Content-Type': 'application/x-www-form-urlencoded' }),
      ...(!heldBack && form === null && credentials !== null && { Authorization: authorization }),
    },
    body: form !== null && heldBack ? withoutCredentials(form) : form,
  };
}

function withoutCredentials(form: Buffer): string {
  const params = new URLSearchParams(form.toString('utf8'));
  for (const name of ['username', 'password', 'refresh_token']) params.delete(name);
  return params.toString();
}

interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

async function ask(agent: Agent, outgoing: Outgoing, deadlineMs: number): Promise<Answer> {
  const signal = AbortSignal.timeout(deadlineMs);
  try {
    return await send(agent, outgoing, signal);
  } catch (error) {
    // A connection that was kept may be closed just when it is used again; to ask twice for a token does no harm.
    if (signal.aborted || !isLostConnection(error)) throw error;
    return send(agent, outgoing, signal);
  }
}

async function send(
  agent: Agent,
  { url, method, headers, body }: Outgoing,
  signal: AbortSignal,
): Promise<Answer> {
  const response = await request(url, { method, headers, body, dispatcher: agent, signal });
  const bytes = Buffer.from(await response.body.arrayBuffer());
  // A proxy on the way, or a server of another kind: clients would not understand it.
  if (!isJson(response.headers['content-type']) || isRedirect(response.statusCode)) {
    throw new Error(`${url.split('?', 1)[0]} answered ${response.statusCode} that is no issuer's`);
  }
  return {
    status: response.statusCode,
    headers: RETURNED_HEADERS.flatMap((name) => {
      const value = response.headers[name];
      return typeof value === 'string' ? [[name, value] as const] : [];
    }),
    body: bytes,
  };
}

function isJson(contentType: string | string[] | undefined): boolean {
  return typeof contentType === 'string' && /^application\/json\b/i.test(contentType);
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

const LOST: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

function isLostConnection(error: unknown): boolean {
  return error instanceof Error && 'code' in error && LOST.has(String(error.code));
}

function unavailable({ id }: Cell, cause: unknown): CellpassError {
  return new CellpassError('unavailable', `cell ${id}, which answers this, is away or slow; try again`, {
    reason: 'cell_away',
    cause,
  });
}
