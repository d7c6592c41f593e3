import type { RequestListener, Server } from 'node:http';
import type { Config } from '../config/load.ts';
import { trustIn } from '../http/client-address.ts';
import { createHttpServer, listenOnTcp, reloadTls, type ServerOptions } from '../http/listener/server.ts';
import type { Log } from '../log.ts';
import type { Assembly } from './assemble.ts';
import type { Opened } from './closers.ts';

/** What a server listens on, and how each listener is bounded, read again and closed. */

/** For what has begun when the listener closes. */
const LAST_ANSWERS_MS = 10_000;
/** How often connections are looked at that had nothing to say while the listener closed. */
const IDLE_CHECK_MS = 100;
/** For a connection over the bounds to be told so. */
const REFUSAL_MS = 2000;

/** Where it is set. Gives the servers for which certificates are read again: one, or none. */
export async function openAdminListener(
  config: Config,
  { remoteAdmin }: Assembly,
  { log, opened }: { readonly log: Log; readonly opened: Opened },
): Promise<readonly Server[]> {
  const { adminListen, tls } = config;
  if (adminListen === null) return [];
  // Strangers reach it, too, but a large document is applied in silence.
  const server = createHttpServer(remoteAdmin.callback(), { ...tcpOptions(config), periods: {} });
  const port = await listenOnTcp(server, adminListen, 'CELLPASS_ADMIN_LISTEN');
  opened.push(() => closeServer(server));
  log.info({ url: listenerUrl({ ...adminListen, port }, tls) }, 'the admin API answers over TCP');
  return [server];
}

/** Once for all workers. It asks for no token, so the bounds are all that a stranger meets. */
export async function openMetricsListener(
  config: Config,
  { metrics }: Pick<Assembly, 'metrics'>,
  opened: Opened,
): Promise<void> {
  if (config.metricsListen === null) return;
  const server = createHttpServer(metrics.callback(), { ...tcpOptions(config), tls: null });
  await listenOnTcp(server, config.metricsListen, 'CELLPASS_METRICS_LISTEN');
  opened.push(() => closeServer(server));
}

/** The admin socket has none of these bounds: whoever may open it is trusted, and large documents take long. */
export function tcpOptions({ limits, tls, trustedProxies }: Config): ServerOptions {
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

/** Reads certificate and key again for each; throws, and keeps the old ones, when they are wrong. False without TLS. */
export function reloadAll({ tls }: Config, servers: readonly Server[]): boolean {
  if (tls === null) return false;
  for (const server of servers) reloadTls(server, tls);
  return true;
}

export function listenerUrl({ host, port }: Config['listen'], tls: Config['tls']): string {
  return `${tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The admin socket listens before there is anything to answer with. */
export function createSwitchable(): {
  readonly listener: RequestListener;
  switchTo(listener: RequestListener): void;
} {
  let current: RequestListener = (_request, response) => {
    response.writeHead(503, { 'Retry-After': '1', 'Content-Length': '0' }).end();
  };
  return {
    listener: (request, response) => current(request, response),
    switchTo: (listener) => {
      current = listener;
    },
  };
}

export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const overdue = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
    // One that is kept for a next request, because its last answer had begun before it was known that there is none.
    const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
    server.close(() => {
      clearTimeout(overdue);
      clearInterval(idle);
      resolve();
    });
  });
}
