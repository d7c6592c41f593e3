import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { toClientAddress, toNetwork } from '../client-address.ts';

export interface ConnectionBounds {
  readonly total: number;
  readonly perAddress: number;
  /** Proxies: `perAddress` does not apply to them, because many clients use them. */
  readonly isTrusted: (address: ReturnType<typeof toClientAddress>) => boolean;
  /** How long a connection over the limit may stay open to receive its 503. */
  readonly refusalMs: number;
  /**
   * This many connections over `total` still get a 503; the server closes the others at once.
   * Default: 256.
   */
  readonly refusedAtOnce?: number;
}

export const REFUSED_AT_ONCE = 256;

/**
 * Counts connections. A connection over the limit may send one request, because HTTP has no other
 * way to tell it; without one it is closed after `refusalMs`. Returns a function that says whether
 * a connection is over the limit.
 */
export function boundConnections(
  server: Server,
  event: 'connection' | 'secureConnection',
  { total, perAddress, isTrusted, refusalMs, refusedAtOnce = REFUSED_AT_ONCE }: ConnectionBounds,
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

  server.maxConnections = total + refusedAtOnce;
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
