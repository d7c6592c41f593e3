import type { Registry as MetricsRegistry } from 'prom-client';
import type { CurrentTopology } from '../../cells/current-topology.ts';
import type { Config } from '../../config/load.ts';
import { daysToSeconds, longestTokenLifeSeconds } from '../../config/periods.ts';
import { createCanaryMetrics } from '../../http/metrics/canaries.ts';
import { createKeyring, type Keyring } from '../../keys/keyring.ts';
import type { SigningKey } from '../../keys/signing-key.ts';
import { AuthorityOperations } from '../../rotation/authorities.ts';
import { createProbe, type Registry } from '../../rotation/canary.ts';
import { KeyOperations } from '../../rotation/keys.ts';
import { knownRegistries } from '../../rotation/known-registries.ts';
import type { KeyPeriods } from '../../rotation/plan.ts';
import { createSchedule, SCHEDULE_ACTOR, type Schedule } from '../../rotation/schedule.ts';
import { createKeyStore, KEY_CHANNEL, ROTATION_LOCK } from '../../store/keys.ts';
import type { Closers } from '../closers.ts';
import { clockOf, type ServerInputs } from './inputs.ts';

/** Who changes keys: admins and the schedule. */
export interface KeyRotation {
  readonly keys: KeyOperations;
  readonly authorities: AuthorityOperations;
  /** The scheduled rotation; does nothing before `start`. */
  readonly schedule: Schedule;
}

/**
 * The keys that sign and verify. Every process follows the stored key set: by NOTIFY and by
 * polling.
 * @param onNotice called after each NOTIFY, which may be about something else; see `KEY_CHANNEL`.
 */
export async function openKeyring(
  inputs: ServerInputs,
  closers: Closers,
  onNotice: () => void,
): Promise<Keyring> {
  const { config, database, masterKey, log, now } = inputs;
  const keyring = await createKeyring({
    store: createKeyStore(database),
    masterKey,
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: longestTokenLifeSeconds(config.services),
    log,
    ...clockOf(inputs),
  });
  closers.push(() => keyring.close());
  const hear = (): void => {
    onNotice();
    refreshQuietly(keyring);
  };
  closers.push(await database.listen(KEY_CHANNEL, hear));
  return keyring;
}

/** The next poll retries a refresh that failed, and logs it. */
function refreshQuietly(keyring: Keyring): void {
  keyring.refresh().catch(() => undefined);
}

/** Commands and schedule that change keys, for the one process of a server that administers it. */
export function openRotation(
  inputs: ServerInputs,
  {
    keyring,
    cells,
    registry,
  }: {
    readonly keyring: Keyring;
    readonly cells: CurrentTopology;
    readonly registry: MetricsRegistry;
  },
  closers: Closers,
): KeyRotation {
  const { config, database, masterKey, now } = inputs;
  const probe = createProbe({
    registries: () => registriesOf(config, cells),
    issuer: config.issuer,
    cell: config.cell,
    now,
  });
  const observe = createCanaryMetrics(registry, now);
  const options = {
    store: createKeyStore(database),
    keyring,
    masterKey,
    probe: async (key: SigningKey) => {
      const answers = await probe(key);
      observe(answers);
      return answers;
    },
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: longestTokenLifeSeconds(config.services),
    periods: periodsOf(config),
  };
  const keys = new KeyOperations(options);
  const schedule = scheduleOf(inputs, keyring, keys);
  closers.push(() => schedule.close());
  return { keys, authorities: new AuthorityOperations(options), schedule };
}

export function periodsOf({ keys }: Config): KeyPeriods {
  return {
    propagationSeconds: keys.propagationSeconds,
    rotateEverySeconds: daysToSeconds(keys.rotateEveryDays),
  };
}

/**
 * The registries to probe before a key becomes active. The router counts as one: it refuses a token
 * that none of its own keys verifies.
 */
function registriesOf(config: Config, cells: CurrentTopology): readonly Registry[] {
  const known = knownRegistries(config);
  const { routerUrl } = cells.view().topology;
  const [service] = config.services;
  if (routerUrl === null || service === undefined) return known;
  return [...known, { name: 'router', url: routerUrl, service, isRouter: true }];
}

function scheduleOf(
  { config, database, now, log }: ServerInputs,
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
