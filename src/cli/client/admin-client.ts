import createClient, { type Client } from 'openapi-fetch';
import { Agent, fetch } from 'undici';
import { CellpassError, type Problem } from '../../errors.ts';
import type { paths } from '../../http/schema.gen.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminFlags, type AdminRoute, routeToAdmin } from './admin-route.ts';

export interface AdminClient {
  readonly api: Client<paths>;
  /**
   * The body of an answer that may be larger than the memory, as it comes; it throws when the
   * connection ends before the body does.
   */
  download(path: keyof paths): Promise<AsyncIterable<Uint8Array>>;
  close(): Promise<void>;
}

/** Connects to the admin API for one piece of work, and closes the connection afterwards. */
export async function withAdmin<T>(
  terminal: Terminal,
  flags: AdminFlags,
  work: (client: AdminClient) => Promise<T>,
): Promise<T> {
  const client = connectToAdmin(routeToAdmin(terminal, flags));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** Makes a client of the admin API, typed by the contract. */
function connectToAdmin({ baseUrl, name, connect, headers, ifUnreachable }: AdminRoute): AdminClient {
  const agent = new Agent({ connect, headersTimeout: 0, bodyTimeout: 0 });
  const api = createClient<paths>({
    baseUrl,
    // The fetch of undici does not take a Request of Node's built-in fetch.
    fetch: async (request) => {
      const body = request.method === 'GET' || request.method === 'HEAD' ? null : await request.arrayBuffer();
      const response = await fetch(request.url, {
        method: request.method,
        headers: [...request.headers, ...headers],
        body,
        signal: request.signal,
        dispatcher: agent,
        // A redirect could send the admin token to another server.
        redirect: 'manual',
      }).catch((error: unknown) => {
        throw unreachable(`no server answers on ${name}`, ifUnreachable, error);
      });
      if (response.status >= 300 && response.status < 400) throw redirected(name);
      const answer = new Headers([...response.headers]);
      return new Response(response.status === 204 ? null : await response.arrayBuffer(), {
        status: response.status,
        headers: answer,
      });
    },
  });
  const download: AdminClient['download'] = async (path) => {
    const response = await fetch(`${baseUrl}${path}`, {
      headers: [...headers],
      dispatcher: agent,
      redirect: 'manual',
    }).catch((error: unknown) => {
      throw unreachable(`no server answers on ${name}`, ifUnreachable, error);
    });
    if (response.status >= 300 && response.status < 400) throw redirected(name);
    if (response.status === 200 && response.body !== null) return bodyOf(response.body, name);
    throw toError(response.status, await response.json().catch(() => undefined));
  };
  return { api, download, close: () => agent.close() };
}

async function* bodyOf(body: AsyncIterable<unknown>, name: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) if (chunk instanceof Uint8Array) yield chunk;
  } catch (error) {
    throw unreachable(`${name} ended in the middle of its answer`, 'try again', error);
  }
}

interface Answer<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

/**
 * The data of an answer.
 * @throws {CellpassError} with the server's message and problems.
 */
export function dataOf<T>({ data, error, response }: Answer<T>): T {
  if (response.ok && data !== undefined) return data;
  throw toError(response.status, error);
}

function toError(status: number, body: unknown): CellpassError {
  if (status === 503)
    return new CellpassError(
      'unavailable',
      messageIn(body) ?? 'the server is still starting: try again in a moment',
    );
  if (status === 401) {
    return new CellpassError(
      'admin_unauthorized',
      'the server refuses CELLPASS_ADMIN_TOKEN, which is unknown, expired or revoked: create another with "cellpass admin-token create" on the host of the server',
    );
  }
  const problems = problemsIn(body);
  const message = messageIn(body) ?? `the server answered ${status}`;
  return new CellpassError(status === 422 ? 'invalid' : 'conflict', message, {
    ...(problems && { problems }),
    // The server has cut it, where it must be cut.
    longest: message.length,
  });
}

function messageIn(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('errors' in body) || !Array.isArray(body.errors))
    return undefined;
  const messages: string[] = body.errors.map((error: { message?: unknown }) => String(error.message));
  return messages.join('; ');
}

function problemsIn(body: unknown): readonly Problem[] | undefined {
  return typeof body === 'object' && body !== null && 'problems' in body && Array.isArray(body.problems)
    ? body.problems
    : undefined;
}

const IF_NOT_ALLOWED =
  'run the command as the user of the server, for example with "sudo -u cellpass", or use --admin-url with an admin token';

/** Codes of Node and OpenSSL where the other side does not speak TLS. */
export const NO_TLS_CODES = ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'];
const IF_NO_TLS = 'correct https to http, or the port';

function unreachable(failure: string, advice: string, error: unknown): CellpassError {
  const inner = error instanceof Error ? error.cause : undefined;
  const cause = inner instanceof Error ? inner.message : String(error);
  const code = inner instanceof Error && 'code' in inner ? String(inner.code) : '';
  if (code === 'EACCES')
    return new CellpassError('unavailable', `${failure} for this user (${cause}): ${IF_NOT_ALLOWED}`, {
      cause: error,
    });
  // OpenSSL's sentence names files of its source.
  if (NO_TLS_CODES.includes(code))
    return new CellpassError('unavailable', `${failure}: it does not speak TLS (${code}): ${IF_NO_TLS}`, {
      cause: error,
    });
  return new CellpassError('unavailable', `${failure} (${cause}): ${advice}`, { cause: error });
}

function redirected(name: string): CellpassError {
  return new CellpassError(
    'conflict',
    `${name} redirects to another URL, which must not get the admin token: give --admin-url the URL of the admin API itself`,
  );
}
