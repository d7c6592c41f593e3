import type { DirectoryChanges, PlannedTables, TableChanges } from '../../store/directory/table-values.ts';
import { SECTIONS, type SectionName } from '../document/sections.ts';
import type { PlanContext } from './context.ts';

export interface Counts {
  readonly added: number;
  readonly changed: number;
  readonly unchanged: number;
  readonly removed: number;
}

/** Counts the changes in each section of the document, pruned entries included. */
export function countSections(
  context: PlanContext,
  changes: DirectoryChanges,
  touched: TouchedEntries,
): Readonly<Record<string, Counts>> {
  const counts: Record<string, Counts> = {};
  if (context.document.settings !== undefined) {
    const changed = changes.settings.upsert.length;
    counts['settings'] = { added: 0, changed, unchanged: 1 - changed, removed: 0 };
  }
  for (const section of SECTIONS) {
    const { indexById, added, removed } = context.results[section];
    if (context.document[section] === undefined && added.size === 0) continue;
    const changed = [...indexById.keys()].filter((id) => !added.has(id) && touched[section].has(id)).length;
    const named = [...indexById.keys()].filter((id) => added.has(id)).length;
    const unchanged = indexById.size - named - changed;
    counts[section] = { added: added.size, changed, unchanged, removed: removed.size };
  }
  return counts;
}

export type TouchedEntries = Readonly<Record<SectionName, ReadonlySet<number>>>;

/** Ids of the entries that changed rows belong to, by section. */
export function touchedEntries(tables: PlannedTables, changes: DirectoryChanges): TouchedEntries {
  const tokens = [...tables.access_tokens.rows.values()].filter(({ kind }) => kind !== 'personal');
  const tokenOfBot = new Map(tokens.map(({ id, user_id }) => [user_id, id]));
  const identities = [...tables.federated_identities.rows.values()].filter(({ kind }) => kind !== 'account');
  const identityOfBot = new Map(identities.map(({ id, user_id }) => [user_id, id]));
  const members = rows(changes.members);
  const people = members.filter(({ user_id }) => !tokenOfBot.has(user_id) && !identityOfBot.has(user_id));
  const idsOf = (type: 'Namespace' | 'Project'): readonly number[] =>
    people.filter(({ source_type }) => source_type === type).map(({ source_id }) => source_id);
  return {
    organizations: new Set([
      ...rows(changes.organizations).map(({ id }) => id),
      ...rows(changes.organization_users).map(({ organization_id }) => organization_id),
    ]),
    users: new Set(rows(changes.users).map(({ id }) => id)),
    groups: new Set([
      ...rows(changes.namespaces).map(({ id }) => id),
      ...rows(changes.group_group_links).map(({ shared_group_id }) => shared_group_id),
      ...idsOf('Namespace'),
    ]),
    projects: new Set([
      ...rows(changes.projects).map(({ id }) => id),
      ...[
        changes.project_group_links,
        changes.job_token_project_links,
        changes.job_token_group_links,
        changes.protected_repositories,
        changes.protected_tags,
      ].flatMap((table) => rows<{ readonly project_id: number }>(table).map(({ project_id }) => project_id)),
      ...idsOf('Project'),
    ]),
    access_tokens: new Set([
      ...rows(changes.access_tokens).map(({ id }) => id),
      ...members.flatMap(({ user_id }) => tokenOfBot.get(user_id) ?? []),
    ]),
    deploy_tokens: new Set([
      ...rows(changes.deploy_tokens).map(({ id }) => id),
      ...rows(changes.project_deploy_tokens).map(({ deploy_token_id }) => deploy_token_id),
    ]),
    job_tokens: new Set(rows(changes.job_tokens).map(({ id }) => id)),
    federated_identities: new Set([
      ...rows(changes.federated_identities).map(({ id }) => id),
      ...members.flatMap(({ user_id }) => identityOfBot.get(user_id) ?? []),
    ]),
  };
}

function rows<R>({ upsert, remove }: TableChanges<R>): readonly R[] {
  return [...upsert, ...remove];
}
