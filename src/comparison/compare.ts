import type { ComparedAnswer, ComparedEntry, ComparedToken } from './answer.ts';

/** How two answers to one request differ. */

/** In the order in which they are compared. */
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
  | { readonly outcome: 'differing'; readonly differences: readonly Difference[] };

/** Clocks, and the time between two answers. */
const TOLERANCE_SECONDS = 2;

interface Circumstances {
  /** Whether cellpass's token ends before its usual life. */
  readonly endsWithCredential: boolean;
  /** How long the answer of Rails can have taken, in seconds; default: 0. */
  readonly waitedSeconds?: number;
}

/** Compares what a client may do with two answers: not keys, ids, texts or the order of anything. */
export function compareAnswers(
  rails: ComparedAnswer,
  cellpass: ComparedAnswer,
  { endsWithCredential, waitedSeconds = 0 }: Circumstances,
): Comparison {
  if (rails.status !== cellpass.status) return differing([{ part: 'status' }]);
  if (rails.token === null || cellpass.token === null) return { outcome: 'equal' };
  const differences = compareTokens(rails.token, cellpass.token);
  const later = laterBy(rails.token, cellpass.token, waitedSeconds);
  if (Math.abs(later) > TOLERANCE_SECONDS && !(later > 0 && endsWithCredential)) {
    return differing([...differences, { part: 'exp' }]);
  }
  if (differences.length > 0) return differing(differences);
  return { outcome: later > TOLERANCE_SECONDS ? 'ends_sooner' : 'equal' };
}

function differing(differences: readonly Difference[]): Comparison {
  return { outcome: 'differing', differences };
}

/**
 * How much later the token of Rails ends, in seconds. Rails counts its life from when it was signed,
 * which a slow Rails does later; how much later can't be more than the wait for its answer.
 */
function laterBy(rails: ComparedToken, cellpass: ComparedToken, waitedSeconds: number): number {
  const signedLater = (rails.iat ?? 0) - (cellpass.iat ?? 0);
  const allowed =
    rails.iat === null || cellpass.iat === null ? 0 : Math.min(signedLater, Math.ceil(waitedSeconds));
  return rails.exp - cellpass.exp - Math.max(0, allowed);
}

/** All of them: one that is expected must not hide another. */
function compareTokens(rails: ComparedToken, cellpass: ComparedToken): readonly Difference[] {
  return [
    ...compareAccess(entriesByName(rails.access), entriesByName(cellpass.access)),
    ...(rails.authType !== cellpass.authType ? [{ part: 'auth_type' } as const] : []),
    ...(rails.aud !== cellpass.aud ? [{ part: 'aud' } as const] : []),
    // Rails leaves it out for deploy tokens and anonymous clients.
    ...(rails.sub !== null && rails.sub !== cellpass.sub ? [{ part: 'sub' } as const] : []),
  ];
}

/** What a token grants for one name. */
interface Granted {
  readonly name: string;
  readonly actions: readonly string[];
  /** Of each entry. */
  readonly metas: readonly ComparedEntry['meta'][];
}
type Entries = ReadonlyMap<string, Granted>;

/** Entries of one name together; those without an action grant nothing. */
function entriesByName(access: readonly ComparedEntry[]): Entries {
  const entries = new Map<string, Granted>();
  for (const entry of access.filter(({ actions }) => actions.length > 0)) {
    const key = `${entry.type}:${entry.name}`;
    const { actions = [], metas = [] } = entries.get(key) ?? {};
    entries.set(key, {
      name: entry.name,
      actions: [...new Set([...actions, ...entry.actions])],
      metas: [...metas, entry.meta],
    });
  }
  return entries;
}

function compareAccess(rails: Entries, cellpass: Entries): readonly Difference[] {
  const keys = [...new Set([...rails.keys(), ...cellpass.keys()])];
  const pairs = keys.map((key) => ({ one: rails.get(key), other: cellpass.get(key) }));
  const access = pairs.flatMap(({ one, other }) => {
    const name = one?.name ?? other?.name ?? '';
    const actions = onlyInOne(one?.actions ?? [], other?.actions ?? []);
    return actions.map((action) => ({ part: 'access', name, action }) as const);
  });
  const meta = pairs.flatMap(({ one, other }) =>
    one !== undefined && other !== undefined && !areSameMetas(one.metas, other.metas)
      ? [{ part: 'meta', name: one.name } as const]
      : [],
  );
  return [...access, ...meta];
}

function onlyInOne(one: readonly string[], other: readonly string[]): readonly string[] {
  return [
    ...one.filter((action) => !other.includes(action)),
    ...other.filter((action) => !one.includes(action)),
  ];
}

/** Only newer versions of GitLab have it. */
const NOT_EVERYWHERE = 'organization_id';

type Metas = readonly ComparedEntry['meta'][];

function areSameMetas(one: Metas, other: Metas): boolean {
  const everywhere = [...one, ...other].every((meta) => (meta[NOT_EVERYWHERE] ?? null) !== null);
  const print = (metas: Metas): string =>
    [...new Set(metas.map((meta) => printInOrder(everywhere ? meta : { ...meta, [NOT_EVERYWHERE]: null })))]
      .sort()
      .join();
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
