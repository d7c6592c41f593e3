import type { Server } from 'node:http';
import type { Config } from '../../config/load.ts';
import { answerUnavailable, createHttpServer, listenOnTcp, replaceTls } from '../../http/listener/server.ts';
import type { Log } from '../../log.ts';
import type { Certificate } from '../certificate.ts';

/**
 * Answers clients with 503 while no worker listens. Otherwise the system would refuse connections,
 * and clients and load balancers take that for a server that is gone.
 */
export interface StandIn {
  /**
   * Takes the port before the first worker starts; does nothing for port 0.
   * @throws {CellpassError} `conflict` when it can't listen there.
   */
  hold(): Promise<void>;
  begin(): void;
  /** The port is free when this returns. */
  end(): void;
}

export interface StandInOptions {
  readonly config: Pick<Config, 'listen' | 'limits'>;
  readonly certificate: Certificate;
  readonly log: Pick<Log, 'warn'>;
}

const RETRY_MS = 100;
/** How long clients may take to send the request that gets the 503, when workers listen again. */
const LAST_REQUESTS_MS = 2000;

export function createStandIn({ config, certificate, log }: StandInOptions): StandIn {
  const { host, port } = config.listen;
  // Made in advance, so that the port is bound again as soon as it is free.
  let server = open(config, certificate);
  let isNeeded = false;
  let retry: NodeJS.Timeout | undefined;
  certificate.follow((tls) => replaceTls(server, tls));

  const listen = (): void => {
    const current = server;
    current.once('error', (error) => {
      if (current.listening) return;
      log.warn({ err: error }, 'the port can not be held while workers restart; retrying');
      if (isNeeded) retry = setTimeout(listen, RETRY_MS).unref();
    });
    current.listen(port, host, () => {
      if (current === server) log.warn({}, 'no worker listens: answering 503 until one does');
      else current.close();
    });
  };
  return {
    async hold() {
      if (port === 0) return;
      await listenOnTcp(server, config.listen);
      isNeeded = true;
    },
    begin() {
      // Workers that chose a free port choose another one each time.
      if (isNeeded || port === 0) return;
      isNeeded = true;
      listen();
    },
    end() {
      if (!isNeeded) return;
      isNeeded = false;
      clearTimeout(retry);
      const last = server;
      server = open(config, certificate);
      // `close` closes the listening socket at once.
      last.close();
      setTimeout(() => last.closeAllConnections(), LAST_REQUESTS_MS).unref();
    },
  };
}

function open({ limits }: StandInOptions['config'], certificate: Certificate): Server {
  const server = createHttpServer(
    (_request, response) => answerUnavailable(response, 'the server is starting: try again in a moment'),
    { headerBytes: limits.headerBytes, tls: certificate.current() },
  );
  server.maxConnections = limits.connections.total;
  return server;
}
