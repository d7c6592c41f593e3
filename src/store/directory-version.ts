import type { Sql, Statement } from './drivers.ts';

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
 * Whoever asks while a question is on its way waits for the next, which is one for all of them: an answer to an earlier question may be older
 * than the change that somebody was just told is done.
 */
export function createCurrentVersion(read: () => Promise<string>): CurrentVersion {
  let asking: Promise<string> | undefined;
  let next: Promise<string> | undefined;

  const ask = (): Promise<string> => {
    next = undefined;
    const answer = read().finally(() => {
      if (asking === answer) asking = undefined;
    });
    asking = answer;
    return answer;
  };
  return () => {
    if (asking === undefined) return ask();
    next ??= asking.then(ask, ask);
    return next;
  };
}

/** One round trip. */
export async function readVersion(sql: Sql): Promise<string> {
  const [row] = await sql.query<{ version: string }>(READ_VERSION);
  if (row === undefined)
    throw new Error('the version of the directory is missing: the database was not migrated');
  return row.version;
}
