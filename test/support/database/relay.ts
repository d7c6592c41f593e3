import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP relay to a database, whose connections a test can cut, silence, delay and mend. */
export interface Relay {
  /** The database's URL through the relay. */
  readonly url: string;
  /** Closes the connections, and refuses new ones. */
  cut(): Promise<void>;
  /** Keeps and accepts connections, but passes on no answers. */
  silence(): void;
  /**
   * Passes on the first half of the next answer, and nothing more until `mend` passes on the rest.
   */
  halve(): void;
  /** Delays every answer by `ms`. */
  delay(ms: number): void;
  mend(): Promise<void>;
  close(): Promise<void>;
}

export async function startRelay(url: string): Promise<Relay> {
  const target = new URL(url);
  const upstreamPort = Number(target.port);
  const sockets = new Set<Socket>();
  let isSilent = false;
  let halving: 'no' | 'next' | 'held' = 'no';
  let held: (() => void)[] = [];
  let delayMs = 0;
  const pass = (client: Socket, chunk: Buffer): void => {
    if (halving === 'held') {
      held.push(() => client.write(chunk));
      return;
    }
    if (halving === 'next') {
      halving = 'held';
      const half = Math.ceil(chunk.length / 2);
      client.write(chunk.subarray(0, half));
      held.push(() => client.write(chunk.subarray(half)));
      return;
    }
    client.write(chunk);
  };
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    keep(client);
    if (isSilent) {
      client.resume();
      return;
    }
    const upstream = connect(upstreamPort, target.hostname);
    keep(upstream);
    client.on('data', (chunk) => upstream.write(chunk));
    upstream.on('data', (chunk) => {
      if (isSilent) return;
      if (delayMs === 0) pass(client, chunk);
      else setTimeout(() => client.writable && pass(client, chunk), delayMs).unref();
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  const port = await listen(server, 0);
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const cut = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    dropAll();
    await closed;
  };
  target.port = String(port);
  return {
    url: target.href,
    cut,
    silence: () => {
      isSilent = true;
    },
    halve: () => {
      halving = 'next';
    },
    delay: (ms) => {
      delayMs = ms;
    },
    mend: async () => {
      const wasHalved = halving !== 'no';
      isSilent = false;
      halving = 'no';
      delayMs = 0;
      for (const send of held) send();
      held = [];
      if (!wasHalved) dropAll();
      if (!server.listening) await listen(server, port);
    },
    close: cut,
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
