import type { RequestListener, Server } from 'node:http';
import type { Config } from '../config/load.ts';
import { trustIn } from '../http/client-address.ts';
import {
  answerUnavailable,
  createHttpServer,
  listenOnTcp,
  replaceTls,
  type ServerOptions,
} from '../http/listener/server.ts';
import type { ObserveUnread } from '../http/listener/unread-requests.ts';
import type { Log } from '../log.ts';
import type { Certificate } from './certificate.ts';
import type { Closers } from './closers.ts';
import { refusedAtOnce } from './open-files.ts';

/** How long a closing listener waits for answers that have begun. */
const LAST_ANSWERS_MS = 10_000;
/** How often a closing listener looks for connections that have become idle. */
const IDLE_CHECK_MS = 100;
/** How long a connection over the limit may stay open to receive its 503. */
const REFUSAL_MS = 2000;
/** How often a listener reports that the system refuses connections. */
const ACCEPT_REPORT_MS = 10_000;

/** What every TCP listener needs besides its app. */
export interface ListenerInputs {
  readonly certificate: Certificate;
  readonly log: Log;
  readonly closers: Closers;
}

/** What a listener answers with. */
interface Answering {
  readonly app: { callback(): RequestListener };
  readonly observeUnread: ObserveUnread;
}

/** A listener whose port is bound. It answers 503 until `answerWith`. */
export interface BoundListener {
  /** `host:port`, with the port that was chosen for 0. */
  readonly address: string;
  readonly url: string;
  /**
   * Closes before everything that was opened before this call, so that the last answers still have
   * what they need.
   */
  answerWith(answering: Answering): void;
}

/** Binds the port for registries' clients. */
export function bindPublicListener(config: Config, inputs: ListenerInputs): Promise<BoundListener> {
  const options = { ...tcpOptions(config, inputs.log), tls: inputs.certificate.current() };
  return bind({ ...config.listen, variable: 'CELLPASS_LISTEN' }, options, inputs);
}

/** Binds the port of the admin API if `CELLPASS_ADMIN_LISTEN` is set. */
export async function bindAdminListener(
  { adminListen, ...config }: Config,
  inputs: ListenerInputs,
): Promise<BoundListener | null> {
  if (adminListen === null) return null;
  // Without the periods of the public listener: applying a large document sends no byte for longer
  // than they allow.
  const options = { ...tcpOptions(config, inputs.log), periods: {}, tls: inputs.certificate.current() };
  return bind({ ...adminListen, variable: 'CELLPASS_ADMIN_LISTEN' }, options, inputs);
}

/**
 * Binds the port of the metrics if `CELLPASS_METRICS_LISTEN` is set. It asks for no token, so it has
 * the same limits as the public listener.
 */
export async function bindMetricsListener(
  { metricsListen, ...config }: Config,
  inputs: ListenerInputs,
): Promise<BoundListener | null> {
  if (metricsListen === null) return null;
  const options = { ...tcpOptions(config, inputs.log), tls: null };
  return bind({ ...metricsListen, variable: 'CELLPASS_METRICS_LISTEN' }, options, inputs);
}

/** With TLS, a reload replaces the certificate. */
async function bind(
  { variable, ...where }: Config['listen'] & { readonly variable: string },
  options: ServerOptions,
  { certificate, closers }: ListenerInputs,
): Promise<BoundListener> {
  let current: RequestListener = (_request, response) =>
    answerUnavailable(response, 'the server is starting: try again in a moment');
  let observe: ObserveUnread = () => undefined;
  const server = createHttpServer((request, response) => current(request, response), {
    ...options,
    observeUnread: (unread) => observe(unread),
  });
  certificate.follow((tls) => replaceTls(server, tls));
  const bound = { host: where.host, port: await listenOnTcp(server, where, variable) };
  closers.push(() => closeServer(server));
  return {
    address: printAddress(bound),
    url: `${options.tls === null ? 'http' : 'https'}://${printAddress(bound)}`,
    answerWith: ({ app, observeUnread }) => {
      current = app.callback();
      observe = observeUnread;
      closers.push(() => closeServer(server));
    },
  };
}

/**
 * Limits for clients that nobody has to trust. The admin socket has none: only the server's own
 * user can open it.
 */
function tcpOptions(
  { limits, trustedProxies }: Pick<Config, 'limits' | 'trustedProxies'>,
  log: Log,
): Omit<ServerOptions, 'tls'> {
  const { total, perAddress, headerSeconds, requestSeconds, stallSeconds } = limits.connections;
  return {
    headerBytes: limits.headerBytes,
    onAcceptError: reportAtTimes(log),
    connections: {
      total,
      perAddress,
      isTrusted: trustIn(trustedProxies),
      refusalMs: REFUSAL_MS,
      refusedAtOnce: refusedAtOnce(total),
    },
    periods: {
      headersMs: headerSeconds * 1000,
      requestMs: requestSeconds * 1000,
      stallMs: stallSeconds * 1000,
    },
  };
}

/** The system may refuse thousands of connections a second; the log gets a line in ten seconds. */
function reportAtTimes(log: Log): (error: Error) => void {
  let refused = 0;
  let reportedMs = Number.NEGATIVE_INFINITY;
  return (error) => {
    refused += 1;
    if (performance.now() - reportedMs < ACCEPT_REPORT_MS) return;
    log.error({ err: error, refused }, 'the system refuses connections; see ulimit -n');
    reportedMs = performance.now();
    refused = 0;
  };
}

function printAddress({ host, port }: Config['listen']): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Stops listening, and resolves when every connection is closed; after 10 s it cuts those that are
 * left. Resolves at once when the server is closed already.
 */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const overdue = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
    // `close` ends only the connections that are idle now; an answer that began earlier may leave
    // one open for a next request.
    const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
    server.close(() => {
      clearTimeout(overdue);
      clearInterval(idle);
      resolve();
    });
  });
}
