import { readTls, type TlsPair } from '../http/listener/server.ts';
import type { Log } from '../log.ts';
import { createFollowed } from './followed.ts';

/** The TLS certificate that this process uses, and who uses it. */
export interface Certificate {
  /** Null without TLS. */
  current(): TlsPair | null;
  /** Calls `use` with each certificate that comes later. */
  follow(use: (tls: TlsPair) => void): void;
  replace(tls: TlsPair): void;
}

export function createCertificate(first: TlsPair | null): Certificate {
  const { current, follow, replace } = createFollowed(first);
  return {
    current,
    replace,
    follow: (use) =>
      follow((tls) => {
        if (tls !== null) use(tls);
      }),
  };
}

/**
 * Reads the files again and replaces the certificate. False without TLS.
 * @throws {CellpassError} `invalid`, with the name of the file, when the files are wrong; the old
 * certificate then stays in use.
 */
export function reloadFrom(files: Parameters<typeof readTls>[0] | null, certificate: Certificate): boolean {
  if (files === null) return false;
  certificate.replace(readTls(files));
  return true;
}

/**
 * What SIGHUP does. Logs the outcome; when the new files are wrong, the old certificate stays in
 * use.
 */
export function reloadCertificate(server: { reload(): boolean }, log: Log): void {
  try {
    const done = server.reload();
    log.info({}, done ? 'reloaded the TLS certificate' : 'SIGHUP: without TLS there is nothing to reload');
  } catch (error) {
    log.error({ err: error }, 'the TLS certificate could not be reloaded; keeping the old one');
  }
}
