import { issuerRulesOf } from '../../config/federation.ts';
import { isTrial } from '../../config/trial.ts';
import { applyDirectory } from '../../directory/apply.ts';
import { exportDirectory } from '../../directory/export/directory.ts';
import type { DirectoryResource } from '../../http/admin/directory.ts';
import type { Closers } from '../closers.ts';
import type { SharedServices } from './endpoints.ts';
import { DIRECTORY_IN_GITLAB } from './gitlab.ts';
import type { ServerInputs } from './inputs.ts';

/** Applies and exports documents where the server plans them. */
export function openDirectory(
  { config, database, now, openPlanner, gitlab }: ServerInputs,
  { passwords }: Pick<SharedServices, 'passwords'>,
  closers: Closers,
): DirectoryResource {
  if (gitlab !== undefined) return DIRECTORY_IN_GITLAB;
  const issuers = config.federation && issuerRulesOf(config.federation);
  const services = {
    database,
    passwords,
    now,
    refusesExamples: !isTrial(config),
    issuers,
    tokenDays: config.limits.tokenDays,
  };
  if (openPlanner === undefined) {
    return {
      apply: (document, options) => applyDirectory(services, document, options),
      export: () => exportDirectory(database),
    };
  }
  const planner = openPlanner(services);
  closers.push(() => planner.close());
  return planner;
}
