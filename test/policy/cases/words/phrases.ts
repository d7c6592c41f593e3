import type { Column } from '../csv.ts';

/**
 * A word that the column doesn't know. Its row fails, so that no row passes that was not
 * understood.
 */
export class NotUnderstood extends Error {
  constructor(word: string, column: Column) {
    super(`not understood: ${word} in ${column}`);
  }
}

/** The row is understood, but needs a feature that cellpass does not have. */
export class NotExpressible extends Error {}

type Effect<D> = (draft: D, ...groups: string[]) => void;

export type Vocabulary<D> = readonly { readonly phrase: RegExp; readonly effect: Effect<D> }[];

/**
 * Case-insensitive regular expressions, and what each adds to the draft. The first that matches
 * wins.
 */
export function vocabulary<D>(phrases: Readonly<Record<string, Effect<D>>>): Vocabulary<D> {
  return Object.entries(phrases).map(([words, effect]) => ({
    phrase: new RegExp(`^(?:${words})(?![a-z0-9_])`, 'i'),
    effect,
  }));
}

/** Filler words. A negation must never be one of them. */
const JOINTS =
  /^(?:[\s;,()+]+|(?:with|of|an?|the|its|his|and|on|in|by|for|is|are|while|but|to|has)(?=[\s;,()]|$))+/i;

/** Reads a cell phrase by phrase until nothing is left. */
export function readPhrases<D>(column: Column, cell: string, words: Vocabulary<D>, draft: D): void {
  let rest = cell.replace(JOINTS, '');
  while (rest !== '') {
    const found = firstPhrase(rest, words);
    if (found === undefined) throw new NotUnderstood(rest.split(/[;,()]/)[0]?.trim() ?? rest, column);
    const [whole, ...groups] = found.match;
    found.effect(draft, ...groups.map((group) => group ?? ''));
    rest = rest.slice(whole.length).replace(JOINTS, '');
  }
}

function firstPhrase<D>(text: string, words: Vocabulary<D>) {
  for (const { phrase, effect } of words) {
    const match = phrase.exec(text);
    if (match !== null) return { match, effect };
  }
  return undefined;
}

const CHOICE = /([\w-]+(?:, [\w-]+)*),? or ([\w-]+)/;

/**
 * `blocked, locked or unconfirmed user` is three cells; so is `blocked/locked/unconfirmed user`.
 */
export function alternatives(cell: string): readonly string[] {
  const text = cell.replace(/\bCI\/CD\b/gi, 'CI').replace(/(?<=\w)\/(?=\w)/g, ' or ');
  const match = CHOICE.exec(text);
  if (match === null) return [text];
  const [whole, first = '', last = ''] = match;
  const options = [...first.split(', '), last];
  return options.flatMap((option) =>
    alternatives(text.slice(0, match.index) + option + text.slice(match.index + whole.length)),
  );
}

/** Splits on `;`, but not inside brackets of any kind. */
export function clauses(cell: string): readonly string[] {
  const parts = cell.match(/(?:\([^)]*\)|\[[^\]]*\]|\{[^}]*\}|[^;])+/g) ?? [];
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}
