import type { Action } from './role.ts';

/** The actions that a credential allows at most, independent of its owner. */
export type Abilities = ReadonlySet<Action>;

const NOTHING: readonly Action[] = [];

/** GitLab's token scopes that matter to the registry. Other scopes allow nothing. */
const ABILITIES_BY_ACCESS_TOKEN_SCOPE: ReadonlyMap<string, readonly Action[]> = new Map([
  ['api', ['pull', 'push', 'delete', '*']],
  ['read_api', ['pull']],
  ['read_registry', ['pull']],
  ['write_registry', ['push']],
]);

/** Deploy tokens can't have the scope `api`: in a deploy token it allows nothing. */
const ABILITIES_BY_DEPLOY_TOKEN_SCOPE: ReadonlyMap<string, readonly Action[]> = new Map([
  ['read_registry', ['pull']],
  ['write_registry', ['push']],
]);

export const PASSWORD_ABILITIES: Abilities = new Set(['pull', 'push', 'delete', '*']);
/** A job can push and delete only in its own project, which `grantAccess` enforces. */
export const JOB_ABILITIES: Abilities = new Set(['pull', 'push', 'delete']);
export const ANONYMOUS_ABILITIES: Abilities = new Set(['pull']);

/** An empty list counts as `api`, because GitLab's oldest tokens have no scopes. */
export function accessTokenAbilities(tokenScopes: readonly string[]): Abilities {
  const scopes = tokenScopes.length === 0 ? ['api'] : tokenScopes;
  return unionOf(scopes, ABILITIES_BY_ACCESS_TOKEN_SCOPE);
}

export function deployTokenAbilities(tokenScopes: readonly string[]): Abilities {
  return unionOf(tokenScopes, ABILITIES_BY_DEPLOY_TOKEN_SCOPE);
}

function unionOf(scopes: readonly string[], table: ReadonlyMap<string, readonly Action[]>): Abilities {
  return new Set(scopes.flatMap((scope) => table.get(scope) ?? NOTHING));
}
