import { CellpassError } from '../errors.ts';
import type { Authority } from '../keys/certificate.ts';
import {
  issuingAuthority,
  type KeyChange,
  type KeySet,
  type KeyStore,
  type StoredKey,
} from '../keys/key-set.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Act } from '../keys/lifecycle.ts';
import type { RotatableMasterKey } from '../keys/master-key.ts';
import { generateSigningKey, type SigningKey } from '../keys/signing-key.ts';
import type { KeyPeriods, Moment } from './plan.ts';
import type { ProbeAnswer, ProbeRegistries } from './probe.ts';

export interface AdministrationOptions {
  readonly store: KeyStore;
  readonly keyring: Keyring;
  readonly masterKey: RotatableMasterKey;
  readonly probe: ProbeRegistries;
  readonly now: () => Date;
  readonly cellId: number;
  readonly leafHours: number;
  readonly longestTokenLifeSeconds: number;
  readonly periods: KeyPeriods;
  /** Makes new keys; other than `generateSigningKey` where time is short. */
  readonly generateKey?: typeof generateSigningKey;
}

/** What a command did, or with a dry run would do. Ids are libtrust's. */
export interface KeyOutcome {
  /** For people: what was done, and what comes next. */
  readonly message: string;
  readonly activated: string | null;
  readonly staged: string | null;
  readonly probes: readonly ProbeAnswer[];
}

export interface StepOptions {
  readonly actor: string;
  readonly force?: boolean;
}

/** What the commands on keys and those on CAs are made of. */
export class KeyWorkshop {
  readonly options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.options = options;
  }

  /** A key of the CA that issues now. */
  async generate(): Promise<StoredKey> {
    const { masterKey, leafHours, longestTokenLifeSeconds: longestTokenSeconds, now } = this.options;
    const issuing = issuingAuthority(await this.read());
    const authority = this.openAuthority(issuing?.id ?? '');
    const generate = this.options.generateKey ?? generateSigningKey;
    return generate({ authority, masterKey, now: now(), leafHours, longestTokenSeconds });
  }

  /** Throws `conflict` if its private half is not at hand. */
  openAuthority(id: string): Authority {
    const authority = this.options.keyring.open().authorities.get(id);
    if (authority !== undefined) return authority;
    throw new CellpassError('conflict', 'the keys changed meanwhile: try again');
  }

  /** Throws `conflict` if its private half is not at hand. */
  opened({ kid }: StoredKey): SigningKey {
    const key = this.options.keyring.open().signingKeys.find((one) => one.kid === kid);
    if (key !== undefined) return key;
    throw new CellpassError('conflict', 'the keys changed meanwhile: try again');
  }

  /** The set as it is in the database, open in the keyring. */
  async read(): Promise<KeySet> {
    await this.options.keyring.refresh();
    return this.options.keyring.open().set;
  }

  /** Makes a change, and uses it here before it answers. */
  async change(change: (set: KeySet) => KeyChange): Promise<{ readonly set: KeySet }> {
    const set = await this.options.store.updateKeySet(change);
    await this.options.keyring.refresh();
    return { set };
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

/** Throws `conflict` for a set that was just made. */
export function findActive(set: KeySet): StoredKey {
  const active = set.keys.find(({ state }) => state === 'active');
  if (active !== undefined) return active;
  throw new CellpassError('conflict', 'no key is active');
}
