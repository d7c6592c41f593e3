import { CellpassError } from '../errors.ts';
import { activateAuthority, discardAuthority, pendingAuthority, stageAuthority } from './authority-life.ts';
import { type Authority, generateAuthority, issueLeaf } from './certificate.ts';
import { importAuthority, importSigningKey, type PemPair } from './import.ts';
import {
  issuingAuthority,
  type KeyCertificate,
  type KeyChange,
  type KeySet,
  type KeyStore,
  type StoredKey,
} from './key-set.ts';
import type { Keyring } from './keyring.ts';
import {
  type Act,
  activateKey,
  findKey,
  type Permission,
  pendingKey,
  refuseUnlessPending,
  retireKey,
  revokeKey,
  stageKey,
} from './lifecycle.ts';
import { type KeyEventListing, type KeySetListing, listKeyEvents, listKeySet } from './listing.ts';
import type { RotatableMasterKey } from './master-key.ts';
import { type KeyPeriods, type Moment, mayActivateIn } from './plan.ts';
import { type ProbeAnswer, type ProbeRegistries, permit, refuseIfRefused } from './probe.ts';
import { rewrapKeySet } from './rewrap.ts';
import { generateSigningKey, type SigningKey, toSigningKey } from './signing-key.ts';

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

/**
 * The commands of `cellpass keys`. Each is slow work first, then one decision under the key lock on the set as it is by then; where
 * that forbids it, nothing has changed, and `conflict` says why. This process uses the new set before the answer.
 */
export class KeyAdministration {
  readonly #options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  async list(): Promise<KeySetListing> {
    return listKeySet(await this.#options.store.readKeySet(), this.#options.periods, this.#moment());
  }

