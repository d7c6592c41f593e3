import type { RequestListener, Server } from 'node:http';
import type { Config } from '../config/load.ts';
import { trustIn } from '../http/client-address.ts';
import { createHttpServer, listenOnTcp, replaceTls, type ServerOptions } from '../http/listener/server.ts';
import type { Log } from '../log.ts';
import type { Administration, PublicAssembly } from './assemble.ts';
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

/** Listens for registries' clients. Resolves with the URL, which has the port that was chosen for 0. */
export async function openPublicListener(
  config: Config,
  { app, observeUnread }: Pick<PublicAssembly, 'app' | 'observeUnread'>,
  inputs: ListenerInputs,
): Promise<string> {
  const options = { ...tcpOptions(config, inputs.log), observeUnread };
  const server = createTcpServer(app.callback(), options, inputs);
  const port = await listenOnTcp(server, config.listen);
  inputs.closers.push(() => closeServer(server));
  return listenerUrl({ ...config.listen, port }, config.tls);
}

/** Serves the admin API over TCP if `CELLPASS_ADMIN_LISTEN` is set. */
export async function openAdminListener(
  config: Config,
  { remoteAdmin, observeUnread }: Pick<Administration, 'remoteAdmin' | 'observeUnread'>,
  inputs: ListenerInputs,
): Promise<void> {
  const { adminListen, tls } = config;
  if (adminListen === null) return;
  const { closers, log } = inputs;
  // Without the periods of the public listener: applying a large document sends no byte for longer
  // than they allow.
  const options = { ...tcpOptions(config, log), periods: {}, observeUnread };
  const server = createTcpServer(remoteAdmin.callback(), options, inputs);
  const port = await listenOnTcp(server, adminListen, 'CELLPASS_ADMIN_LISTEN');
  closers.push(() => closeServer(server));
  log.info({ url: listenerUrl({ ...adminListen, port }, tls) }, 'the admin API answers over TCP');
}

/**
 * Serves metrics if `CELLPASS_METRICS_LISTEN` is set. It asks for no token, so it has the same
 * limits as the public listener.
 */
export async function openMetricsListener(
  config: Config,
  { metrics, observeUnread }: Pick<Administration, 'metrics' | 'observeUnread'>,
  { log, closers }: Pick<ListenerInputs, 'log' | 'closers'>,
): Promise<void> {
  if (config.metricsListen === null) return;
  const options = { ...tcpOptions(config, log), tls: null, observeUnread };
  const server = createHttpServer(metrics.callback(), options);
  await listenOnTcp(server, config.metricsListen, 'CELLPASS_METRICS_LISTEN');
  closers.push(() => closeServer(server));
}

/** A server with the current certificate, which a reload replaces. */
function createTcpServer(
  listener: RequestListener,
  options: Omit<ServerOptions, 'tls'>,
  { certificate }: Pick<ListenerInputs, 'certificate'>,
): Server {
  const server = createHttpServer(listener, { ...options, tls: certificate.current() });
  certificate.follow((tls) => replaceTls(server, tls));
  return server;
}

/**
 * Limits for clients that nobody has to trust. The admin socket has none: only the server's own
 * user can open it.
 */
function tcpOptions({ limits, trustedProxies }: Config, log: Log): Omit<ServerOptions, 'tls'> {
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

function listenerUrl({ host, port }: Config['listen'], tls: Config['tls']): string {
  return `${tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Stops listening, and resolves when every connection is closed; after 10 s it cuts those that are
 * left.
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
