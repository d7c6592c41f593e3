import type { Config } from '../../config/load.ts';
import { daysToSeconds } from '../../config/periods.ts';
import { CellpassError } from '../../errors.ts';
import { activeKey, type KeySet } from '../../keys/key-set.ts';
import { loadMasterKey } from '../../keys/master-key-file.ts';
import { openKeySet } from '../../keys/open-key-set.ts';
import type { SigningKey } from '../../keys/signing-key.ts';
import { listKeySet } from '../../rotation/listing.ts';
import { type Finding, ok, type Verdict, warning } from './finding.ts';
import { type KeyFacts, NO_KEYS_YET } from './key-checks.ts';

/** What the database holds, as far as the checks could read it. */
export interface StoredState {
  readonly findings: readonly Finding[];
  /** Undefined when they could not be read. */
  readonly keys: KeyFacts | undefined;
  /** The keys that this process could open. */
  readonly signingKeys: readonly SigningKey[];
}

/** The keys before the first start. */
export const NO_KEYS: KeyFacts = { listing: { keys: [], authorities: [] }, leaf: null };

/** What the checks of keys need, from the stored keys. */
export function factsOf(set: KeySet, { keys }: Config, now: Date): KeyFacts {
  const periods = {
    propagationSeconds: keys.propagationSeconds,
    rotateEverySeconds: daysToSeconds(keys.rotateEveryDays),
  };
  return {
    listing: listKeySet(set, periods, { now, skippedMsSince: () => 0 }),
    leaf: activeKey(set)?.certificate ?? null,
  };
}

/**
 * Opens the stored keys as the server does at its start.
 * @param set undefined when a running server has the keys open.
 */
export async function checkMasterKey(
  keysDir: string,
  set: KeySet | undefined,
): Promise<{ readonly verdict: Verdict; readonly value: readonly SigningKey[] }> {
  const isFirstStart = set?.keys.length === 0 && set.authorities.length === 0;
  const loaded = await loadMasterKey(keysDir, { mayCreate: false }).catch((error: unknown) => {
    const isMissing = error instanceof CellpassError && error.code === 'conflict';
    if (isFirstStart && isMissing) return undefined;
    throw error;
  });
  if (loaded === undefined) return { verdict: NO_KEYS_YET, value: [] };
  const open = set && (await openKeySet(set, loaded.masterKey));
  const found = open === undefined ? 'exists; the running server has the keys open' : 'opens the stored keys';
  const verdict = loaded.warnings.length > 0 ? warning(loaded.warnings.join('; ')) : ok(found);
  return { verdict, value: open?.signingKeys ?? [] };
}
