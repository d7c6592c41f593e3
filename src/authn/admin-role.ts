/**
 * What an admin token may do: `read` asks and scrapes, `directory` also changes the directory, `keys`
 * also rotates keys, and `all` does everything.
 */
export const ADMIN_ROLES = ['read', 'directory', 'keys', 'all'] as const;
export type AdminRole = (typeof ADMIN_ROLES)[number];

const INCLUDED: Record<AdminRole, readonly AdminRole[]> = {
  read: ['read'],
  directory: ['read', 'directory'],
  keys: ['read', 'keys'],
  all: ADMIN_ROLES,
};

export function includesRole(has: AdminRole, needed: AdminRole): boolean {
  return INCLUDED[has].includes(needed);
}
