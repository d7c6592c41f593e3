import type { CurrentTopology } from '../../cells/current-topology.ts';
import type { Config } from '../../config/load.ts';
import { daysToSeconds, longestTokenLifeSeconds } from '../../config/periods.ts';
import { createKeyring, type Keyring } from '../../keys/keyring.ts';
import { AuthorityOperations } from '../../rotation/authorities.ts';
import { createProbe, type Registry } from '../../rotation/canary.ts';
import { KeyOperations } from '../../rotation/keys.ts';
import { knownRegistries } from '../../rotation/known-registries.ts';
import type { KeyPeriods } from '../../rotation/plan.ts';
import { createSchedule, SCHEDULE_ACTOR, type Schedule } from '../../rotation/schedule.ts';
import { createKeyStore, KEY_CHANNEL, ROTATION_LOCK } from '../../store/keys.ts';
import { clockOf, type Parts } from './parts.ts';

/** What tokens are signed with, and whoever changes it. */
export interface KeyParts {
  readonly keyring: Keyring;
  readonly keys: KeyOperations;
  readonly authorities: AuthorityOperations;
  /** Rotation by itself; `start` begins it. */
  readonly schedule: Schedule;
  close(): Promise<void>;
}

export async function openKeys(parts: Parts, cells: CurrentTopology): Promise<KeyParts> {
  const { config, database, masterKey, log, now } = parts;
  const store = createKeyStore(database);
  const keyring = await createKeyring({
    store,
    masterKey,
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: longestTokenLifeSeconds(config.services),
    log,
    ...clockOf(parts),
  });
  const stopListening = await database.listen(KEY_CHANNEL, () => refreshQuietly(keyring));
  const options = {
    store,
    keyring,
    masterKey,
    probe: createProbe({
      registries: () => registriesOf(config, cells),
      issuer: config.issuer,
      cell: config.cell,
      now,
    }),
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: longestTokenLifeSeconds(config.services),
    periods: periodsOf(config),
  };
  const keys = new KeyOperations(options);
  const schedule = scheduleOf(parts, keyring, keys);
  return {
    keyring,
    keys,
    authorities: new AuthorityOperations(options),
    schedule,
    close: async () => {
      await schedule.close();
      await stopListening();
      await keyring.close();
    },
  };
}

/** A read that fails is tried again by the next poll, which says so in the log. */
function refreshQuietly(keyring: Keyring): void {
  keyring.refresh().catch(() => undefined);
}

export function periodsOf({ keys }: Config): KeyPeriods {
  return {
    propagationSeconds: keys.propagationSeconds,
    rotateEverySeconds: daysToSeconds(keys.rotateEveryDays),
  };
}

/** Those that are asked before a key becomes active, and the router, which refuses what no key of its own verifies. */
function registriesOf(config: Config, cells: CurrentTopology): readonly Registry[] {
  const known = knownRegistries(config);
  const { routerUrl } = cells.view().topology;
  const [service] = config.services;
  if (routerUrl === null || service === undefined) return known;
  return [...known, { name: 'router', url: routerUrl, service, isRouter: true }];
}

function scheduleOf(
  { config, database, now, log }: Parts,
  keyring: Keyring,
  administration: KeyOperations,
): Schedule {
  return createSchedule({
    periods: periodsOf(config),
    currentSet: () => keyring.open().set,
    moment: () => ({ now: now(), skippedMsSince: keyring.clock.skippedMsSince }),
    exclusively: (work) => database.tryExclusively(ROTATION_LOCK, work),
    stage: () => administration.stage({ actor: SCHEDULE_ACTOR }),
    rotate: () => administration.rotate({ actor: SCHEDULE_ACTOR }),
    log,
  });
}
