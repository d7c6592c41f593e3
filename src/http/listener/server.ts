import { createPrivateKey, randomUUID, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { createSecureContext } from 'node:tls';
import { CellpassError } from '../../errors.ts';
import { createPlaces } from '../../shares/places.ts';
import { toErrorAnswer } from '../error-handler.ts';
import { boundConnections, type ConnectionBounds, holderOf } from './connections.ts';
import { oneAtATime } from './one-at-a-time.ts';
import { answerUnread, clientOf, JSON_TYPE, type ObserveUnread } from './unread-requests.ts';

/** PEM files. */
interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** The certificate (or chain) and its private key, as PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

export interface ServerOptions {
  readonly headerBytes: number;
  readonly tls: TlsPair | null;
  /** Default: no limit. */
  readonly connections?: ConnectionBounds;
  readonly periods?: Partial<ServerPeriods>;
  /** Gets the error when the system refuses a connection, for example EMFILE. */
  readonly onAcceptError?: (error: Error) => void;
  /** Sees the requests that no listener gets. */
  readonly observeUnread?: ObserveUnread;
}

/** Timeouts of a connection. */
export interface ServerPeriods {
  /** For the request line and the headers, from the connection or the first byte. */
  readonly headersMs: number;
  /** For a whole request. */
  readonly requestMs: number;
  /** For being idle between two requests. */
  readonly keepAliveMs: number;
  /** Without a byte in either direction during a request; 0: no timeout. */
  readonly stallMs: number;
  /** How often Node checks the first two. */
  readonly checkMs: number;
}

const PERIODS: ServerPeriods = {
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 65_000,
  stallMs: 0,
  checkMs: 1000,
};

/**
 * Requests that were read before their turn came. One read of 64 KB has up to 2,400 of them, which
 * take about 3 KB each.
 */
const KEPT_REQUESTS = { total: 16_384, perHolder: 4096 };

/**
 * An HTTP server, or HTTPS with `tls`, whose errors have a JSON body even where Node would send
 * none.
 */
export function createHttpServer(listener: RequestListener, options: ServerOptions): Server {
  const { tls, headerBytes, connections } = options;
  const periods = { ...PERIODS, ...options.periods };
  const limits = {
    maxHeaderSize: headerBytes,
    headersTimeout: periods.headersMs,
    requestTimeout: periods.requestMs,
    keepAliveTimeout: periods.keepAliveMs,
    connectionsCheckingInterval: periods.checkMs,
  };
  const server =
    tls === null
      ? createServer(limits)
      : createTlsServer({ ...limits, handshakeTimeout: periods.headersMs, ...tls });
  server.timeout = periods.stallMs;
  const observe = options.observeUnread ?? (() => undefined);
  const inOrder = oneAtATime(listener, {
    kept: createPlaces(KEPT_REQUESTS),
    holderOf: (socket) => holderOf(socket, connections?.isTrusted ?? (() => false)),
  });
  server.on(
    'request',
    connections === undefined ? inOrder : refuseOver({ server, listener: inOrder, observe }, connections),
  );
  server.on('clientError', answerUnread(observe));
  // Without a listener, a connection that the system refuses would end the process. An error before
  // the server listens is the business of its caller.
  server.on('error', (error) => {
    if (server.listening) options.onAcceptError?.(error);
  });
  return server;
}

interface Refusing {
  readonly server: Server;
  readonly listener: RequestListener;
  readonly observe: ObserveUnread;
}

function refuseOver({ server, listener, observe }: Refusing, bounds: ConnectionBounds): RequestListener {
  const isOver = boundConnections(server, bounds);
  return (request, response) => {
    if (!isOver(request.socket)) return listener(request, response);
    const requestId = randomUUID();
    observe({ reason: 'connections', status: 503, requestId, client: clientOf(request.socket) });
    answerUnavailable(response, 'too many connections', requestId);
  };
}

/** Answers 503 where no app answers, and closes the connection. */
export function answerUnavailable(
  response: ServerResponse,
  message: string,
  requestId: string = randomUUID(),
): void {
  const cause = new CellpassError('unavailable', message, { reason: 'connections', closesConnection: true });
  const { status, headers, body } = toErrorAnswer(cause, requestId);
  response.writeHead(status, { ...headers, 'Content-Type': JSON_TYPE }).end(JSON.stringify(body));
}

/** Replaces certificate and key, for new connections. Does nothing for a server without TLS. */
export function replaceTls(server: Server, tls: TlsPair): void {
  if (isTlsServer(server)) server.setSecureContext(tls);
}

function isTlsServer(server: Server): server is TlsServer {
  return 'setSecureContext' in server;
}

/**
 * Reads the certificate (or chain) and its key as PEM.
 * @throws {CellpassError} `invalid`, with the name of the variable, when a file can't be read, is
 * no PEM, the key is not the certificate's, or OpenSSL refuses them, for example a weak key.
 */
export function readTls({ certFile, keyFile }: TlsFiles): TlsPair {
  const cert = readFileOf('CELLPASS_TLS_CERT', certFile);
  const key = readFileOf('CELLPASS_TLS_KEY', keyFile);
  const certificate = parseAs('CELLPASS_TLS_CERT', certFile, 'certificate', () => new X509Certificate(cert));
  const privateKey = parseAs('CELLPASS_TLS_KEY', keyFile, 'unencrypted private key', () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new CellpassError(
      'invalid',
      `CELLPASS_TLS_KEY: ${keyFile} is not the key of the first certificate in ${certFile}`,
    );
  }
  try {
    // Also reads the rest of the chain, as a server will.
    createSecureContext({ cert, key });
  } catch (error) {
    throw new CellpassError(
      'invalid',
      `CELLPASS_TLS_CERT: a server can't use ${certFile} with ${keyFile}: ${String(error)}`,
      { cause: error },
    );
  }
  return { cert, key };
}

function readFileOf(variable: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CellpassError('invalid', `${variable}: can't read ${file}: ${String(error)}`, { cause: error });
  }
}

function parseAs<T>(variable: string, file: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new CellpassError('invalid', `${variable}: ${file} holds no ${what} as PEM`, { cause: error });
  }
}

/**
 * Listens, on a free port if the port is 0. Resolves with the port.
 * @param variable the setting that an error names.
 * @throws {CellpassError} `conflict`
 */
export function listenOnTcp(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
  variable = 'CELLPASS_LISTEN',
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(explainListenError(error, `${variable}: can't listen on ${host}:${port}`)),
    );
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function explainListenError(error: NodeJS.ErrnoException, what: string): CellpassError {
  const hints: Partial<Record<string, string>> = {
    EADDRINUSE: 'another process listens there: stop it, or choose another address',
    EACCES:
      'this user may not: choose a port from 1024 on, or give the process CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)',
    EADDRNOTAVAIL: 'this machine has no such address: choose one of its own, or 0.0.0.0 for all',
    EAFNOSUPPORT: 'this machine has no IPv6: choose an IPv4 address',
    ENOTFOUND: 'no such host name: choose an address of this machine',
  };
  const hint = hints[error.code ?? ''] ?? error.message;
  return new CellpassError('conflict', `${what}: ${hint}`, { cause: error });
}
