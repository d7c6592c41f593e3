import { CellpassError } from '../errors.ts';
import type { StoredKey } from '../keys/key-set.ts';
import type { Permission } from '../keys/lifecycle.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import type { ProbeAnswer, ProbeRegistries } from './canary.ts';

/** When a pending key or CA may become active. */

/** Characters of a message that says for each registry what it needs. */
const LONGEST = 2000;

/** The clock of this process; see `steady-clock.ts`. */
export interface Moment {
  readonly now: Date;
  readonly skippedMsSince: (kid: string) => number;
}

/**
 * Milliseconds until a pending key has been published for `propagationSeconds`; 0 or less: it has.
 * Time by which the clock jumped forward doesn't count.
 */
export function mayActivateIn(
  { kid, createdAt }: Pick<StoredKey, 'kid' | 'createdAt'>,
  { propagationSeconds }: { readonly propagationSeconds: number },
  { now, skippedMsSince }: Moment,
): number {
  return createdAt.getTime() + propagationSeconds * 1000 + skippedMsSince(kid) - now.getTime();
}

/**
 * Asks the registries whether a pending key may become active. A registry that refuses the key
 * prevents it, however long the key has been published. An unreachable registry doesn't, because it
 * accepts no token of any key. Throws `conflict` with the registry's name or the time to wait.
 */
export async function permit(
  key: SigningKey,
  input: { readonly force: boolean; readonly waitMs: number; readonly probe: ProbeRegistries },
): Promise<Permitted> {
  if (input.force) return { by: 'force', probes: [] };
  const { obstacle, probes } = await mayActivate(key, input);
  if (obstacle === null) return permittedBy(probes);
  refuseIfRefused(probes);
  throw tooEarly(key, input.waitMs, probes);
}

/** By what a key may become active, and what the registries said. */
export interface Permitted {
  readonly by: Permission;
  readonly probes: readonly ProbeAnswer[];
}

/** @param probes of a key of which `mayActivate` found no obstacle. */
export function permittedBy(probes: readonly ProbeAnswer[]): Permitted {
  return { by: everyRegistryAccepts(probes) ? 'acceptance' : 'time', probes };
}

/** Why a pending key may not sign yet. */
export interface Obstacle {
  readonly because: string;
  /** How long it must still be published; 0: a registry refuses it. */
  readonly seconds: number;
}

/** The decision, without an error; `obstacle` null: the key may sign. */
export async function mayActivate(
  key: SigningKey,
  { waitMs, probe }: { readonly waitMs: number; readonly probe: ProbeRegistries },
): Promise<{ readonly obstacle: Obstacle | null; readonly probes: readonly ProbeAnswer[] }> {
  const probes = await probe(key);
  const missing = probes.filter(({ outcome }) => outcome !== 'accepted');
  const refusing = missing.filter(({ outcome }) => outcome === 'refused');
  if (refusing.length > 0) return { obstacle: { because: describeProbes(refusing), seconds: 0 }, probes };
  if (everyRegistryAccepts(probes) || waitMs <= 0) return { obstacle: null, probes };
  const registries = missing.length === 0 ? 'registries must fetch it' : describeProbes(missing);
  return { obstacle: { because: registries, seconds: Math.ceil(waitMs / 1000) }, probes };
}

/**
 * Throws `conflict` unless every registry accepted a leaf of the pending CA. A CA has no waiting
 * time: an admin has to copy its certificate to every registry.
 */
export function requireEveryAcceptance(probes: readonly ProbeAnswer[]): void {
  refuseIfRefused(probes);
  if (everyRegistryAccepts(probes)) return;
  const missing = probes.filter(({ outcome }) => outcome !== 'accepted');
  const registries = missing.length === 0 ? 'no registry is listed' : describeProbes(missing);
  throw new CellpassError(
    'conflict',
    `cellpass can't tell whether every registry trusts the pending CA (${registries}): list all of them under "registries" and make them reachable, or use --force when every registry has the new bundle`,
    { longest: LONGEST },
  );
}

/** For the end of a message: the registries that could not be asked; empty if there are none. */
export function warnOfUnreachable(probes: readonly ProbeAnswer[]): string {
  const unreachable = probes.filter(({ outcome }) => outcome === 'unreachable');
  if (unreachable.length === 0) return '';
  return `; could not reach ${unreachable.map(({ registry }) => registry).join(', ')}`;
}

function everyRegistryAccepts(probes: readonly ProbeAnswer[]): boolean {
  return probes.length > 0 && probes.every(({ outcome }) => outcome === 'accepted');
}

function refuseIfRefused(probes: readonly ProbeAnswer[]): void {
  const refusing = probes.filter(({ outcome }) => outcome === 'refused');
  if (refusing.length === 0) return;
  throw new CellpassError(
    'conflict',
    `${describeProbes(refusing)}: give it the output of "cellpass keys export-ca", "export-cert" or "export-jwks" (a router: of "cellpass cells haproxy", and reload it), or use --force, after which it refuses every token`,
    { longest: LONGEST },
  );
}

function tooEarly(key: SigningKey, waitMs: number, probes: readonly ProbeAnswer[]): CellpassError {
  const missing = probes.filter(({ outcome }) => outcome !== 'accepted');
  const registries = missing.length === 0 ? '' : ` (${describeProbes(missing)})`;
  return new CellpassError(
    'conflict',
    `the key ${key.kid} has been published since ${key.createdAt.toISOString()} and may sign in ${Math.ceil(waitMs / 1000)} s${registries}: ` +
      'wait, as "cellpass keys rotate --wait" does, or use --force, after which a registry refuses its tokens until it fetches the key',
    { longest: LONGEST },
  );
}

function describeProbes(probes: readonly ProbeAnswer[]): string {
  return probes.map(({ registry, because }) => `registry ${registry}: ${because}`).join('; ');
}
