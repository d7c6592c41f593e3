import { CellpassError } from '../../errors.ts';

/** Quoting for HAProxy's configuration language. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: a line end would start a new directive
const CONTROL = /[\x00-\x1f\x7f]/;

/** The arguments of `http-request return` for an error of a registry. */
export function answer(status: number, code: string, message: string): string {
  return `status ${status} content-type application/json string ${quote(errorBody(code, message))}`;
}

/** The body of a registry's error (distribution's specification). */
export function errorBody(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message, detail: 'the registry router' }] });
}

/** Quotes one word: within single quotes only the closing quote is special. */
export function quote(text: string): string {
  if (CONTROL.test(text)) {
    throw new CellpassError(
      'invalid',
      `${JSON.stringify(text)} contains a control character, which HAProxy's configuration doesn't allow`,
    );
  }
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Escapes `%`, which starts a variable in a log format. */
export function literalFormat(text: string): string {
  return text.replaceAll('%', '%%');
}

/** Escapes the content of a quoted string (RFC 9110 §5.6.4). `what` names it in the error. */
export function quotedString(text: string, what: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) {
    throw new CellpassError('invalid', `${what} may contain only printable ASCII characters`);
  }
  return text.replace(/["\\]/g, '\\$&');
}
