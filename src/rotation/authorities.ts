import { CellpassError } from '../errors.ts';
import {
  activateAuthority,
  discardAuthority,
  pendingAuthority,
  stageAuthority,
} from '../keys/authority-life.ts';
import { type Authority, generateAuthority, issueLeaf } from '../keys/certificate.ts';
import type { KeyCertificate, StoredKey } from '../keys/key-set.ts';
import { toSigningKey } from '../keys/signing-key.ts';
import { importAuthority, type PemPair } from './import.ts';
import {
  type AdministrationOptions,
  findActive,
  type KeyOutcome,
  KeyWorkshop,
  type StepOptions,
} from './key-change.ts';
import { type ProbeAnswer, refuseIfRefused } from './probe.ts';

/** The commands of `cellpass keys` that change the CA; see `KeyAdministration`. */
export class AuthorityAdministration {
  readonly #workshop: KeyWorkshop;

  constructor(options: AdministrationOptions) {
    this.#workshop = new KeyWorkshop(options);
  }

  /** A new CA, in the exported bundle beside the old one, issuing nothing yet. */
  async stage({ actor }: StepOptions): Promise<KeyOutcome> {
    const { cellId, masterKey, now } = this.#workshop.options;
    return this.#stage(await generateAuthority({ cellId, masterKey, now: now() }), 'stage_ca', actor);
  }

  async import(pems: PemPair, { actor }: StepOptions): Promise<KeyOutcome> {
    const { masterKey, now } = this.#workshop.options;
    return this.#stage(await importAuthority(pems, { masterKey, now: now() }), 'import_ca', actor);
  }

  /** The pending CA issues from now on; without `force` only when every registry has accepted a leaf of it. */
  async activate({ actor, force = false }: StepOptions): Promise<KeyOutcome> {
    const set = await this.#workshop.read();
    const pending = pendingAuthority(set);
    if (pending === undefined)
      throw new CellpassError('conflict', 'no CA is pending: "cellpass keys stage-ca" makes one');
    const leaves = await this.#leavesOf(this.#workshop.openAuthority(pending.id));
    const probes = force ? [] : await this.#probe(findActive(set), leaves);
    await this.#workshop.change((current) =>
      activateAuthority(current, pending.id, leaves, this.#workshop.act(actor)),
    );
    return { message: `the CA ${pending.id} issues from now on`, activated: null, staged: null, probes };
  }

  async discard({ actor }: StepOptions): Promise<KeyOutcome> {
    await this.#workshop.change((set) => discardAuthority(set, this.#workshop.act(actor)));
    return { message: 'the pending CA is dropped', activated: null, staged: null, probes: [] };
  }

  async #stage(
    authority: Parameters<typeof stageAuthority>[1],
    action: 'stage_ca' | 'import_ca',
    actor: string,
  ): Promise<KeyOutcome> {
    await this.#workshop.change((set) => stageAuthority(set, authority, this.#workshop.act(actor), action));
    const message = `the CA ${authority.id} is staged: give every registry "cellpass keys export-ca", restart it, then "cellpass keys activate-ca"`;
    return { message, activated: null, staged: null, probes: [] };
  }

  async #probe(
    active: StoredKey,
    leaves: ReadonlyMap<string, KeyCertificate>,
  ): Promise<readonly ProbeAnswer[]> {
    const { sign } = this.#workshop.opened(active);
    const certificate = leaves.get(active.kid) ?? active.certificate;
    const probes = await this.#workshop.options.probe(toSigningKey({ ...active, certificate }, sign));
    refuseIfRefused(probes);
    if (probes.length > 0 && probes.every(({ outcome }) => outcome === 'accepted')) return probes;
    throw new CellpassError(
      'conflict',
      'time alone tells no registry of a new CA: list them all under "registries", so that each can be asked, or use --force once all have the new bundle',
    );
  }

  async #leavesOf(authority: Authority): Promise<ReadonlyMap<string, KeyCertificate>> {
    const { keyring, leafHours, now } = this.#workshop.options;
    const leaves = new Map<string, KeyCertificate>();
    for (const key of keyring.open().signingKeys) {
      leaves.set(key.kid, await issueLeaf({ authority, key, now: now(), leafHours }));
    }
    return leaves;
  }
}
