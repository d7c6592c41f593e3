import type { Config } from '../../config/load.ts';
import { longestTokenLifeSeconds } from '../../config/periods.ts';
import { createKeyring } from '../../keys/keyring.ts';
import { loadMasterKey } from '../../keys/master-key-file.ts';
import type { RevocationLine, Revoked } from '../../records/revocation-file.ts';
import { KeyOperations } from '../../rotation/keys.ts';
import { revokeAdminSecrets } from '../../store/admin-tokens.ts';
import type { Database } from '../../store/database/drivers.ts';
import { revokeSecrets } from '../../store/directory/tokens.ts';
import {
  restoreIdentity,
  revokeConfiguredIdentity,
  revokeIdentity,
  revokeIdToken,
} from '../../store/federation/revocations.ts';
import { createKeyStore } from '../../store/keys.ts';
import { periodsOf } from '../assembly/keys.ts';
import type { StoppedServer } from './stopped.ts';

/** How many lines of each kind there were; revoking again what is revoked changes nothing. */
export type RevokedCounts = Readonly<Record<Revoked['kind'], number>>;

/**
 * Revokes again what `lines` name, in their order. What is revoked already stays so, and what the
 * database doesn't have is refused if it comes back.
 * @throws {CellpassError} `conflict` when a key must be revoked and `master.key` doesn't open the
 * others. Everything else is revoked by then.
 */
export async function revokeAgain(
  server: StoppedServer,
  lines: readonly RevocationLine[],
): Promise<RevokedCounts> {
  const { database } = server;
  const now = new Date();
  const all = <K extends Revoked['kind']>(kind: K) =>
    lines.filter((line): line is Extract<RevocationLine, { readonly kind: K }> => line.kind === kind);
  await revokeSecrets(
    database,
    all('token').map(({ sha256 }) => sha256),
    now,
  );
  await revokeAdminSecrets(
    database,
    all('admin_token').map(({ sha256 }) => sha256),
    now,
  );
  for (const line of lines) {
    if (line.kind === 'identity') await revokeByName(database, line.name, now);
    if (line.kind === 'identity_restored') await restoreIdentity(database, line.name);
  }
  for (const { kept_until, ...token } of all('id_token'))
    await revokeIdToken(database, token, { now, keptUntil: new Date(kept_until) });
  await revokeKeys(server, all('key'));
  return {
    token: all('token').length,
    admin_token: all('admin_token').length,
    identity: all('identity').length,
    identity_restored: all('identity_restored').length,
    id_token: all('id_token').length,
    key: all('key').length,
  };
}

/** Also an identity of the settings, and one that a document brings later: both count by name. */
async function revokeByName(database: Database, name: string, now: Date): Promise<void> {
  const ended = await revokeIdentity(database, name, now);
  if (ended === null) await revokeConfiguredIdentity(database, name, now);
}

/** Opens the keys only when one of them must be revoked. */
async function revokeKeys(
  { config, database, log }: StoppedServer,
  revoked: readonly { readonly kid: string; readonly reason: string }[],
): Promise<void> {
  const store = createKeyStore(database);
  const { keys } = await store.readKeySet();
  const valid = revoked.filter(({ kid }) => keys.some((key) => key.kid === kid && key.state !== 'revoked'));
  if (valid.length === 0) return;
  const { masterKey } = await loadMasterKey(config.keysDir, { mayCreate: false });
  const options = { ...keyOptions(config), store, masterKey, now: () => new Date() };
  const keyring = await createKeyring({ ...options, log });
  try {
    const operations = new KeyOperations({ ...options, keyring, probe: async () => [] });
    for (const { kid, reason } of valid)
      await operations.revoke(kid, reason, { actor: 'cellpass restore --revocations' });
  } finally {
    await keyring.close();
  }
}

function keyOptions(config: Config) {
  return {
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: longestTokenLifeSeconds(config.services),
    periods: periodsOf(config),
  };
}
