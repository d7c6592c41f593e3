import { CellpassError } from '../errors.ts';
import type { KeyChange, KeySet, StoredKey } from '../keys/key-set.ts';
import {
  activateKey,
  findKey,
  type Permission,
  pendingKey,
  refuseUnlessPending,
  retireKey,
  revokeKey,
  stageKey,
} from '../keys/lifecycle.ts';
import { importSigningKey, type PemPair } from './import.ts';
import {
  type AdministrationOptions,
  findActive,
  type KeyOutcome,
  KeyWorkshop,
  type StepOptions,
} from './key-change.ts';
import { type KeyEventListing, type KeySetListing, listKeyEvents, listKeySet } from './listing.ts';
import { mayActivateIn } from './plan.ts';
import { type ProbeAnswer, permit } from './probe.ts';
import { rewrapKeySet } from './rewrap.ts';

/**
 * The commands of `cellpass keys`. Each is slow work first, then one decision under the key lock on the set as it is by then; where
 * that forbids it, nothing has changed, and `conflict` says why. This process uses the new set before the answer.
 */
export class KeyAdministration {
  readonly #workshop: KeyWorkshop;

  constructor(options: AdministrationOptions) {
    this.#workshop = new KeyWorkshop(options);
  }

  async list(): Promise<KeySetListing> {
    return listKeySet(
      await this.#workshop.options.store.readKeySet(),
      this.#workshop.options.periods,
      this.#workshop.moment(),
    );
  }

  async history(limit: number): Promise<{ readonly events: readonly KeyEventListing[] }> {
    return listKeyEvents(await this.#workshop.options.store.readKeyEvents(limit));
  }

  /** A new pending key. */
  async stage({ actor }: StepOptions): Promise<KeyOutcome> {
    const key = await this.#workshop.generate();
    const { set } = await this.#workshop.change((current) =>
      stageKey(current, key, this.#workshop.act(actor)),
    );
    return this.#staged(findKey(set, key.kid));
  }

  /** Makes a pending key active: `id`, or the one there is. */
  async activate(id: string | undefined, { actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const pending = findPending(await this.#workshop.read(), id);
    const { by, probes } = await this.#permit(pending, force);
    await this.#workshop.change((set) =>
      activateKey(set, pending.kid, this.#activation(by), this.#workshop.act(actor)),
    );
    const message = `${pending.kid} is active${warningOf(probes)}`;
    return { message, activated: pending.kid, staged: null, probes };
  }

  /** Makes the pending key active and stages the next; without one, stages it and says when it may go on. */
  async rotate({ actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const pending = pendingKey(await this.#workshop.read());
    if (pending === undefined) return force ? this.#rotateAtOnce(actor) : this.stage({ actor });
    const { by, probes } = await this.#permit(pending, force);
    const next = await this.#workshop.generate();
    await this.#workshop.change((set) => {
      const act = this.#workshop.act(actor);
      return inTurn(activateKey(set, pending.kid, this.#activation(by), act), (activated) =>
        stageKey(activated, next, act),
      );
    });
    const message = `${pending.kid} is active, and ${next.kid} is staged as the next${warningOf(probes)}`;
    return { message, activated: pending.kid, staged: next.kid, probes };
  }

  /** What `rotate` would do now; throws what it would throw. */
  async planRotation({ force = false }: { readonly force?: boolean }): Promise<KeyOutcome> {
    const pending = pendingKey(await this.#workshop.read());
    const nothing = { activated: null, staged: null, probes: [] };
    if (pending === undefined) {
      const message = force
        ? 'would make a key, active at once'
        : `would stage a key, which may sign after ${this.#workshop.options.periods.propagationSeconds} s, or when every registry accepts it`;
      return { ...nothing, message };
    }
    const { by, probes } = await this.#permit(pending, force);
    const message = `would make ${pending.kid} active (by ${by}), and stage the next${warningOf(probes)}`;
    return { ...nothing, message, probes };
  }

  /** Drops a pending key. */
  async retire(id: string, { actor }: StepOptions): Promise<KeyOutcome> {
    const { kid } = findKey(await this.#workshop.read(), id);
    await this.#workshop.change((set) => retireKey(set, kid, this.#workshop.act(actor)));
    return { message: `${kid} is dropped`, activated: null, staged: null, probes: [] };
  }

  async revoke(id: string, reason: string, { actor }: StepOptions): Promise<KeyOutcome> {
    const before = await this.#workshop.read();
    const { kid, state } = findKey(before, id);
    const spare =
      state === 'active' && pendingKey(before) === undefined ? await this.#workshop.generate() : undefined;
    const { set } = await this.#workshop.change((current) =>
      revokeKey(current, kid, spare, { ...this.#workshop.act(actor), reason }),
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
    const { masterKey, now, longestTokenLifeSeconds: longestTokenSeconds } = this.#workshop.options;
    const key = await importSigningKey(pems, { masterKey, now: now(), longestTokenSeconds });
    const { set } = await this.#workshop.change((current) =>
      stageKey(current, key, this.#workshop.act(actor), 'import'),
    );
    return this.#staged(findKey(set, key.kid));
  }

  /** Asks every registry for its opinion of the pending key, or where there is none of the active one. */
  async probe(): Promise<{ readonly kid: string; readonly probes: readonly ProbeAnswer[] }> {
    const set = await this.#workshop.read();
    const key = this.#workshop.opened(pendingKey(set) ?? findActive(set));
    return { kid: key.kid, probes: await this.#workshop.options.probe(key) };
  }

  /** PEM. Throws `conflict` for a key without one. */
  async exportCertificate(id: string): Promise<string> {
    const { kid, certificate } = findKey(await this.#workshop.options.store.readKeySet(), id);
    if (certificate === null)
      throw new CellpassError('conflict', `the key ${kid} was imported without a certificate`);
    return certificate.pem;
  }

  /** Encrypts all private halves under a new master key. */
  async rewrap({ actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, store, keyring } = this.#workshop.options;
    const next = await masterKey.prepareNext();
    const rewrap = await rewrapKeySet(await store.readKeySet(), masterKey, next, this.#workshop.act(actor));
    await store.updateKeySet(rewrap);
    const message = await masterKey.adoptNext();
    await keyring.refresh();
    return { message, activated: null, staged: null, probes: [] };
  }

  async #rotateAtOnce(actor: string): Promise<KeyOutcome> {
    const key = await this.#workshop.generate();
    await this.#workshop.change((set) => {
      const act = this.#workshop.act(actor);
      return inTurn(stageKey(set, key, act), (staged) =>
        activateKey(staged, key.kid, this.#activation('force'), act),
      );
    });
    return { message: `${key.kid} is active`, activated: key.kid, staged: null, probes: [] };
  }

  #permit(pending: StoredKey, force: boolean): ReturnType<typeof permit> {
    const waitMs = mayActivateIn(pending, this.#workshop.options.periods, this.#workshop.moment());
    return permit(this.#workshop.opened(pending), { force, waitMs, probe: this.#workshop.options.probe });
  }

  #activation(by: Permission): Parameters<typeof activateKey>[2] {
    return {
      by,
      waitMs: (key) => mayActivateIn(key, this.#workshop.options.periods, this.#workshop.moment()),
    };
  }

  #staged({ kid, createdAt }: StoredKey): KeyOutcome {
    const { propagationSeconds } = this.#workshop.options.periods;
    const at = new Date(createdAt.getTime() + propagationSeconds * 1000).toISOString();
    const message = `${kid} is staged: it may sign from ${at} on, or when every registry accepts it`;
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
  throw new CellpassError('conflict', 'no key is pending: "cellpass keys stage" makes one');
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
