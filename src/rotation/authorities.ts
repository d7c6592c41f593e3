import { CellpassError } from '../errors.ts';
import { activateAuthority, discardAuthority, stageAuthority } from '../keys/authority-life.ts';
import { type Authority, generateAuthority, issueLeaf } from '../keys/certificate.ts';
import {
  type KeyCertificate,
  pendingAuthority,
  type StoredAuthority,
  type StoredKey,
} from '../keys/key-set.ts';
import { toSigningKey } from '../keys/signing-key.ts';
import type { ProbeAnswer } from './canary.ts';
import { importAuthority, type PemPair } from './import.ts';
import {
  type KeyOperationsOptions,
  type KeyOutcome,
  KeySetEditor,
  requireActiveKey,
  type StepOptions,
} from './key-change.ts';
import { requireEveryAcceptance } from './permit.ts';

/** The operations of `cellpass keys` on the CA; see `KeyOperations`. */
export class AuthorityOperations {
  readonly #editor: KeySetEditor;

  constructor(options: KeyOperationsOptions) {
    this.#editor = new KeySetEditor(options);
  }

  /** Generates a pending CA: it is in the exported bundle, but issues nothing yet. */
  async stage({ actor }: StepOptions): Promise<KeyOutcome> {
    const { cellId, masterKey, now } = this.#editor.options;
    return this.#stage(await generateAuthority({ cellId, masterKey, now: now() }), 'stage_ca', actor);
  }

  /** Adds an imported CA in the state `pending`. */
  async import(pems: PemPair, { actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, now } = this.#editor.options;
    return this.#stage(await importAuthority(pems, { masterKey, now: now() }), 'import_ca', actor);
  }

  /** Makes the pending CA issue; without `force` only if every registry accepts a leaf of it. */
  async activate({ actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const set = await this.#editor.read();
    const pending = pendingAuthority(set);
    if (pending === undefined) {
      throw new CellpassError('conflict', 'no CA is pending: make one with "cellpass keys stage-ca"');
    }
    const leaves = await this.#issueLeaves(this.#editor.openAuthority(pending.id));
    const probes = force ? [] : await this.#probe(requireActiveKey(set), leaves);
    if (!force) requireEveryAcceptance(probes);
    await this.#editor.change((current) =>
      activateAuthority(current, pending.id, leaves, this.#editor.act(actor)),
    );
    const message = `the CA ${pending.id} is active, and every key that can sign has a certificate of it`;
    return { message, activated: null, staged: null, probes };
  }

  /** Drops the pending CA. */
  async discard({ actor }: StepOptions): Promise<KeyOutcome> {
    await this.#editor.change((set) => discardAuthority(set, this.#editor.act(actor)));
    return { message: 'dropped the pending CA', activated: null, staged: null, probes: [] };
  }

  async #stage(
    authority: StoredAuthority,
    action: 'stage_ca' | 'import_ca',
    actor: string,
  ): Promise<KeyOutcome> {
    await this.#editor.change((set) => stageAuthority(set, authority, this.#editor.act(actor), action));
    const message = `the CA ${authority.id} is staged: give every registry the output of "cellpass keys export-ca", restart it, then run "cellpass keys activate-ca"`;
    return { message, activated: null, staged: null, probes: [] };
  }

  /** Probes the registries with the active key and its leaf of the pending CA. */
  async #probe(
    active: StoredKey,
    leaves: ReadonlyMap<string, KeyCertificate>,
  ): Promise<readonly ProbeAnswer[]> {
    const { sign } = this.#editor.openKey(active);
    const certificate = leaves.get(active.kid) ?? active.certificate;
    return this.#editor.options.probe(toSigningKey({ ...active, certificate }, sign));
  }

  async #issueLeaves(authority: Authority): Promise<ReadonlyMap<string, KeyCertificate>> {
    const { keyring, leafHours, now } = this.#editor.options;
    const leaves = new Map<string, KeyCertificate>();
    for (const key of keyring.open().signingKeys) {
      leaves.set(key.kid, await issueLeaf({ authority, key, now: now(), leafHours }));
    }
    return leaves;
  }
}
