import type { IncomingMessage } from 'node:http';
import { CellpassError } from '../errors.ts';

/**
 * The whole body, at most `limitBytes`.
 * @throws {CellpassError} `size`; the connection is closed, because the rest of the body is still on its way.
 */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const tooLarge = (): CellpassError =>
    new CellpassError('size', `the body is larger than ${limitBytes} bytes`, { closesConnection: true });
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > limitBytes) throw tooLarge();
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}
