import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Places } from '../../shares/places.ts';

export interface OneAtATimeOptions {
  /** Bounds how many requests are kept; a connection over it is closed. */
  readonly kept: Places;
  /** Whose share of `kept` a connection takes. */
  readonly holderOf: (socket: Socket) => string | null;
}

/** A request that Node has read while an earlier one of its connection is being answered. */
interface Kept {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly holder: string | null;
}

/**
 * Answers the requests of one connection one after the other (RFC 9112 section 9.3.2). Node begins
 * all requests that it finds in one read, so a client could begin thousands at once. While a request
 * is being answered, this function pauses the connection and keeps what Node has read already.
 */
export function oneAtATime(
  listener: RequestListener,
  { kept, holderOf }: OneAtATimeOptions,
): RequestListener {
  const lines = new WeakMap<Socket, Kept[]>();

  const begin = (line: Kept[], request: IncomingMessage, response: ServerResponse): void => {
    response.once('close', () => beginNext(line, request.socket));
    listener(request, response);
  };
  const beginNext = (line: Kept[], socket: Socket): void => {
    for (let next = line.shift(); next !== undefined; next = line.shift()) {
      kept.give(next.holder);
      // The rest of the last request's body may not have come yet.
      if (line.length === 0) readOn(socket);
      if (socket.destroyed) continue;
      begin(line, next.request, next.response);
      return;
    }
    lines.delete(socket);
  };

  return (request, response) => {
    const { socket } = request;
    const line = lines.get(socket);
    if (line === undefined) {
      const own: Kept[] = [];
      lines.set(socket, own);
      begin(own, request, response);
      return;
    }
    const holder = holderOf(socket);
    if (!kept.hasRoom(holder)) {
      socket.destroy();
      return;
    }
    if (line.length === 0) stopReading(socket);
    kept.take(holder);
    line.push({ request, response, holder });
  };
}

/** Node resumes the connection whenever the request that is being answered is read. */
function stopReading(socket: Socket): void {
  socket.on('resume', pause);
  socket.pause();
}

function readOn(socket: Socket): void {
  socket.off('resume', pause);
  socket.resume();
}

function pause(this: Socket): void {
  this.pause();
}
