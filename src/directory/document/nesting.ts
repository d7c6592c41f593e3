import { CST, Lexer } from 'yaml';

/** A document needs seven levels. */
const MAX_DEPTH = 50;
/** Every two levels of a block take a column at least. */
const MAX_INDENTATION = 200;
/** Says that the next token is the text of a scalar, whatever it looks like. */
const SCALAR_FOLLOWS = '\u001f';

/**
 * Whether a text is nested so deeply that its parser, which is recursive, would run out of stack. It must not be left to find
 * out: 100,000 opening brackets have ended the process, past any error that could be caught.
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
