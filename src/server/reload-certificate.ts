import type { Log } from '../log.ts';
import type { RunningServer } from './start.ts';

/**
 * What SIGHUP does. Logs the outcome; when the new files are wrong, the old certificate stays in
 * use.
 */
export function reloadCertificate(server: Pick<RunningServer, 'reload'>, log: Log): void {
  try {
    const done = server.reload();
    log.info({}, done ? 'reloaded the TLS certificate' : 'SIGHUP: without TLS there is nothing to reload');
  } catch (error) {
    log.error({ err: error }, 'the TLS certificate could not be reloaded; keeping the old one');
  }
}
