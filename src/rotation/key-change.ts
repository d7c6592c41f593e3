import { CellpassError } from '../errors.ts';
import type { Authority } from '../keys/certificate.ts';
import {
  activeKey,
  issuingAuthority,
  type KeyChange,
  type KeySet,
  type KeyStore,
  keysChanged,
  type StoredKey,
} from '../keys/key-set.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Act } from '../keys/lifecycle.ts';
import type { RotatableMasterKey } from '../keys/master-key.ts';
import { generateSigningKey, type SigningKey } from '../keys/signing-key.ts';
import type { ProbeAnswer, ProbeRegistries } from './canary.ts';
import type { Moment, Obstacle } from './permit.ts';
import type { KeyPeriods } from './plan.ts';

export interface KeyOperationsOptions {
  readonly store: KeyStore;
  readonly keyring: Keyring;
  readonly masterKey: RotatableMasterKey;
  readonly probe: ProbeRegistries;
  readonly now: () => Date;
  readonly cellId: number;
  readonly leafHours: number;
  readonly longestTokenLifeSeconds: number;
  readonly periods: KeyPeriods;
  /** Default: `generateSigningKey`; tests that have no time for RSA replace it. */
  readonly generateKey?: typeof generateSigningKey;
}

/** What an operation did, or with a dry run would do. `activated` and `staged` are libtrust ids. */
export interface KeyOutcome {
  /** For the admin: what happened, and what to do next. */
  readonly message: string;
  readonly activated: string | null;
  readonly staged: string | null;
  readonly probes: readonly ProbeAnswer[];
  /** The pending key, and why it may not sign yet; only for a caller that waits. */
  readonly waits_for?: Obstacle & { readonly kid: string };
}

export interface StepOptions {
  readonly actor: string;
  readonly force?: boolean;
}

/**
 * The steps that operations on keys and on CAs share: read, generate, open, and change the key set.
 */
export class KeySetEditor {
  readonly options: KeyOperationsOptions;

  constructor(options: KeyOperationsOptions) {
    this.options = options;
  }

  /** Generates a key with a leaf of the active CA. Throws `conflict` if that CA isn't open here. */
  async generate(): Promise<StoredKey> {
    const { masterKey, leafHours, longestTokenLifeSeconds: longestTokenSeconds, now } = this.options;
    const issuing = issuingAuthority(await this.read());
    const authority = this.openAuthority(issuing?.id ?? '');
    const generate = this.options.generateKey ?? generateSigningKey;
    return generate({ authority, masterKey, now: now(), leafHours, longestTokenSeconds });
  }

  /** Throws `conflict` if the private half of the CA isn't open in the keyring. */
  openAuthority(id: string): Authority {
    const authority = this.options.keyring.open().authorities.get(id);
    if (authority !== undefined) return authority;
    throw keysChanged();
  }

  /** Throws `conflict` if the private half of the key isn't open in the keyring. */
  openKey({ kid }: StoredKey): SigningKey {
    const key = this.options.keyring.open().signingKeys.find((one) => one.kid === kid);
    if (key !== undefined) return key;
    throw keysChanged();
  }

  /** Reads the set from the database and opens it in the keyring. */
  async read(): Promise<KeySet> {
    await this.options.keyring.refresh();
    return this.options.keyring.open().set;
  }

  /** Stores a change and returns the new set. When it resolves, this process uses the new set. */
  async change(change: (set: KeySet) => KeyChange): Promise<KeySet> {
    const set = await this.options.store.updateKeySet(change);
    await this.options.keyring.refresh();
    return set;
  }

  act(actor: string): Act {
    const { now, keyring } = this.options;
    return { now: now(), latest: keyring.clock.latest(), actor, reason: null };
  }

  moment(): Moment {
    const { now, keyring } = this.options;
    return { now: now(), skippedMsSince: keyring.clock.skippedMsSince };
  }
}

/** Throws `conflict` before the first start. */
export function requireActiveKey(set: KeySet): StoredKey {
  const active = activeKey(set);
  if (active !== undefined) return active;
  throw new CellpassError('conflict', 'no key is active: "cellpass serve" generates the first one');
}
