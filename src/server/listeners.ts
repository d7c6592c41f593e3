import type { Server } from 'node:http';
import type { Config } from '../config/load.ts';
import { trustIn } from '../http/client-address.ts';
import { createHttpServer, listenOnTcp, reloadTls, type ServerOptions } from '../http/listener/server.ts';
import type { Log } from '../log.ts';
import type { Administration, PublicAssembly } from './assemble.ts';
import type { Closers } from './closers.ts';

/** How long a closing listener waits for answers that have begun. */
const LAST_ANSWERS_MS = 10_000;
/** How often a closing listener looks for connections that have become idle. */
const IDLE_CHECK_MS = 100;
/** How long a connection over the limit may stay open to receive its 503. */
const REFUSAL_MS = 2000;

/**
 * Listens for registries' clients. Resolves with the server and its URL, which has the port that
 * the system chose for 0.
 */
export async function openPublicListener(
  config: Config,
  { app, observeUnread }: Pick<PublicAssembly, 'app' | 'observeUnread'>,
  closers: Closers,
): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createHttpServer(app.callback(), { ...tcpOptions(config), observeUnread });
  const port = await listenOnTcp(server, config.listen);
  closers.push(() => closeServer(server));
  return { server, url: listenerUrl({ ...config.listen, port }, config.tls) };
}

/**
 * Serves the admin API over TCP if `CELLPASS_ADMIN_LISTEN` is set. Resolves with the servers whose
 * certificate a reload replaces: one or none.
 */
export async function openAdminListener(
  config: Config,
  { remoteAdmin, observeUnread }: Pick<Administration, 'remoteAdmin' | 'observeUnread'>,
  { log, closers }: { readonly log: Log; readonly closers: Closers },
): Promise<readonly Server[]> {
  const { adminListen, tls } = config;
  if (adminListen === null) return [];
  // Without the periods of the public listener: applying a large document sends no byte for longer
  // than they allow.
  const options = { ...tcpOptions(config), periods: {}, observeUnread };
  const server = createHttpServer(remoteAdmin.callback(), options);
  const port = await listenOnTcp(server, adminListen, 'CELLPASS_ADMIN_LISTEN');
  closers.push(() => closeServer(server));
  log.info({ url: listenerUrl({ ...adminListen, port }, tls) }, 'the admin API answers over TCP');
  return [server];
}

/**
 * Serves metrics if `CELLPASS_METRICS_LISTEN` is set. It asks for no token, so it has the same
 * limits as the public listener.
 */
export async function openMetricsListener(
  config: Config,
  { metrics, observeUnread }: Pick<Administration, 'metrics' | 'observeUnread'>,
  closers: Closers,
): Promise<void> {
  if (config.metricsListen === null) return;
  const server = createHttpServer(metrics.callback(), { ...tcpOptions(config), tls: null, observeUnread });
  await listenOnTcp(server, config.metricsListen, 'CELLPASS_METRICS_LISTEN');
  closers.push(() => closeServer(server));
}

/**
 * Limits for clients that nobody has to trust. The admin socket has none: only the server's own
 * user can open it.
 */
function tcpOptions({ limits, tls, trustedProxies }: Config): ServerOptions {
  const { total, perAddress, headerSeconds, requestSeconds, stallSeconds } = limits.connections;
  return {
    headerBytes: limits.headerBytes,
    tls,
    connections: { total, perAddress, isTrusted: trustIn(trustedProxies), refusalMs: REFUSAL_MS },
    periods: {
      headersMs: headerSeconds * 1000,
      requestMs: requestSeconds * 1000,
      stallMs: stallSeconds * 1000,
    },
  };
}

/**
 * Reloads certificate and key of each server. False without TLS.
 * @throws {CellpassError} `invalid` when the files are wrong; the servers then keep the old
 * certificate.
 */
export function reloadAll({ tls }: Config, servers: readonly Server[]): boolean {
  if (tls === null) return false;
  for (const server of servers) reloadTls(server, tls);
  return true;
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
