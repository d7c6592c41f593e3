import { CellpassError } from '../../errors.ts';

/** HAProxy's language: how values are written so that they are never a part of it. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: a line end would begin a line of its own
const CONTROL = /[\x00-\x1f\x7f]/;

export function answer(status: number, code: string, message: string): string {
  return `status ${status} content-type application/json string ${quote(errorBody(code, message))}`;
}

export function errorBody(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message, detail: 'the registry router' }] });
}

export function acl(expression: string): string {
  const [fetch = '', ...rest] = expression.split(' -m ');
  return `{ ${quote(fetch)} -m ${rest.join(' -m ')} }`;
}

/** One word of HAProxy's language: between single quotes nothing is special but their end. */
export function quote(text: string): string {
  if (CONTROL.test(text)) {
    throw new CellpassError(
      'invalid',
      `${JSON.stringify(text)} holds a control character, which HAProxy's configuration can't`,
    );
  }
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** `%` begins a variable in a log format. */
export function literalFormat(text: string): string {
  return text.replaceAll('%', '%%');
}

/** RFC 9110 §5.6.4. */
export function quotedString(text: string, what: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) {
    throw new CellpassError('invalid', `${what} may hold printable ASCII characters only`);
  }
  return text.replace(/["\\]/g, '\\$&');
}
