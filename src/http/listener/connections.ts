import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { createPlaces } from '../../shares/places.ts';
import { toClientAddress, toNetwork } from '../client-address.ts';

export interface ConnectionBounds {
  readonly total: number;
  readonly perAddress: number;
  /** Proxies: `perAddress` does not apply to them, because many clients use them. */
  readonly isTrusted: (address: ReturnType<typeof toClientAddress>) => boolean;
  /** How long a connection over the limit may stay open to receive its 503. */
  readonly refusalMs: number;
  /**
   * So many connections over the limits still get a 503, a quarter of them from one address; the
   * server closes the others at once. Default: 256.
   */
  readonly refusedAtOnce?: number;
}

export const REFUSED_AT_ONCE = 256;
const PART_OF_ONE_ADDRESS = 4;

/** Whose share a connection takes; null for a trusted proxy, which has no share. */
export function holderOf(
  { remoteAddress }: Pick<Socket, 'remoteAddress'>,
  isTrusted: ConnectionBounds['isTrusted'],
): string | null {
  const address = toClientAddress(remoteAddress ?? '');
  return isTrusted(address) ? null : toNetwork(address);
}

/**
 * Counts connections from the moment that the system accepts them, before any TLS handshake: a
 * client that never finishes its handshake takes a connection, too. A connection over the limit may
 * send one request, because HTTP has no other way to tell it; without one it is closed after
 * `refusalMs`. Returns a function that says whether the connection of a request is over the limit.
 */
export function boundConnections(
  server: Server,
  { total, perAddress, isTrusted, refusalMs, refusedAtOnce = REFUSED_AT_ONCE }: ConnectionBounds,
): (socket: Socket) => boolean {
  const admitted = createPlaces({ total, perHolder: perAddress });
  const refused = createPlaces({
    total: refusedAtOnce,
    perHolder: Math.max(1, Math.floor(refusedAtOnce / PART_OF_ONE_ADDRESS)),
  });
  // By address and port, because a request over TLS has another socket object.
  const over = new Set<string>();

  server.maxConnections = total + refusedAtOnce;
  /** False: the connection has no place, and is closed. */
  const admit = (socket: Socket): boolean => {
    const holder = holderOf(socket, isTrusted);
    if (admitted.hasRoom(holder)) {
      admitted.take(holder);
      socket.once('close', () => admitted.give(holder));
      return true;
    }
    if (!refused.hasRoom(holder)) {
      socket.destroy();
      return false;
    }
    refused.take(holder);
    const name = nameOf(socket);
    over.add(name);
    const overdue = setTimeout(() => socket.destroy(), refusalMs);
    socket.once('close', () => {
      clearTimeout(overdue);
      over.delete(name);
      refused.give(holder);
    });
    return true;
  };
  // In the place of Node's own listeners, because those of TLS do much for each connection.
  const listeners = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    if (!admit(socket)) return;
    for (const listener of listeners) listener.call(server, socket);
  });
  return (socket) => over.has(nameOf(socket));
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
