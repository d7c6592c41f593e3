import { CellpassError } from '../errors.ts';
import {
  activeKey,
  findKey,
  type KeyChange,
  type KeySet,
  pendingKey,
  type StoredKey,
} from '../keys/key-set.ts';
import {
  activateKey,
  importKey,
  type Permission,
  refuseUnlessPending,
  retireKey,
  revokeKey,
  stageKey,
} from '../keys/lifecycle.ts';
import type { ProbeAnswer } from './canary.ts';
import { importSigningKey, type PemPair } from './import.ts';
import {
  type KeyOperationsOptions,
  type KeyOutcome,
  KeySetEditor,
  requireActiveKey,
  type StepOptions,
} from './key-change.ts';
import { type KeyEventListing, type KeySetListing, listKeyEvents, listKeySet } from './listing.ts';
import { mayActivateIn, type Permitted, permit, warnOfUnreachable } from './permit.ts';
import { warnOfImported } from './plan.ts';
import { rewrapKeySet } from './rewrap.ts';
import { rotateOrWait } from './rotate-or-wait.ts';

/**
 * The operations of `cellpass keys`. Each one does its slow work first and then decides under the
 * key lock, on the set as it is at that time. If the set forbids the operation, it throws
 * `conflict` and nothing changes. When an operation resolves, this process already uses the new
 * set.
 *
 * A class, because all operations share one editor.
 */
export class KeyOperations {
  readonly #editor: KeySetEditor;

  constructor(options: KeyOperationsOptions) {
    this.#editor = new KeySetEditor(options);
  }

  /** All keys and CAs of the cell, with what happens to each next. */
  async list(): Promise<KeySetListing> {
    return listKeySet(
      await this.#editor.options.store.readKeySet(),
      this.#editor.options.periods,
      this.#editor.moment(),
    );
  }

