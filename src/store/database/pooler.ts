import type { DatabaseUrl } from '../../config/database-url.ts';
import { createClientClass } from './connections.ts';
import { unavailable } from './failures.ts';
import type { WritableClient } from './writable-client.ts';

const ROUNDS = 5;
const READ_SESSION = 'SELECT pg_backend_pid() AS pid';

/**
 * Whether a pooler at this URL gives each transaction another session of PostgreSQL. Then prepared
 * statements and LISTEN fail at random, so it must be known before the first request.
 * @param onlyReads true: a standby will do.
 * @throws {CellpassError} `unavailable` if no such server answers.
 */
export async function hasTransactionPooler(
  url: DatabaseUrl,
  { onlyReads = false }: { readonly onlyReads?: boolean } = {},
): Promise<boolean> {
  const Client = createClientClass(url, {
    applicationName: 'cellpass',
    statementTimeoutMs: null,
    onlyReads,
  });
  const clients = [new Client(), new Client()] as const;
  try {
    return await sharesSessions(clients);
  } catch (error) {
    throw unavailable(error);
  } finally {
    for (const client of clients) client.end().catch(() => undefined);
  }
}

/**
 * A pooler invents the process ids that it announces, so without a pooler the first question
 * settles it. Behind one that keeps sessions, two open connections never have the same session, and
 * none changes.
 */
async function sharesSessions([one, other]: readonly [WritableClient, WritableClient]): Promise<boolean> {
  await one.connect();
  const first = await sessionOf(one);
  if ('processID' in one && one.processID === first) return false;
  await other.connect();
  const second = await sessionOf(other);
  if (first === second) return true;
  for (let round = 1; round < ROUNDS; round++) {
    if ((await sessionOf(one)) !== first || (await sessionOf(other)) !== second) return true;
  }
  return false;
}

async function sessionOf(client: WritableClient): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>(READ_SESSION);
  return rows[0]?.pid;
}
