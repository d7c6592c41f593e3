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

/** @throws {CellpassError} `size`, or `malformed` for what is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request, JSON_LIMIT_BYTES);
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new CellpassError('malformed', 'the body is not JSON');
  }
}
