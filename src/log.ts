/** Where the server logs. pino implements it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const LONGEST_TEXT = 300;
const LONGEST_LIST = 2000;
/** The first half of a character that the cut went through. */
const HALF_AT_END = /[\ud800-\udbff]$/;

/**
 * Shortens a text that a client chose to 300 characters, so that clients can't write long log
 * lines.
 */
export function cutForLog(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT).replace(HALF_AT_END, '')}…`;
}

/** As many texts as fit in about 2,000 characters; the last entry says how many are left out. */
export function listForLog(texts: readonly string[]): readonly string[] {
  const listed: string[] = [];
  let length = 0;
  for (const text of texts) {
    if (length >= LONGEST_LIST) return [...listed, `… and ${texts.length - listed.length} more`];
    listed.push(cutForLog(text));
    length += Math.min(text.length, LONGEST_TEXT);
  }
  return listed;
}
