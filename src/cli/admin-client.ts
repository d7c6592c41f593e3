import { userInfo } from 'node:os';
import createClient, { type Client } from 'openapi-fetch';
import { Agent, fetch } from 'undici';
import { loadConfig } from '../config.ts';
import { CellpassError, type Problem } from '../errors.ts';
import type { paths } from '../http/schema.gen.ts';
import { adminSocketPath } from './socket-path.ts';
import type { Surroundings } from './surroundings.ts';

export interface AdminClient {
  readonly api: Client<paths>;
  close(): Promise<void>;
}

/** Connects, and lets go of the connection whatever happens. */
export async function withAdmin<T>(
  { environment }: Surroundings,
  work: (client: AdminClient) => Promise<T>,
): Promise<T> {
  const socketPath = adminSocketPath(loadConfig(environment));
  const client = connectToAdmin(socketPath, actorName(environment));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** Who types, for the audit record: the person behind sudo, and the account. */
function actorName(environment: Surroundings['environment']): string {
  const account = accountName();
  const person = environment['SUDO_USER'];
  return person === undefined ? account : `${person} as ${account}`;
}

/** An account without an entry in the system's list has no name. */
function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** A typed client of the admin API, over the server's Unix socket. */
function connectToAdmin(socketPath: string, actor: string): AdminClient {
  const agent = new Agent({ connect: { socketPath }, headersTimeout: 0, bodyTimeout: 0 });
  const api = createClient<paths>({
    baseUrl: 'http://cellpass',
    // undici's fetch takes no Request of Node's own.
    fetch: async (request) => {
      const body = request.method === 'GET' || request.method === 'HEAD' ? null : await request.arrayBuffer();
      const response = await fetch(request.url, {
        method: request.method,
        headers: [...request.headers, ['Cellpass-Actor', actor]],
        body,
        signal: request.signal,
        dispatcher: agent,
      }).catch((error: unknown) => {
        throw unreachable(socketPath, error);
      });
      const headers = new Headers([...response.headers]);
      return new Response(response.status === 204 ? null : await response.arrayBuffer(), {
        status: response.status,
        headers,
      });
    },
  });
  return { api, close: () => agent.close() };
}

interface Answer<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

/**
 * What the server answered, or its refusal as an error.
 * @throws {CellpassError} with the server's message and problems.
 */
export function dataOf<T>({ data, error, response }: Answer<T>): T {
  if (response.ok && data !== undefined) return data;
  throw toError(response.status, error);
}

function toError(status: number, body: unknown): CellpassError {
  if (status === 503)
    return new CellpassError('unavailable', messageIn(body) ?? 'the server is still starting; try again');
  const problems = problemsIn(body);
  const message = messageIn(body) ?? `the server answered ${status}`;
  return new CellpassError(status === 422 ? 'invalid' : 'conflict', message, problems && { problems });
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

function unreachable(socketPath: string, error: unknown): CellpassError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
  return new CellpassError(
    'unavailable',
    `no server answers on ${socketPath} (${cause}): start it with "cellpass serve", or set CELLPASS_DATA_DIR to its data directory`,
    { cause: error },
  );
}
