import { type Config, loadConfig, type RegistrySettings } from '../../config/load.ts';
import { longestTokenLifeSeconds } from '../../config/periods.ts';
import { CellpassError } from '../../errors.ts';
import { generateFirstKeys } from '../../keys/first-start.ts';
import { activeKey, issuingAuthority } from '../../keys/key-set.ts';
import { loadMasterKey } from '../../keys/master-key-file.ts';
import { NO_KEYS } from '../../keys/open-key-set.ts';
import type { Database } from '../../store/database/drivers.ts';
import { countListeners, createKeyStore, replaceKeySet } from '../../store/keys.ts';
import type { Terminal } from '../../terminal.ts';
import { prepareDatabase } from '../prepare.ts';
import { whileStopped } from './stopped.ts';

export interface ResetKeys {
  /** The active key. */
  readonly kid: string;
  /** The new CA. */
  readonly ca: string;
  readonly ca_pem: string;
  /** How many keys were deleted. */
  readonly deleted_keys: number;
  /** Those of the settings. */
  readonly registries: readonly Pick<RegistrySettings, 'name' | 'url' | 'trusts'>[];
}

/**
 * Makes a key and a CA in the place of all that the database has, encrypted with `master.key`, which
 * is generated if it is missing. Registries refuse every token until they have what they trust.
 * @param actor for the history of keys.
 * @throws {CellpassError} `conflict` while a server runs, or where there are no keys to replace.
 */
export function resetKeys(terminal: Pick<Terminal, 'environment'>, actor: string): Promise<ResetKeys> {
  return whileStopped(
    terminal,
    async () => undefined,
    async ({ config, database, log }) => {
      await prepareDatabase(config, database, { log });
      await refuseRunning(database);
      const { keys, authorities } = await createKeyStore(database).readKeySet();
      if (keys.length === 0 && authorities.length === 0) {
        throw new CellpassError(
          'conflict',
          'there are no keys to replace: "cellpass serve" makes the first ones',
        );
      }
      const set = await newKeys(config);
      const active = activeKey(set);
      const authority = issuingAuthority(set);
      if (active === undefined || authority === undefined) throw new Error('the new key set is not complete');
      const reason = `replaced ${keys.length} keys and ${authorities.length} CAs`;
      await replaceKeySet(database, set, {
        at: new Date(),
        actor,
        action: 'reset',
        subject: active.kid,
        reason,
      });
      return {
        kid: active.kid,
        ca: authority.id,
        ca_pem: authority.certificatePem,
        deleted_keys: keys.length,
        registries: config.registries.map(({ name, url, trusts }) => ({ name, url, trusts })),
      };
    },
  );
}

/** The registries of the settings, for the question before the reset. */
export function registriesToTell({ environment }: Pick<Terminal, 'environment'>): readonly string[] {
  return loadConfig(environment).registries.map(({ name }) => name);
}

async function newKeys(config: Config): ReturnType<typeof generateFirstKeys> {
  // Allowed to make the file: nothing that is stored needs the old one any more.
  const { masterKey } = await loadMasterKey(config.keysDir, { mayCreate: true }).catch((error: unknown) => {
    if (!(error instanceof CellpassError)) throw error;
    const first = error.message.split('. ')[0];
    throw new CellpassError(error.code, `${first}: move it away, and a new one is made`, { cause: error });
  });
  return generateFirstKeys(NO_KEYS.set, {
    cellId: config.cell,
    masterKey,
    now: new Date(),
    leafHours: config.keys.leafHours,
    longestTokenSeconds: longestTokenLifeSeconds(config.services),
  });
}

/** On other machines, too; the data directory tells only of this one. */
async function refuseRunning(database: Database): Promise<void> {
  if (database.kind === 'pglite') return;
  const running = await countListeners(database);
  if (running === 0) return;
  throw new CellpassError(
    'conflict',
    `${running} running servers use this database: stop the servers of this cell on every host first`,
  );
}
