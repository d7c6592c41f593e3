import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * A TCP proxy for several servers: each new connection goes to the next server; open connections
 * stay where they are.
 */
export interface Front {
  readonly url: string;
  /** Sends new connections to these servers from now on. */
  sendTo(...urls: readonly string[]): void;
  /** Resolves when the last connection to `url` has closed. */
  drained(url: string): Promise<void>;
  close(): Promise<void>;
}

export async function startFront(): Promise<Front> {
  let targets: readonly string[] = [];
  let turn = 0;
  const sockets = new Set<Socket>();
  const open = new Map<string, number>();
  const waiting = new Set<() => void>();
  const count = (url: string, change: number): void => {
    open.set(url, (open.get(url) ?? 0) + change);
    for (const look of waiting) look();
  };
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    keep(client);
    const url = targets[turn++ % targets.length];
    if (url === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(new URL(url).port), '127.0.0.1');
    keep(upstream);
    count(url, 1);
    client.pipe(upstream).pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => {
      client.destroy();
      count(url, -1);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}`,
    sendTo(...urls) {
      targets = urls;
    },
    drained: (url) =>
      new Promise((resolve) => {
        const look = (): void => {
          if ((open.get(url) ?? 0) > 0) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
