import type { ComparedAnswer, ComparedEntry, ComparedToken } from './answer.ts';

/** How two answers to one request differ. */

/** The first part in which they differ, in this order. */
export type DifferingPart = 'status' | 'access' | 'meta' | 'auth_type' | 'aud' | 'sub' | 'exp';

export interface Difference {
  readonly part: DifferingPart;
  /** Of `access` and `meta`: the name that the differing entry is about. */
  readonly name?: string;
  /** Of `access`: an action that one of them grants. */
  readonly action?: string;
}

export type Comparison =
  | { readonly outcome: 'equal' }
  /** The token ends sooner here, because the credential does. */
  | { readonly outcome: 'ends_sooner' }
  | { readonly outcome: 'differing'; readonly difference: Difference };

/** Clocks, and the time between two answers. */
const TOLERANCE_SECONDS = 2;

interface Circumstances {
  /** Whether cellpass's token ends before its usual life. */
  readonly endsWithCredential: boolean;
  /** How much later Rails may have counted the life of its token, in seconds; default: 0. */
  readonly railsLaterSeconds?: number;
}

/** Compares what a client may do with two answers: not keys, ids, texts or the order of anything. */
export function compareAnswers(
  rails: ComparedAnswer,
  cellpass: ComparedAnswer,
  { endsWithCredential, railsLaterSeconds = 0 }: Circumstances,
): Comparison {
  if (rails.status !== cellpass.status) return differing({ part: 'status' });
  if (rails.token === null || cellpass.token === null) return { outcome: 'equal' };
  const difference = compareTokens(rails.token, cellpass.token);
  if (difference !== null) return differing(difference);
  const later = rails.token.exp - cellpass.token.exp;
  if (later >= -TOLERANCE_SECONDS && later <= TOLERANCE_SECONDS + Math.floor(railsLaterSeconds))
    return { outcome: 'equal' };
  return later > 0 && endsWithCredential ? { outcome: 'ends_sooner' } : differing({ part: 'exp' });
}

function differing(difference: Difference): Comparison {
  return { outcome: 'differing', difference };
}

function compareTokens(rails: ComparedToken, cellpass: ComparedToken): Difference | null {
  const access = compareAccess(entriesByName(rails.access), entriesByName(cellpass.access));
  if (access !== null) return access;
  if (rails.authType !== cellpass.authType) return { part: 'auth_type' };
  if (rails.aud !== cellpass.aud) return { part: 'aud' };
  // Rails leaves it out for deploy tokens and anonymous clients.
  if (rails.sub !== null && rails.sub !== cellpass.sub) return { part: 'sub' };
  return null;
}

type Entries = ReadonlyMap<string, ComparedEntry>;

/** Entries of one name together; those without an action grant nothing. */
function entriesByName(access: readonly ComparedEntry[]): Entries {
  const entries = new Map<string, ComparedEntry>();
  for (const entry of access.filter(({ actions }) => actions.length > 0)) {
    const key = `${entry.type}:${entry.name}`;
    const actions = [...new Set([...(entries.get(key)?.actions ?? []), ...entry.actions])];
    entries.set(key, { ...entry, actions });
  }
  return entries;
}

function compareAccess(rails: Entries, cellpass: Entries): Difference | null {
  const keys = [...new Set([...rails.keys(), ...cellpass.keys()])];
  for (const key of keys) {
    const [one, other] = [rails.get(key), cellpass.get(key)];
    const action = onlyInOne(one?.actions ?? [], other?.actions ?? []);
    const name = one?.name ?? other?.name ?? '';
    if (action !== undefined) return { part: 'access', name, action };
  }
  for (const key of keys) {
    const [one, other] = [rails.get(key), cellpass.get(key)];
    if (one !== undefined && other !== undefined && !isSameMeta(one.meta, other.meta))
      return { part: 'meta', name: one.name };
  }
  return null;
}

function onlyInOne(one: readonly string[], other: readonly string[]): string | undefined {
  return one.find((action) => !other.includes(action)) ?? other.find((action) => !one.includes(action));
}

/** Only newer versions of GitLab have it. */
const NOT_EVERYWHERE = 'organization_id';

function isSameMeta(one: ComparedEntry['meta'], other: ComparedEntry['meta']): boolean {
  const everywhere = one[NOT_EVERYWHERE] !== undefined && other[NOT_EVERYWHERE] !== undefined;
  const print = (meta: ComparedEntry['meta']): string =>
    printInOrder(everywhere ? meta : { ...meta, [NOT_EVERYWHERE]: null });
  return print(one) === print(other);
}

/** JSON with its members and elements in a fixed order, and without those that are null. */
function printInOrder(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printInOrder).sort().join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const members = Object.entries(value)
    .filter(([, member]) => member !== null && member !== undefined)
    .map(([name, member]) => `${JSON.stringify(name)}:${printInOrder(member)}`);
  return `{${members.sort().join(',')}}`;
}
