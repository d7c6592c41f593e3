import { X509Certificate } from 'node:crypto';
import { CellpassError } from '../errors.ts';
import {
  activateAuthority,
  addImportedAuthority,
  discardAuthority,
  stageAuthority,
} from '../keys/authority-life.ts';
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
    const authority = await generateAuthority({ cellId, masterKey, now: now() });
    await this.#editor.change((set) => stageAuthority(set, authority, this.#editor.act(actor)));
    return staged(authority);
  }

  /**
   * Adds an imported CA in the state `pending`, or gives a CA that is there another certificate.
   */
  async import(pems: PemPair, { actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, now } = this.#editor.options;
    const authority = await importAuthority(pems, { masterKey, now: now() });
    const before = await this.#editor.read();
    await this.#editor.change((set) =>
      addImportedAuthority(set, authority, this.#editor.act(actor), hasSameName),
    );
    const isKnown = before.authorities.some(({ id, state }) => id === authority.id && state !== 'retired');
    if (!isKnown) return staged(authority);
    const message = `the CA ${authority.id} has the other certificate: give every registry the output of "cellpass keys export-ca" before the certificate that it has expires`;
    return { message, activated: null, staged: null, probes: [] };
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

function staged({ id }: StoredAuthority): KeyOutcome {
  const message = `the CA ${id} is staged: give every registry the output of "cellpass keys export-ca", restart it, then run "cellpass keys activate-ca"`;
  return { message, activated: null, staged: null, probes: [] };
}

function hasSameName(one: StoredAuthority, other: StoredAuthority): boolean {
  const [subject, otherSubject] = [one, other].map(
    ({ certificatePem }) => new X509Certificate(certificatePem).subject,
  );
  return subject === otherSubject;
}
