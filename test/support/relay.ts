import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A way to a database that can be cut, or fall silent, and be mended. */
export interface Relay {
  /** The database's URL by this way. */
  readonly url: string;
  /** Connections are lost, and new ones refused. */
  cut(): Promise<void>;
  /** Connections stand and are taken, but nothing comes back. */
  silence(): void;
  mend(): Promise<void>;
  close(): Promise<void>;
}

export async function startRelay(url: string): Promise<Relay> {
  const target = new URL(url);
  const upstreamPort = Number(target.port);
  const sockets = new Set<Socket>();
  let isSilent = false;
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
    upstream.on('data', (chunk) => isSilent || client.write(chunk));
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
    mend: async () => {
      isSilent = false;
      dropAll();
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
