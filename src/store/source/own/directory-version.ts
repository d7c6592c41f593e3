import { setImmediate as endOfTurn } from 'node:timers/promises';
import type { Sql, Statement } from '../../database/drivers.ts';

/** As a column: the name of the directory's state, as one statement sees both. It is another after every change; see migration 0010. */
export const DIRECTORY_VERSION = '(SELECT version FROM directory_version)';

const READ_VERSION: Statement = {
  name: 'read-directory-version',
  isHot: true,
  text: `SELECT ${DIRECTORY_VERSION} AS version`,
};

/** The version that was current at some moment after the call. */
export type CurrentVersion = () => Promise<string>;

/**
 * One question for all who come until it is sent, which is when the one before it is answered and this turn of the event loop has brought
 * whoever it brings. Nobody is given the answer to a question that was sent before they came: it may be older than a change that somebody
 * was just told is done.
 */
export function createCurrentVersion(read: () => Promise<string>): CurrentVersion {
  let sent: Promise<string> = Promise.resolve('');
  let gathering: Promise<string> | undefined;

  const ask = async (): Promise<string> => {
    await sent.catch(() => undefined);
    await endOfTurn();
    gathering = undefined;
    sent = read();
    return sent;
  };
  return () => {
    gathering ??= ask();
    return gathering;
  };
}

/** One round trip. */
export async function readVersion(sql: Sql): Promise<string> {
  const [row] = await sql.query<{ version: string }>(READ_VERSION);
  if (row === undefined)
    throw new Error('the version of the directory is missing: the database was not migrated');
  return row.version;
}
