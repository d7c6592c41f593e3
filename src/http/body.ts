import type { IncomingMessage } from 'node:http';
import { CellpassError } from '../errors.ts';

/**
 * The whole body.
 * @throws {CellpassError} `size` above `limitBytes`; the answer closes the connection, because the
 * client still sends. `malformed` when the connection ends before the body; only the log shows it.
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

/**
 * The body as JSON.
 * @throws {CellpassError} `size`; `malformed` when it is not JSON; `invalid` for text that the
 * database cannot store.
 */
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

/** PostgreSQL's text cannot hold NUL, and UTF-8 cannot hold halves of surrogate pairs. */
const UNSTORABLE = /[\0\p{Cs}]/u;

/**
 * The text of one field or parameter, unchanged.
 * @throws {CellpassError} `invalid` when the database could not take it in a query.
 */
function storable(name: string, text: string): string {
  if (!UNSTORABLE.test(text)) return text;
  const message = 'must not contain NUL or halves of characters';
  throw new CellpassError('invalid', `${name} ${message}`, { problems: [{ path: name, message }] });
}
