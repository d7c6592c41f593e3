import { Document, Scalar, visit } from 'yaml';
import type { Database } from '../../store/database/drivers.ts';
import { changeDirectory } from '../../store/directory/directory.ts';
import { readDirectory } from '../../store/directory/read-rows.ts';
import type { MemberRow, SettingsRow } from '../../store/directory/rows.ts';
import type { DirectoryRows } from '../../store/directory/table-values.ts';
import type { SectionName } from '../document/sections.ts';
import { exportIdentities } from './identities.ts';
import {
  byPath,
  collectNames,
  compare,
  groupBy,
  type Names,
  type Plain,
  sorted,
  withoutDefaults,
} from './names.ts';
import { exportAccessTokens, exportDeployTokens, exportJobTokens } from './tokens.ts';

/** The directory as a document without secrets, in a stable order. Applying it changes nothing. */
export async function exportDirectory(database: Pick<Database, 'transaction'>): Promise<string> {
  const rows = await changeDirectory(database, readDirectory);
  return printYaml(toDocument(rows));
}

/**
 * YAML 1.2 in which quotes mark what YAML 1.1 reads as another type than text (`yes`, `010`,
 * `12:30`): many tools that read the document, such as PyYAML, know only YAML 1.1.
 */
function printYaml(content: Plain): string {
  const document = new Document(content, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
  visit(document, {
    Scalar: (_, scalar) => {
      // The type "value" of YAML 1.1, which `compat` does not know; PyYAML stops at it.
      if (scalar.value === '=') scalar.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document.toString({ lineWidth: 0 });
}

function toDocument(rows: DirectoryRows): Plain {
  const [settings] = rows.settings;
  return {
    version: 1,
    ...(settings !== undefined && { settings: exportSettings(settings) }),
    ...exportEntries(rows, collectNames(rows)),
  };
}

export function exportSettings(settings: SettingsRow): Plain {
  const { registry_enabled, maintenance_mode, password_authentication } = settings;
  return { registry_enabled, maintenance_mode, password_authentication };
}

/**
 * The entries of each section, without secrets and without what is the default.
 * @param rows may be a part of the directory, which has all rows of each entry.
 * @param names of all that the rows refer to.
 */
export function exportEntries(rows: DirectoryRows, names: Names): Record<SectionName, readonly Plain[]> {
  return {
    organizations: exportOrganizations(rows, names),
    users: exportUsers(rows, names),
    groups: exportGroups(rows, names),
    projects: exportProjects(rows, names),
    access_tokens: exportAccessTokens(rows, names),
    deploy_tokens: exportDeployTokens(rows, names),
    job_tokens: exportJobTokens(rows, names),
    federated_identities: exportIdentities(rows, names),
  };
}

function exportOrganizations(rows: DirectoryRows, names: Names): readonly Plain[] {
  const owners = groupBy(rows.organization_users, ({ organization_id }) => organization_id);
  return rows.organizations
    .toSorted((a, b) => a.position - b.position || a.id - b.id)
    .map(({ id, path, maintenance }) =>
      withoutDefaults({
        path,
        id,
        owners: sorted((owners.get(id) ?? []).map(({ user_id }) => names.users.get(user_id) ?? '')),
        maintenance,
      }),
    );
}

function exportUsers(rows: DirectoryRows, names: Names): readonly Plain[] {
  return rows.users
    .filter(({ id }) => !names.bots.has(id))
    .toSorted((a, b) => compare(a.username_key, b.username_key))
    .map(({ organization_id, username_key, email_key, password_hash, username, id, ...fields }) =>
      withoutDefaults({ username, id, organization: names.organizations.get(organization_id), ...fields }),
    );
}

function exportGroups(rows: DirectoryRows, names: Names): readonly Plain[] {
  const members = membersBySource(rows, names, 'Namespace');
  const invited = groupBy(rows.group_group_links, ({ shared_group_id }) => shared_group_id);
  return rows.namespaces
    .filter(({ type }) => type === 'Group')
    .toSorted(byPath)
    .map((row) =>
      withoutDefaults({
        path: row.path,
        id: row.id,
        organization: row.parent_id === null ? names.organizations.get(row.organization_id) : undefined,
        members: members.get(row.id),
        invited_groups: (invited.get(row.id) ?? [])
          .map(({ shared_with_group_id, role, expires_at }) =>
            withoutDefaults({ group: names.namespaces.get(shared_with_group_id), role, expires_at }),
          )
          .toSorted((a, b) => compare(String(a['group']), String(b['group']))),
        share_with_group_lock: row.share_with_group_lock,
        ip_allowlist: row.ip_allowlist,
        over_storage_limit: row.over_storage_limit,
        archived: row.archived,
      }),
    );
}

function exportProjects(rows: DirectoryRows, names: Names): readonly Plain[] {
  const members = membersBySource(rows, names, 'Project');
  const byProject = <R extends { readonly project_id: number }>(list: readonly R[]) =>
    groupBy(list, ({ project_id }) => project_id);
  const invited = byProject(rows.project_group_links);
  const allowedProjects = byProject(rows.job_token_project_links);
  const allowedGroups = byProject(rows.job_token_group_links);
  const repositories = byProject(rows.protected_repositories);
  const tags = byProject(rows.protected_tags);
  return rows.projects.toSorted(byPath).map((row) => {
    const allowed = [
      ...(allowedProjects.get(row.id) ?? []).map(
        ({ target_project_id }) => names.projects.get(target_project_id) ?? '',
      ),
      ...(allowedGroups.get(row.id) ?? []).map(
        ({ target_group_id }) => names.namespaces.get(target_group_id) ?? '',
      ),
    ];
    return withoutDefaults({
      path: row.path,
      id: row.id,
      visibility: row.visibility,
      container_registry: row.container_registry,
      archived: row.archived,
      deletion_scheduled: row.deletion_scheduled,
      ci_enabled: row.ci_enabled ? undefined : false,
      members: members.get(row.id),
      invited_groups: (invited.get(row.id) ?? [])
        .map(({ group_id, role, expires_at }) =>
          withoutDefaults({ group: names.namespaces.get(group_id), role, expires_at }),
        )
        .toSorted((a, b) => compare(String(a['group']), String(b['group']))),
      job_token_allowlist: row.job_token_open ? 'anyone' : sorted(allowed),
      protected_repositories: exportRules(repositories.get(row.id)),
      protected_tags: exportRules(tags.get(row.id)),
    });
  });
}

function exportRules<R extends { readonly project_id: number; readonly position: number }>(
  rules: readonly R[] = [],
): readonly Plain[] {
  return rules
    .toSorted((a, b) => a.position - b.position)
    .map(({ project_id, position, ...rule }) => withoutDefaults(rule));
}

function membersBySource(
  rows: DirectoryRows,
  names: Names,
  type: MemberRow['source_type'],
): ReadonlyMap<number, readonly Plain[]> {
  const people = rows.members.filter(
    ({ source_type, user_id }) => source_type === type && !names.bots.has(user_id),
  );
  const bySource = groupBy(people, ({ source_id }) => source_id);
  return new Map(
    [...bySource].map(([id, members]) => [
      id,
      members
        .map(({ user_id, role, expires_at }) =>
          withoutDefaults({ user: names.users.get(user_id), role, expires_at }),
        )
        .toSorted((a, b) => compare(String(a['user']), String(b['user']))),
    ]),
  );
}
