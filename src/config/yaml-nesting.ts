import { CST, Lexer } from 'yaml';

/** The directory document, the deepest of the files, needs seven levels. */
export const MAX_DEPTH = 50;
/** Two levels of a block take at least one column. */
const MAX_INDENTATION = 200;
/** The lexer's mark: the next token is the text of a scalar, even if it looks like syntax. */
const SCALAR_FOLLOWS = '\u001f';

/**
 * Whether a text has more levels than `MAX_DEPTH`. The parser is recursive and must not see such a
 * text: 100,000 opening brackets overflow its stack, which ends the process and can't be caught.
 */
export function isNestedTooDeeply(text: string): boolean {
  let flows = 0;
  let itemsOnLine = 0;
  let isLineStart = true;
  let isScalar = false;
  for (const token of new Lexer().lex(text)) {
    const type = isScalar ? 'scalar' : CST.tokenType(token);
    isScalar = token === SCALAR_FOLLOWS && !isScalar;
    if (type === 'flow-seq-start' || type === 'flow-map-start') flows += 1;
    if (type === 'flow-seq-end' || type === 'flow-map-end') flows -= 1;
    if (type === 'newline') itemsOnLine = 0;
    if (type === 'seq-item-ind' || type === 'explicit-key-ind') itemsOnLine += 1;
    if (flows > MAX_DEPTH || itemsOnLine > MAX_DEPTH) return true;
    if (isLineStart && type === 'space' && token.length > MAX_INDENTATION) return true;
    isLineStart = type === 'newline';
  }
  return false;
}
