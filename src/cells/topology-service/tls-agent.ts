import { createSecureContext } from 'node:tls';
import { Agent } from 'undici';
import { readCertificates, readPrivateKey } from '../../config/pem-files.ts';
import { CellpassError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { ClientTlsFiles } from '../topology.ts';
import { versionsOf, watchFiles } from '../watched-files.ts';

/** Connections to one server, which use other files from the moment on at which these change. */
export interface TlsAgent {
  current(): Agent;
  close(): Promise<void>;
}

export interface TlsAgentOptions {
  readonly tls: ClientTlsFiles;
  /** For a connection to open, greetings included. */
  readonly timeoutMs: number;
  readonly log: Pick<Log, 'error'>;
}

const LONGEST_ANSWER_BYTES = 65_536;
const POLL_MS = 1000;

/**
 * Files that are wrong later are logged, and the ones of before stay in use.
 * @throws {CellpassError} `invalid` when the files are wrong at the start.
 */
export function openTlsAgent({ tls, timeoutMs, log }: TlsAgentOptions): TlsAgent {
  const open = (): Agent =>
    new Agent({
      maxResponseSize: LONGEST_ANSWER_BYTES,
      connect: { timeout: timeoutMs, ...readFiles(tls) },
    });
  const files = [tls.caFile, tls.certificate?.certFile, tls.certificate?.keyFile].filter(
    (file) => file != null,
  );
  const since = versionsOf(files);
  let current = atStart(open);
  const reload = (): void => {
    try {
      const next = open();
      void current.close();
      current = next;
    } catch (error) {
      log.error({ err: error, files }, 'the files for TLS are wrong; keeping the old ones');
    }
  };
  const unwatch = watchFiles(files, { since, intervalMs: POLL_MS, changed: reload });
  return {
    current: () => current,
    close: async () => {
      unwatch();
      await current.close();
    },
  };
}

function atStart(open: () => Agent): Agent {
  try {
    return open();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CellpassError(
      'invalid',
      `CELLPASS_CELLS_FILE: topology_service: the files for TLS can't be used (${message})`,
      { cause: error },
    );
  }
}

interface TlsValues {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** @throws where a file is not whole, or a key does not belong to its certificate. */
function readFiles({ caFile, certificate }: ClientTlsFiles): TlsValues {
  const values = {
    ...(caFile !== null && { ca: readCertificates(caFile) }),
    ...(certificate !== null && {
      cert: readCertificates(certificate.certFile),
      key: readPrivateKey(certificate.keyFile),
    }),
  };
  createSecureContext(values);
  return values;
}