  /** The newest `limit` entries of the audit record of keys. */
  async history(limit: number): Promise<{ readonly events: readonly KeyEventListing[] }> {
    return listKeyEvents(await this.#editor.options.store.readKeyEvents(limit));
  }

  /** Generates a pending key. */
  async stage({ actor }: StepOptions): Promise<KeyOutcome> {
    const key = await this.#editor.generate();
    const set = await this.#editor.change((current) => stageKey(current, key, this.#editor.act(actor)));
    return this.#staged(findKey(set, key.kid));
  }

  /** Makes the pending key active. `id`, if given, must be its id. */
  async activate(id: string | undefined, { actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const pending = findPending(await this.#editor.read(), id);
    const { by, probes } = await this.#permit(pending, force);
    await this.#editor.change((set) =>
      activateKey(set, pending.kid, this.#activation(by), this.#editor.act(actor)),
    );
    const { periods } = this.#editor.options;
    const message = `${pending.kid} is active${warnOfUnreachable(probes)}${warnOfImported(pending, periods)}`;
    return { message, activated: pending.kid, staged: null, probes };
  }

  /** Makes the pending key active and stages the next one. If no key is pending, stages one. */
  async rotate({ actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const pending = pendingKey(await this.#editor.read());
    if (pending === undefined) return force ? this.#rotateAtOnce(actor) : this.stage({ actor });
    return this.#rotateTo(pending, await this.#permit(pending, force), actor);
  }

  async #rotateTo(pending: StoredKey, { by, probes }: Permitted, actor: string): Promise<KeyOutcome> {
    const next = await this.#editor.generate();
    await this.#editor.change((set) => {
      const act = this.#editor.act(actor);
      return inTurn(activateKey(set, pending.kid, this.#activation(by), act), (activated) =>
        stageKey(activated, next, act),
      );
    });
    const message = `${pending.kid} is active, and ${next.kid} is staged as the next key${warnOfUnreachable(probes)}`;
    return { message, activated: pending.kid, staged: next.kid, probes };
  }

  /** One step of a rotation that waits; see `rotateOrWait`. */
  rotateOrWait(id: string | undefined, { actor }: StepOptions): Promise<KeyOutcome> {
    const steps = {
      stage: () => this.stage({ actor }),
      rotateTo: (pending: StoredKey, permitted: Permitted) => this.#rotateTo(pending, permitted, actor),
    };
    return rotateOrWait(this.#editor, steps, id);
  }

  /** Says what `rotate` would do now, and throws what it would throw. */
  async planRotation({ force = false }: { readonly force?: boolean }): Promise<KeyOutcome> {
    const pending = pendingKey(await this.#editor.read());
    const nothing = { activated: null, staged: null, probes: [] };
    if (pending === undefined) {
      const message = force
        ? 'would generate a key and make it active at once'
        : `would stage a key, which may sign after ${this.#editor.options.periods.propagationSeconds} s or when every registry accepts it`;
      return { ...nothing, message };
    }
    const { by, probes } = await this.#permit(pending, force);
    const message = `would make ${pending.kid} active (by ${by}), and stage the next key${warnOfUnreachable(probes)}`;
    return { ...nothing, message, probes };
  }

  /** Drops a pending key. */
  async retire(id: string, { actor }: StepOptions): Promise<KeyOutcome> {
    const { kid } = findKey(await this.#editor.read(), id);
    await this.#editor.change((set) => retireKey(set, kid, this.#editor.act(actor)));
    return { message: `dropped the pending key ${kid}`, activated: null, staged: null, probes: [] };
  }

  /** Removes a key from the JWK Set at once; if it was active, another key takes over. */
  async revoke(id: string, reason: string, { actor }: StepOptions): Promise<KeyOutcome> {
    const before = await this.#editor.read();
    const { kid, state } = findKey(before, id);
    const spare =
      state === 'active' && pendingKey(before) === undefined ? await this.#editor.generate() : undefined;
    const set = await this.#editor.change((current) =>
      revokeKey(current, kid, spare, { ...this.#editor.act(actor), reason }),
    );
    const activated = state === 'active' ? (activeKey(set)?.kid ?? null) : null;
    const successor = activated === null ? '' : `, and ${activated} is active now`;
    return {
      message: `${kid} is revoked and removed from the JWK Set${successor}: registries that trust its certificate accept its tokens until the time that "cellpass keys list" shows`,
      activated,
      staged: null,
      probes: [],
    };
  }

  /**
   * Adds an imported key in the state `pending`, or gives a key that is there another certificate.
   */
  async import(pems: PemPair, { actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, now, longestTokenLifeSeconds: longestTokenSeconds } = this.#editor.options;
    const key = await importSigningKey(pems, { masterKey, now: now(), longestTokenSeconds });
    const before = await this.#editor.read();
    const set = await this.#editor.change((current) => importKey(current, key, this.#editor.act(actor)));
    const isKnown = before.keys.some(
      ({ kid, encryptedPrivateKey }) => kid === key.kid && encryptedPrivateKey !== null,
    );
    if (!isKnown) return this.#staged(findKey(set, key.kid));
    const message = `${key.kid} has the other certificate: its tokens show it from now on`;
    return { message, activated: null, staged: null, probes: [] };
  }

  /**
   * Asks every registry whether it accepts the pending key, or the active one if none is pending.
   */
  async probe(): Promise<{ readonly kid: string; readonly probes: readonly ProbeAnswer[] }> {
    const set = await this.#editor.read();
    const key = this.#editor.openKey(pendingKey(set) ?? requireActiveKey(set));
    return { kid: key.kid, probes: await this.#editor.options.probe(key) };
  }

  /** A key's certificate in PEM. Throws `conflict` if the key has none. */
  async exportCertificate(id: string): Promise<string> {
    const { kid, certificate } = findKey(await this.#editor.options.store.readKeySet(), id);
    if (certificate === null) {
      throw new CellpassError('conflict', `the key ${kid} has no certificate: it was imported without one`);
    }
    return certificate.pem;
  }

  /** Encrypts all private halves with a new master key. */
  async rewrap({ actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, store, keyring } = this.#editor.options;
    const next = await masterKey.prepareNext();
    const rewrap = await rewrapKeySet(await store.readKeySet(), masterKey, next, this.#editor.act(actor));
    await store.updateKeySet(rewrap);
    const message = await masterKey.adoptNext();
    await keyring.refresh();
    return { message, activated: null, staged: null, probes: [] };
  }

  async #rotateAtOnce(actor: string): Promise<KeyOutcome> {
    const key = await this.#editor.generate();
    await this.#editor.change((set) => {
      const act = this.#editor.act(actor);
      return inTurn(stageKey(set, key, act), (staged) =>
        activateKey(staged, key.kid, this.#activation('force'), act),
      );
    });
    return { message: `${key.kid} is active`, activated: key.kid, staged: null, probes: [] };
  }

  #permit(pending: StoredKey, force: boolean): Promise<Permitted> {
    const waitMs = mayActivateIn(pending, this.#editor.options.periods, this.#editor.moment());
    return permit(this.#editor.openKey(pending), { force, waitMs, probe: this.#editor.options.probe });
  }

  #activation(by: Permission): Parameters<typeof activateKey>[2] {
    return {
      by,
      waitMs: (key) => mayActivateIn(key, this.#editor.options.periods, this.#editor.moment()),
    };
  }

  #staged({ kid, createdAt }: StoredKey): KeyOutcome {
    const { propagationSeconds } = this.#editor.options.periods;
    const at = new Date(createdAt.getTime() + propagationSeconds * 1000).toISOString();
    const message = `${kid} is staged: it may sign from ${at} on or when every registry accepts it; then run "cellpass keys rotate"`;
    return { message, activated: null, staged: kid, probes: [] };
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
  throw new CellpassError('conflict', 'no key is pending: make one with "cellpass keys stage"');
}

/** Applies two changes in one transaction. */
function inTurn(first: KeyChange, then: (set: KeySet) => KeyChange): KeyChange {
  const second = then(first.set);
  return { set: second.set, events: [...first.events, ...second.events] };
}