  async history(limit: number): Promise<{ readonly events: readonly KeyEventListing[] }> {
    return listKeyEvents(await this.#options.store.readKeyEvents(limit));
  }

  /** A new pending key. */
  async stage({ actor }: StepOptions): Promise<KeyOutcome> {
    const key = await this.#generate();
    const { set } = await this.#change((current) => stageKey(current, key, this.#act(actor)));
    return this.#staged(findKey(set, key.kid));
  }

  /** Makes a pending key active: `id`, or the one there is. */
  async activate(id: string | undefined, { actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const pending = findPending(await this.#read(), id);
    const { by, probes } = await this.#permit(pending, force);
    await this.#change((set) => activateKey(set, pending.kid, this.#activation(by), this.#act(actor)));
    const message = `${pending.kid} is active${warningOf(probes)}`;
    return { message, activated: pending.kid, staged: null, probes };
  }

  /** Makes the pending key active and stages the next; without one, stages it and says when it may go on. */
  async rotate({ actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const pending = pendingKey(await this.#read());
    if (pending === undefined) return force ? this.#rotateAtOnce(actor) : this.stage({ actor });
    const { by, probes } = await this.#permit(pending, force);
    const next = await this.#generate();
    await this.#change((set) => {
      const act = this.#act(actor);
      return inTurn(activateKey(set, pending.kid, this.#activation(by), act), (activated) =>
        stageKey(activated, next, act),
      );
    });
    const message = `${pending.kid} is active, and ${next.kid} is staged as the next${warningOf(probes)}`;
    return { message, activated: pending.kid, staged: next.kid, probes };
  }

  /** What `rotate` would do now; throws what it would throw. */
  async planRotation({ force = false }: { readonly force?: boolean }): Promise<KeyOutcome> {
    const pending = pendingKey(await this.#read());
    const nothing = { activated: null, staged: null, probes: [] };
    if (pending === undefined) {
      const message = force
        ? 'would make a key, active at once'
        : `would stage a key, which may sign after ${this.#options.periods.propagationSeconds} s, or when every registry accepts it`;
      return { ...nothing, message };
    }
    const { by, probes } = await this.#permit(pending, force);
    const message = `would make ${pending.kid} active (by ${by}), and stage the next${warningOf(probes)}`;
    return { ...nothing, message, probes };
  }

  /** Drops a pending key. */
  async retire(id: string, { actor }: StepOptions): Promise<KeyOutcome> {
    const { kid } = findKey(await this.#read(), id);
    await this.#change((set) => retireKey(set, kid, this.#act(actor)));
    return { message: `${kid} is dropped`, activated: null, staged: null, probes: [] };
  }

  async revoke(id: string, reason: string, { actor }: StepOptions): Promise<KeyOutcome> {
    const before = await this.#read();
    const { kid, state } = findKey(before, id);
    const spare = state === 'active' && pendingKey(before) === undefined ? await this.#generate() : undefined;
    const { set } = await this.#change((current) =>
      revokeKey(current, kid, spare, { ...this.#act(actor), reason }),
    );
    const active = set.keys.find((key) => key.state === 'active');
    const activated = state === 'active' ? (active?.kid ?? null) : null;
    const successor = activated === null ? '' : `, and ${activated} has taken over`;
    return {
      message: `${kid} is revoked and out of the JWK Set${successor}: "cellpass keys list" says until when registries that can't be told accept what it signed`,
      activated,
      staged: null,
      probes: [],
    };
  }

  /** Takes over a key from elsewhere, as pending. */
  async import(pems: PemPair, { actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, now, longestTokenLifeSeconds: longestTokenSeconds } = this.#options;
    const key = await importSigningKey(pems, { masterKey, now: now(), longestTokenSeconds });
    const { set } = await this.#change((current) => stageKey(current, key, this.#act(actor), 'import'));
    return this.#staged(findKey(set, key.kid));
  }

  /** Asks every registry for its opinion of the pending key, or where there is none of the active one. */
  async probe(): Promise<{ readonly kid: string; readonly probes: readonly ProbeAnswer[] }> {
    const set = await this.#read();
    const key = this.#opened(pendingKey(set) ?? findActive(set));
    return { kid: key.kid, probes: await this.#options.probe(key) };
  }

  /** PEM. Throws `conflict` for a key without one. */
  async exportCertificate(id: string): Promise<string> {
    const { kid, certificate } = findKey(await this.#options.store.readKeySet(), id);
    if (certificate === null)
      throw new CellpassError('conflict', `the key ${kid} was imported without a certificate`);
    return certificate.pem;
  }

  /** Encrypts all private halves under a new master key. */
  async rewrap({ actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, store, keyring } = this.#options;
    const next = await masterKey.prepareNext();
    const rewrap = await rewrapKeySet(await store.readKeySet(), masterKey, next, this.#act(actor));
    await store.updateKeySet(rewrap);
    const message = await masterKey.adoptNext();
    await keyring.refresh();
    return { message, activated: null, staged: null, probes: [] };
  }

  /** A new CA, in the exported bundle beside the old one, issuing nothing yet. */
  async stageAuthority({ actor }: StepOptions): Promise<KeyOutcome> {
    const { cellId, masterKey, now } = this.#options;
    return this.#stageAuthority(
      await generateAuthority({ cellId, masterKey, now: now() }),
      'stage_ca',
      actor,
    );
  }

  async importAuthority(pems: PemPair, { actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, now } = this.#options;
    return this.#stageAuthority(await importAuthority(pems, { masterKey, now: now() }), 'import_ca', actor);
  }

  /** The pending CA issues from now on; without `force` only when every registry has accepted a leaf of it. */
  async activateAuthority({ actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const set = await this.#read();
    const pending = pendingAuthority(set);
    if (pending === undefined)
      throw new CellpassError('conflict', 'no CA is pending: "cellpass keys stage-ca" makes one');
    const leaves = await this.#leavesOf(this.#openAuthority(pending.id));
    const probes = force ? [] : await this.#probeAuthority(findActive(set), leaves);
    await this.#change((current) => activateAuthority(current, pending.id, leaves, this.#act(actor)));
    return { message: `the CA ${pending.id} issues from now on`, activated: null, staged: null, probes };
  }

  async discardAuthority({ actor }: StepOptions): Promise<KeyOutcome> {
    await this.#change((set) => discardAuthority(set, this.#act(actor)));
    return { message: 'the pending CA is dropped', activated: null, staged: null, probes: [] };
  }

  async #stageAuthority(
    authority: Parameters<typeof stageAuthority>[1],
    action: 'stage_ca' | 'import_ca',
    actor: string,
  ): Promise<KeyOutcome> {
    await this.#change((set) => stageAuthority(set, authority, this.#act(actor), action));
    const message = `the CA ${authority.id} is staged: give every registry "cellpass keys export-ca", restart it, then "cellpass keys activate-ca"`;
    return { message, activated: null, staged: null, probes: [] };
  }

  async #rotateAtOnce(actor: string): Promise<KeyOutcome> {
    const key = await this.#generate();
    await this.#change((set) => {
      const act = this.#act(actor);
      return inTurn(stageKey(set, key, act), (staged) =>
        activateKey(staged, key.kid, this.#activation('force'), act),
      );
    });
    return { message: `${key.kid} is active`, activated: key.kid, staged: null, probes: [] };
  }

  async #probeAuthority(
    active: StoredKey,
    leaves: ReadonlyMap<string, KeyCertificate>,
  ): Promise<readonly ProbeAnswer[]> {
    const { privateKey } = this.#opened(active);
    const certificate = leaves.get(active.kid) ?? active.certificate;
    const probes = await this.#options.probe(toSigningKey({ ...active, certificate }, privateKey));
    refuseIfRefused(probes);
    if (probes.length > 0 && probes.every(({ outcome }) => outcome === 'accepted')) return probes;
    throw new CellpassError(
      'conflict',
      'time alone tells no registry of a new CA: list them all under "registries", so that each can be asked, or use --force once all have the new bundle',
    );
  }

  async #leavesOf(authority: Authority): Promise<ReadonlyMap<string, KeyCertificate>> {
    const { keyring, leafHours, now } = this.#options;
    const leaves = new Map<string, KeyCertificate>();
    for (const key of keyring.open().signingKeys) {
      leaves.set(key.kid, await issueLeaf({ authority, key, now: now(), leafHours }));
    }
    return leaves;
  }

  #permit(pending: StoredKey, force: boolean): ReturnType<typeof permit> {
    const waitMs = mayActivateIn(pending, this.#options.periods, this.#moment());
    return permit(this.#opened(pending), { force, waitMs, probe: this.#options.probe });
  }

  #activation(by: Permission): Parameters<typeof activateKey>[2] {
    return { by, waitMs: (key) => mayActivateIn(key, this.#options.periods, this.#moment()) };
  }

  async #generate(): Promise<StoredKey> {
    const { masterKey, leafHours, longestTokenLifeSeconds: longestTokenSeconds, now } = this.#options;
    const issuing = issuingAuthority(await this.#read());
    const authority = this.#openAuthority(issuing?.id ?? '');
    const generate = this.#options.generateKey ?? generateSigningKey;
    return generate({ authority, masterKey, now: now(), leafHours, longestTokenSeconds });
  }

  #openAuthority(id: string): Authority {
    const authority = this.#options.keyring.open().authorities.get(id);
    if (authority !== undefined) return authority;
    throw new CellpassError('conflict', 'the keys changed meanwhile: try again');
  }

  #opened({ kid }: StoredKey): SigningKey {
    const key = this.#options.keyring.open().signingKeys.find((one) => one.kid === kid);
    if (key !== undefined) return key;
    throw new CellpassError('conflict', 'the keys changed meanwhile: try again');
  }

  /** The set as it is in the database, open in the keyring. */
  async #read(): Promise<KeySet> {
    await this.#options.keyring.refresh();
    return this.#options.keyring.open().set;
  }

  async #change(change: (set: KeySet) => KeyChange): Promise<{ readonly set: KeySet }> {
    const set = await this.#options.store.updateKeySet(change);
    await this.#options.keyring.refresh();
    return { set };
  }

  #staged({ kid, createdAt }: StoredKey): KeyOutcome {
    const { propagationSeconds } = this.#options.periods;
    const at = new Date(createdAt.getTime() + propagationSeconds * 1000).toISOString();
    const message = `${kid} is staged: it may sign from ${at} on, or when every registry accepts it`;
    return { message, activated: null, staged: kid, probes: [] };
  }

  #act(actor: string): Act {
    const { now, keyring } = this.#options;
    return { now: now(), latest: keyring.clock.latest(), actor, reason: null };
  }

  #moment(): Moment {
    const { now, keyring } = this.#options;
    return { now: now(), skippedMsSince: keyring.clock.skippedMsSince };
  }
}

function findPending(set: KeySet, id: string | undefined): StoredKey {
  if (id !== undefined) {
    const key = findKey(set, id);
    refuseUnlessPending(key);
    return key;
  }
  const pending = pendingKey(set);
  if (pending !== undefined) return pending;
  throw new CellpassError('conflict', 'no key is pending: "cellpass keys stage" makes one');
}

function findActive(set: KeySet): StoredKey {
  const active = set.keys.find(({ state }) => state === 'active');
  if (active !== undefined) return active;
  throw new CellpassError('conflict', 'no key is active');
}

/** Two changes as one. */
function inTurn(first: KeyChange, then: (set: KeySet) => KeyChange): KeyChange {
  const second = then(first.set);
  return { set: second.set, events: [...first.events, ...second.events] };
}

function warningOf(probes: readonly ProbeAnswer[]): string {
  const unreachable = probes.filter(({ outcome }) => outcome === 'unreachable');
  if (unreachable.length === 0) return '';
  return `; not asked, because unreachable: ${unreachable.map(({ registry }) => registry).join(', ')}`;
}
