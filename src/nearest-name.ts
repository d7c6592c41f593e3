/** Finds what a misspelt name was probably meant to be, for "did you mean alice?". */

/** A longer name is not searched for: it is no typing error. */
const LONGEST_NAME = 200;
/** Two of three characters are too few to know a name by. */
const SHORTEST_NAME = 3;
/** A nearest name is at most so much longer or shorter. */
export const MOST_MISTAKES = 3;
/** Of one list. A search takes a few milliseconds for each hundred thousand names. */
const MOST_NAMES = 200_000;

/**
 * The name that takes the fewest insertions, deletions, replacements and swaps of neighbours; the
 * first of several. Upper and lower case count as equal. Null: no name is near enough, which is one
 * mistake in three characters (but no replacement) to seven, two from eight, three from twelve on.
 */
export function nearestName(name: string, names: Iterable<string>): string | null {
  const wanted = name.toLowerCase();
  if (wanted === '' || wanted.length > LONGEST_NAME) return null;
  const letters = lettersOf(wanted);
  let most = mistakesIn(wanted);
  let nearest: string | null = null;
  let count = 0;
  for (const candidate of names) {
    count += 1;
    if (count > MOST_NAMES) break;
    if (Math.abs(candidate.length - wanted.length) > most || candidate === name) continue;
    const other = candidate.toLowerCase();
    const isShort = wanted.length === SHORTEST_NAME && other.length === SHORTEST_NAME;
    if (isShort && letters !== lettersOf(other)) continue;
    // A mistake changes at most two letters of the set.
    if (bitsIn(letters ^ lettersOf(other)) > 2 * most) continue;
    const mistakes = distance(wanted, other, most);
    if (mistakes > most) continue;
    nearest = candidate;
    if (mistakes <= 1) break;
    most = mistakes - 1;
  }
  return nearest;
}

/** For the end of a message: `; did you mean alice?`, or nothing. */
export function didYouMean(name: string, names: Iterable<string>): string {
  const nearest = nearestName(name, names);
  return nearest === null ? '' : `; did you mean ${nearest}?`;
}

function mistakesIn({ length }: string): number {
  return length === SHORTEST_NAME ? 1 : Math.min(MOST_MISTAKES, Math.floor(length / 4));
}

/** A bit for each letter of a name; several characters share a bit. */
function lettersOf(name: string): number {
  let bits = 0;
  for (let at = 0; at < name.length; at += 1) bits |= 1 << (name.charCodeAt(at) & 31);
  return bits;
}

function bitsIn(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

/**
 * The distance of two words (Damerau and Levenshtein, "optimal string alignment"); any number above
 * `most` means more than `most`. Looks only at what lies between a common beginning and a common end,
 * and only at pairs of places that are at most `most` apart.
 */
function distance(one: string, other: string, most: number): number {
  let start = 0;
  let rows = one.length;
  let columns = other.length;
  while (start < rows && start < columns && one[start] === other[start]) start += 1;
  while (rows > start && columns > start && one[rows - 1] === other[columns - 1]) {
    rows -= 1;
    columns -= 1;
  }
  const table = tableOf(columns - start, most);
  for (let row = 1; row <= rows - start; row += 1) {
    const least = fillRow(table, row, {
      letter: one.charCodeAt(start + row - 1),
      before: row === 1 ? -1 : one.charCodeAt(start + row - 2),
      other,
      start,
    });
    if (least > most) return most + 1;
  }
  return table.last[columns - start] ?? most + 1;
}

/** The last three rows of the table of distances between the beginnings of two words. */
interface Table {
  readonly width: number;
  readonly most: number;
  beforeLast: Uint16Array;
  last: Uint16Array;
  next: Uint16Array;
}

function tableOf(width: number, most: number): Table {
  const last = new Uint16Array(width + 1);
  for (let column = 0; column <= width; column += 1) last[column] = column;
  return { width, most, beforeLast: new Uint16Array(width + 1), last, next: new Uint16Array(width + 1) };
}

interface Letters {
  /** Of this row, and of the row before. */
  readonly letter: number;
  readonly before: number;
  readonly other: string;
  /** Where the compared part of `other` begins. */
  readonly start: number;
}

/** Gives the least distance in the row. */
function fillRow(table: Table, row: number, { letter, before, other, start }: Letters): number {
  const { width, most, beforeLast, last, next } = table;
  const from = Math.max(1, row - most);
  const to = Math.min(width, row + most);
  const far = most + 1;
  next[from - 1] = from === 1 ? row : far;
  let least = next[from - 1] ?? far;
  for (let column = from; column <= to; column += 1) {
    const found = other.charCodeAt(start + column - 1);
    const previous = column === 1 ? -1 : other.charCodeAt(start + column - 2);
    let mistakes = (last[column - 1] ?? far) + (letter === found ? 0 : 1);
    // The place to the right of the band of the last row was not filled.
    if (column < row + most) mistakes = Math.min(mistakes, (last[column] ?? far) + 1);
    mistakes = Math.min(mistakes, (next[column - 1] ?? far) + 1);
    if (letter === previous && before === found && column > 1)
      mistakes = Math.min(mistakes, (beforeLast[column - 2] ?? far) + 1);
    next[column] = mistakes;
    if (mistakes < least) least = mistakes;
  }
  [table.beforeLast, table.last, table.next] = [last, next, beforeLast];
  return least;
}
