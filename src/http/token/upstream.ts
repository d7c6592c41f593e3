import { Agent, type Dispatcher, request } from 'undici';

/** Asks another server for the answer to a token request: another cell, or GitLab Rails. */

/** A request as it goes out. */
export interface Outgoing {
  readonly url: string;
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | string | null;
}

/** An answer as it came. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface Upstream {
  /**
   * Follows no redirect.
   * @throws the error of the connection, or of `signal`; when the answer is too long.
   */
  ask(outgoing: Outgoing, signal: AbortSignal): Promise<UpstreamAnswer>;
  close(): Promise<void>;
}

const KEEP_ALIVE_MS = 30_000;
/** Ten times an issuer's largest answer. */
const LONGEST_ANSWER_BYTES = 262_144;

/** @param options `connections` to one server, at most; `connectMs` until one is open. */
export function createUpstream({
  connections,
  connectMs,
}: {
  readonly connections: number;
  readonly connectMs: number;
}): Upstream {
  const agent = new Agent({
    connections,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: { timeout: connectMs },
    maxResponseSize: LONGEST_ANSWER_BYTES,
  });
  const send = ({ url, method, headers, body }: Outgoing, signal: AbortSignal) =>
    request(url, { method, headers, body, dispatcher: agent, signal });
  const sendAgainIfLost = async (outgoing: Outgoing, signal: AbortSignal) => {
    try {
      return await send(outgoing, signal);
    } catch (error) {
      // The server may close an idle connection just when it is used again. Once an answer has begun,
      // the server has done its work, and perhaps counted a failed attempt.
      if (signal.aborted || !isLostConnection(error)) throw error;
      return send(outgoing, signal);
    }
  };
  return {
    ask: async (outgoing, signal) => {
      const { statusCode, headers, body } = await sendAgainIfLost(outgoing, signal);
      return { status: statusCode, headers, body: Buffer.from(await body.arrayBuffer()) };
    },
    close: () => agent.close(),
  };
}

const LOST: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

function isLostConnection(error: unknown): boolean {
  return error instanceof Error && 'code' in error && LOST.has(String(error.code));
}
