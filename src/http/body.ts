import type { IncomingMessage } from 'node:http';
import { CellpassError } from '../errors.ts';

/**
 * The whole body, at most `limitBytes`.
 * @throws {CellpassError} `size`; the connection is closed, because the rest of the body is still on its way. `malformed` for one that
 * ends early, which only the log can be told.
 */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const tooLarge = (): CellpassError =>
    new CellpassError('size', `the body is larger than ${limitBytes} bytes`, { closesConnection: true });
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      const bytes = Buffer.from(chunk);
      size += bytes.length;
      if (size > limitBytes) throw tooLarge();
      chunks.push(bytes);
    }
  } catch (error) {
    if (error instanceof CellpassError || !request.destroyed) throw error;
    throw new CellpassError('malformed', 'the connection ended before the body', { reason: 'body_cut_off' });
  }
  return Buffer.concat(chunks);
}

const JSON_LIMIT_BYTES = 65_536;

/** @throws {CellpassError} `size`, `malformed` for what is not JSON, `invalid` for text that can't be stored. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request, JSON_LIMIT_BYTES);
  try {
    return JSON.parse(body.toString('utf8'), (key, value: unknown) =>
      typeof value === 'string' ? storable(key, value) : value,
    );
  } catch (error) {
    if (error instanceof CellpassError) throw error;
    throw new CellpassError('malformed', 'the body is not JSON');
  }
}

/** NUL is in no text of PostgreSQL, halves of surrogate pairs in no UTF-8. */
const UNSTORABLE = /[\0\p{Cs}]/u;

/**
 * The text of one field or parameter, unchanged.
 * @throws {CellpassError} `invalid` where the database could not even be asked about it.
 */
export function storable(name: string, text: string): string {
  if (!UNSTORABLE.test(text)) return text;
  const message = 'must not contain NUL or halves of characters';
  throw new CellpassError('invalid', `${name} ${message}`, { problems: [{ path: name, message }] });
}
