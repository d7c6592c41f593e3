import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { Counter, type Registry } from 'prom-client';
import { CellpassError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { toClientAddress } from '../client-address.ts';
import { toErrorAnswer } from '../error-handler.ts';

/**
 * Requests that end before Koa sees them: Node's parser refuses them, or too many connections are
 * open. No middleware logs or counts them, so this file does.
 */

/** Why; a closed set, because it is a label of a metric. */
const REASONS = [
  'headers_too_large',
  'too_slow',
  'tls_on_a_plain_port',
  'proxy_protocol',
  'not_http',
  'plain_http_on_a_tls_port',
  'tls_handshake',
  'connections',
] as const;
type UnreadReason = (typeof REASONS)[number];

export interface UnreadRequest {
  readonly reason: UnreadReason;
  /** Null: the client got no answer, because it speaks another protocol. */
  readonly status: number | null;
  /** The id in the answer. */
  readonly requestId: string;
  /** The address of the socket: nothing that the client sent was read. */
  readonly client: string;
}

export type ObserveUnread = (request: UnreadRequest) => void;

/** Most of these reasons are strangers' noise; these two are an operator's mistake. */
const HINTS: Partial<Record<UnreadReason, string>> = {
  tls_on_a_plain_port:
    'the client speaks TLS, and this listener does not: set CELLPASS_TLS_CERT and CELLPASS_TLS_KEY, or let the proxy speak plain HTTP',
  proxy_protocol:
    'a proxy sends the PROXY protocol, which cellpass does not read: let it send X-Forwarded-For, and list it in CELLPASS_TRUSTED_PROXIES',
  plain_http_on_a_tls_port: 'the client speaks plain HTTP, and this listener speaks TLS: use an https URL',
};

/** Log lines in a period; strangers could otherwise fill the log. */
const LINES = 10;
const PERIOD_MS = 60_000;

/** Counts every request, and writes at most ten log lines a minute. */
export function observeUnread({
  registry,
  log,
  monotonicMs = () => performance.now(),
}: {
  readonly registry: Registry;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly monotonicMs?: () => number;
}): ObserveUnread {
  const counter = new Counter({
    name: 'cellpass_unread_requests_total',
    help: 'Requests that were refused before they were read, by cause',
    labelNames: ['reason'],
    registers: [registry],
  });
  for (const reason of REASONS) counter.inc({ reason }, 0);
  let period = { endsMs: 0, lines: 0, notLogged: 0 };
  return ({ reason, status, requestId, client }) => {
    counter.inc({ reason });
    const nowMs = monotonicMs();
    const { notLogged } = period;
    if (nowMs >= period.endsMs) period = { endsMs: nowMs + PERIOD_MS, lines: 0, notLogged: 0 };
    else if (period.lines >= LINES) {
      period.notLogged += 1;
      return;
    }
    period.lines += 1;
    const hint = HINTS[reason];
    const fields = {
      request_id: requestId,
      client,
      status,
      reason,
      ...(hint !== undefined && { hint }),
      ...(period.lines === 1 && notLogged > 0 && { not_logged: notLogged }),
    };
    if (hint === undefined) log.info(fields, 'a request was refused before it was read');
    else log.warn(fields, 'a request was refused before it was read');
  };
}

export const JSON_TYPE = 'application/json; charset=utf-8';

/** An error of Node's parser; `rawPacket` is what it could not parse. */
interface ClientError extends NodeJS.ErrnoException {
  readonly rawPacket?: unknown;
}

/** Answers what Node's parser refuses, with the body that every error has. */
export function answerUnread(observe: ObserveUnread): (error: ClientError, socket: Duplex) => void {
  return (error, socket) => {
    const requestId = randomUUID();
    const client = clientOf(socket);
    if (/^ERR_(SSL|TLS)_/.test(error.code ?? '')) {
      const isHttp = error.code === 'ERR_SSL_HTTP_REQUEST';
      const reason = isHttp ? 'plain_http_on_a_tls_port' : 'tls_handshake';
      observe({ reason, status: null, requestId, client });
      socket.destroy();
      return;
    }
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const { status, reason, cause } = describe(error);
    observe({ reason, status, requestId, client });
    const body = JSON.stringify(toErrorAnswer(cause, requestId).body);
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      `Content-Type: ${JSON_TYPE}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
    ];
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  };
}

/** The normal form of the socket's address; empty when it is not known any more. */
export function clientOf(socket: object): string {
  const address = 'remoteAddress' in socket ? socket.remoteAddress : undefined;
  return toClientAddress(typeof address === 'string' ? address : '').text;
}

interface Description {
  readonly status: number;
  readonly reason: UnreadReason;
  readonly cause: CellpassError;
}

function describe({ code, rawPacket }: ClientError): Description {
  if (code === 'HPE_HEADER_OVERFLOW') {
    const cause = new CellpassError('size', 'the request line and headers are too large');
    return { status: 431, reason: 'headers_too_large', cause };
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const cause = new CellpassError('malformed', 'the request took too long to arrive');
    return { status: 408, reason: 'too_slow', cause };
  }
  const cause = new CellpassError('malformed', 'the request is not valid HTTP');
  return { status: 400, reason: protocolOf(rawPacket), cause };
}

/** How a TLS record of the type handshake begins (RFC 8446 section 5.1). */
const TLS_HANDSHAKE = Buffer.from([0x16, 0x03]);
/** How both versions of HAProxy's PROXY protocol begin. */
const PROXY_V1 = Buffer.from('PROXY ');
const PROXY_V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n');

function protocolOf(packet: unknown): UnreadReason {
  if (!Buffer.isBuffer(packet)) return 'not_http';
  const begins = (mark: Buffer): boolean => packet.subarray(0, mark.length).equals(mark);
  if (begins(TLS_HANDSHAKE)) return 'tls_on_a_plain_port';
  return begins(PROXY_V1) || begins(PROXY_V2) ? 'proxy_protocol' : 'not_http';
}
