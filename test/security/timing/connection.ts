import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly requestId: string;
  /** The size of the whole answer, head and body. */
  readonly bytes: number;
  /** From the first byte sent to the last byte received, in microseconds. */
  readonly micros: number;
}

/** One keep-alive connection without a client library, which would add noise. */
export interface Connection {
  /** Sends a whole request and waits for the whole answer; the caller must send one at a time. */
  ask(request: Buffer): Promise<Answer>;
  close(): void;
}

export async function openConnection(port: number): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return { ask: (request) => ask(socket, request), close: () => socket.destroy() };
}

function ask(socket: Socket, request: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (): void => {
      socket.off('data', read).off('close', fail).off('error', fail);
    };
    const fail = (error?: unknown): void => {
      end();
      reject(error instanceof Error ? error : new Error('the server closed the connection'));
    };
    const read = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      if (!isWhole(text)) return;
      const micros = (performance.now() - startedAt) * 1000;
      end();
      resolve({ ...describe(text), bytes: text.length, micros });
    };
    socket.on('data', read).once('close', fail).once('error', fail);
    const startedAt = performance.now();
    socket.write(request);
  });
}

function isWhole(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const length = /^content-length: (\d+)\r$/im.exec(text)?.[1];
  if (length === undefined) throw new Error(`an answer without a length:\n${text}`);
  return text.length >= headEnd + 4 + Number(length);
}

function describe(text: string): { readonly status: number; readonly requestId: string } {
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]),
    requestId: /^x-request-id: (.+)\r$/im.exec(text)?.[1] ?? '',
  };
}
