import type { DirectoryRows } from '../../store/directory/table-values.ts';
import { compare, type Names, type Plain, sorted, withoutDefaults } from './names.ts';

export function exportIdentities(rows: DirectoryRows, names: Names): readonly Plain[] {
  const roles = new Map(rows.members.map(({ user_id, role }) => [user_id, role]));
  return rows.federated_identities
    .toSorted((a, b) => compare(a.name, b.name))
    .map(({ name, id, issuer, kind, user_id, project_id, group_id, scopes, claims, expires_at }) =>
      withoutDefaults({
        name,
        id,
        issuer,
        account: kind === 'account' ? names.users.get(user_id) : undefined,
        project: project_id === null ? undefined : names.projects.get(project_id),
        group: group_id === null ? undefined : names.namespaces.get(group_id),
        role: kind === 'account' ? undefined : roles.get(user_id),
        scopes,
        claims: Object.fromEntries(sorted(Object.keys(claims)).map((claim) => [claim, claims[claim]])),
        expires_at,
      }),
    );
}
