import type { Action } from './role.ts';

/** What a credential can do at most, whoever holds it. */
export type Abilities = ReadonlySet<Action>;

const NOTHING: readonly Action[] = [];

/** GitLab's token scopes that touch the registry; every other scope brings nothing. */
const ABILITIES_BY_ACCESS_TOKEN_SCOPE: ReadonlyMap<string, readonly Action[]> = new Map([
  ['api', ['pull', 'push', 'delete', '*']],
  ['read_api', ['pull']],
  ['read_registry', ['pull']],
  ['write_registry', ['push']],
]);

/** Deploy tokens know no `api`: a scope that they can't have brings nothing. */
const ABILITIES_BY_DEPLOY_TOKEN_SCOPE: ReadonlyMap<string, readonly Action[]> = new Map([
  ['read_registry', ['pull']],
  ['write_registry', ['push']],
]);

export const PASSWORD_ABILITIES: Abilities = new Set(['pull', 'push', 'delete', '*']);
/** A job's push and delete reach only its own project; `grantAccess` sees to that. */
export const JOB_ABILITIES: Abilities = new Set(['pull', 'push', 'delete']);
export const ANONYMOUS_ABILITIES: Abilities = new Set(['pull']);

/** An empty list is read as `api`: GitLab's oldest tokens have none. */
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
