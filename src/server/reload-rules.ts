import { loadConfig } from '../config/load.ts';
import type { RailsSettings } from '../config/rails.ts';
import type { Environment } from '../config/sources.ts';
import type { Log } from '../log.ts';
import type { RunningServer } from './start.ts';

/**
 * Reads the rules beside GitLab Rails again, at SIGHUP. Logs the outcome; when the settings are
 * wrong, the old rules stay in use.
 */
export function reloadRules(
  { rules }: Pick<RunningServer, 'rules'>,
  { url }: RailsSettings,
  { environment, log }: { readonly environment: Environment; readonly log: Log },
): void {
  try {
    const { rails } = loadConfig(environment);
    if (rails?.url !== url) {
      log.error({}, 'CELLPASS_GITLAB_RAILS_URL has changed, which needs a new start; keeping the old rules');
      return;
    }
    rules.replace(rails.rules);
    log.info({ ...rails.rules }, 'reloaded the rules beside GitLab Rails');
  } catch (error) {
    log.error({ err: error }, 'the rules beside GitLab Rails could not be reloaded; keeping the old ones');
  }
}
