import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { toClientAddress, toNetwork } from '../client-address.ts';

export interface ConnectionBounds {
  readonly total: number;
  readonly perAddress: number;
  /** Whom `perAddress` doesn't concern, because many stand behind it. */
  readonly isTrusted: (address: ReturnType<typeof toClientAddress>) => boolean;
  /** How long a connection over the bounds may stay to be told so. */
  readonly refusalMs: number;
}

/** Over `total`, so many are still told so; all others are closed as they come. */
const TOLD = 256;

/**
 * Counts connections. What is over the bounds may send a request, which is the only way to answer it, and is closed if it doesn't soon.
 * Returns whether a connection is over.
 */
export function boundConnections(
  server: Server,
  event: 'connection' | 'secureConnection',
  { total, perAddress, isTrusted, refusalMs }: ConnectionBounds,
): (socket: Socket) => boolean {
  const over = new WeakSet<Socket>();
  const open = new Map<string, number>();
  let all = 0;

  const isOver = (network: string | null): boolean =>
    all >= total || (network !== null && (open.get(network) ?? 0) >= perAddress);
  const count = (network: string | null, step: 1 | -1): void => {
    all += step;
    if (network === null) return;
    const left = (open.get(network) ?? 0) + step;
    if (left === 0) open.delete(network);
    else open.set(network, left);
  };

  server.maxConnections = total + TOLD;
  server.on(event, (socket: Socket) => {
    const address = toClientAddress(socket.remoteAddress ?? '');
    const network = isTrusted(address) ? null : toNetwork(address);
    if (isOver(network)) {
      over.add(socket);
      const overdue = setTimeout(() => socket.destroy(), refusalMs);
      socket.once('close', () => clearTimeout(overdue));
      return;
    }
    count(network, 1);
    socket.once('close', () => count(network, -1));
  });
  return (socket) => over.has(socket);
}
