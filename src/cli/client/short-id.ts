import { CellpassError } from '../../errors.ts';

/** The least that a table shows of an id, and that a command takes as its prefix. */
const SHORTEST_ID = 8;
/** Libtrust ids are groups of four characters and a colon: two groups. */
export const SHORTEST_KID = 9;

/**
 * Makes the function that shortens ids to a prefix: the shortest, from `least` characters on, that
 * tells all ids of a listing apart.
 */
export function shortener(ids: readonly string[], least = SHORTEST_ID): (id: string) => string {
  const distinct = [...new Set(ids)];
  const longest = Math.max(least, ...distinct.map((id) => id.length));
  let length = least;
  while (length < longest && new Set(distinct.map((id) => id.slice(0, length))).size < distinct.length) {
    length += 1;
  }
  return (id) => id.slice(0, length);
}

/** What `idWithPrefix` looks in. */
export interface IdSearch<T> {
  readonly entries: readonly T[];
  /** All ids of an entry. */
  readonly idsOf: (entry: T) => readonly string[];
  /** What errors call an entry, such as `key`. */
  readonly noun: string;
  /** The command that lists the ids. */
  readonly listedBy: string;
}

/**
 * Finds the one entry with this id, or with an id that begins with it.
 * @throws {CellpassError} `not_found` without one, `invalid` for a prefix that is too short,
 * `conflict` for a prefix of several entries.
 */
export function entryWithId<T>(id: string, { entries, idsOf, noun, listedBy }: IdSearch<T>): T {
  const exact = entries.find((entry) => idsOf(entry).includes(id));
  if (exact !== undefined) return exact;
  const [found, ...others] =
    id.length < SHORTEST_ID
      ? []
      : entries.filter((entry) => idsOf(entry).some((known) => known.startsWith(id)));
  if (found === undefined) {
    const advice = id.length < SHORTEST_ID ? `, and a prefix needs ${SHORTEST_ID} characters or more` : '';
    throw new CellpassError('not_found', `no ${noun} has the id ${id}${advice}: see "${listedBy}"`);
  }
  if (others.length === 0) return found;
  throw new CellpassError(
    'conflict',
    `the ids of ${others.length + 1} ${noun}s begin with ${id}: give more characters, as "${listedBy} --json" shows them`,
  );
}
