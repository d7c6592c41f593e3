import type { DirectoryRows } from '../../store/directory/table-values.ts';
import { groupBy, type Names, type Plain, sorted, withoutDefaults } from './names.ts';

export function exportAccessTokens(rows: DirectoryRows, names: Names): readonly Plain[] {
  const roles = new Map(rows.members.map(({ user_id, role }) => [user_id, role]));
  return rows.access_tokens
    .filter(({ identity_id }) => identity_id === null)
    .toSorted((a, b) => a.id - b.id)
    .map(({ id, kind, name, user_id, project_id, group_id, scopes, expires_at, revoked }) =>
      withoutDefaults({
        name,
        id,
        kind,
        user: kind === 'personal' ? names.users.get(user_id) : undefined,
        project: project_id === null ? undefined : names.projects.get(project_id),
        group: group_id === null ? undefined : names.namespaces.get(group_id),
        role: kind === 'personal' ? undefined : roles.get(user_id),
        scopes,
        expires_at,
        revoked,
      }),
    );
}

export function exportDeployTokens(rows: DirectoryRows, names: Names): readonly Plain[] {
  const projects = groupBy(rows.project_deploy_tokens, ({ deploy_token_id }) => deploy_token_id);
  return rows.deploy_tokens
    .toSorted((a, b) => a.id - b.id)
    .map(({ id, username, scopes, group_id, expires_at, revoked }) => ({
      ...withoutDefaults({
        username,
        id,
        scopes,
        group: group_id === null ? undefined : names.namespaces.get(group_id),
      }),
      // Also an empty list, because a deploy token must have projects or a group.
      ...(group_id === null && {
        projects: sorted(
          (projects.get(id) ?? []).map(({ project_id }) => names.projects.get(project_id) ?? ''),
        ),
      }),
      ...withoutDefaults({ expires_at, revoked }),
    }));
}

export function exportJobTokens(rows: DirectoryRows, names: Names): readonly Plain[] {
  return rows.job_tokens
    .toSorted((a, b) => a.id - b.id)
    .map(({ id, project_id, user_id, running, expires_at }) =>
      withoutDefaults({
        id,
        project: names.projects.get(project_id),
        user: user_id === null ? undefined : names.users.get(user_id),
        running: running ? undefined : false,
        expires_at,
      }),
    );
}
