import { CellpassError } from '../errors.ts';
import type { Permission } from '../keys/lifecycle.ts';
import type { SigningKey } from '../keys/signing-key.ts';

/** What a registry made of a token that the key signed. */
export type ProbeOutcome = 'accepted' | 'refused' | 'unreachable';

export interface ProbeAnswer {
  readonly registry: string;
  readonly outcome: ProbeOutcome;
  /** Why, for people. */
  readonly because: string;
}

/** Sends each configured registry a canary token that `key` signed. None configured: an empty list. */
export type ProbeRegistries = (key: SigningKey) => Promise<readonly ProbeAnswer[]>;

/**
 * What lets a pending key become active. A registry that refuses it stands in the way whatever time has passed; one that can't be
 * reached does not, because it takes no token of any key. Throws `conflict` with the registry's name or the time to wait.
 */
export async function permit(
  key: SigningKey,
  input: { readonly force: boolean; readonly waitMs: number; readonly probe: ProbeRegistries },
): Promise<{ readonly by: Permission; readonly probes: readonly ProbeAnswer[] }> {
  if (input.force) return { by: 'force', probes: [] };
  const probes = await input.probe(key);
  refuseIfRefused(probes);
  if (probes.length > 0 && probes.every(({ outcome }) => outcome === 'accepted')) {
    return { by: 'acceptance', probes };
  }
  if (input.waitMs > 0) throw tooEarly(key, input.waitMs, probes);
  return { by: 'time', probes };
}

export function refuseIfRefused(probes: readonly ProbeAnswer[]): void {
  const refusing = probes.filter(({ outcome }) => outcome === 'refused');
  if (refusing.length === 0) return;
  throw new CellpassError(
    'conflict',
    `${describeProbes(refusing)}: give it what it lacks ("cellpass keys export-ca", "export-cert" or "export-jwks"; a router: "cellpass cells haproxy", and a reload), or use --force, with which it refuses every token`,
  );
}

function tooEarly(key: SigningKey, waitMs: number, probes: readonly ProbeAnswer[]): CellpassError {
  const missing = probes.filter(({ outcome }) => outcome !== 'accepted');
  const registries = missing.length === 0 ? '' : ` (${describeProbes(missing)})`;
  return new CellpassError(
    'conflict',
    `the key ${key.kid} is published since ${key.createdAt.toISOString()} and may sign in ${Math.ceil(waitMs / 1000)} s${registries}: ` +
      'wait, or use --force, with which a registry that has not fetched it yet refuses its tokens',
  );
}

function describeProbes(probes: readonly ProbeAnswer[]): string {
  return probes.map(({ registry, because }) => `registry ${registry}: ${because}`).join('; ');
}
