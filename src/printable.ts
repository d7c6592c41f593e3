/** C0, DEL, C1, and what changes the direction of text or ends a line for some terminals. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Escapes control characters as `\u001b`, because clients choose parts of what people read: without
 * this a client could move the cursor of an administrator's terminal, or repaint it.
 */
export function escapeUnprintable(text: string): string {
  return text.replace(UNPRINTABLE, escapeOne);
}

/**
 * The same for whole output, which keeps its line feeds and tabs. JSON stays valid JSON: its strings
 * never hold raw control characters but those that this escapes in JSON's own form.
 */
export function escapeOutput(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    character === '\n' || character === '\t' ? character : escapeOne(character),
  );
}

function escapeOne(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}
