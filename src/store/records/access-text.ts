/** An entry of the claim `access`, as the claim has it. */
export interface AccessEntry {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

const REPOSITORY = 'repository';

/**
 * An access entry as the audit record has it: `acme/app:pull,push` for a repository, with the type
 * in front for any other resource: `registry:catalog:*`. It takes a quarter of the entry's JSON.
 */
export function printAccess({ type, name, actions }: AccessEntry): string {
  const resource = type === REPOSITORY ? name : `${type}:${name}`;
  return `${resource}:${actions.join(',')}`;
}

/**
 * The inverse of `printAccess`. No name of a repository has a colon. Records of older versions have
 * the entry itself.
 */
export function parseAccess(stored: string | AccessEntry): AccessEntry {
  if (typeof stored !== 'string') return stored;
  const parts = stored.split(':');
  const actions = parts.at(-1)?.split(',') ?? [];
  if (parts.length === 2) return { type: REPOSITORY, name: parts[0] ?? '', actions };
  return { type: parts[0] ?? '', name: parts.slice(1, -1).join(':'), actions };
}
