import type { Path } from '../../config/yaml.ts';
import type {
  GroupGroupLinkRow,
  JobTokenGroupLinkRow,
  JobTokenProjectLinkRow,
  MemberRow,
  ProjectGroupLinkRow,
} from '../../store/directory/rows.ts';
import type { GroupEntry, ProjectEntry } from '../document/document.ts';
import { findGroup, findUser, mayExist, type PlanContext, type References } from './context.ts';
import { byId, groupRows, replaceRows } from './tables.ts';
import { findNode } from './tree/tree.ts';

/**
 * Plans members, invitations, allowlists and protection rules of the document's groups and
 * projects.
 */
export function planGrants(context: PlanContext, references: References): void {
  const places = { groups: placesById(context, 'groups'), projects: placesById(context, 'projects') };
  const members = groupRows(
    context.tables.members,
    ({ source_type, source_id }) => `${source_type}:${source_id}`,
  );
  for (const entry of context.document.groups ?? []) {
    const id = places.groups.get(entry.at);
    if (id !== undefined)
      planMembers(context, references, members, { source_type: 'Namespace', source_id: id }, entry);
  }
  for (const entry of context.document.projects ?? []) {
    const id = places.projects.get(entry.at);
    if (id !== undefined)
      planMembers(context, references, members, { source_type: 'Project', source_id: id }, entry);
  }
  planGroupInvitations(context, references, places.groups);
  planProjectInvitations(context, references, places.projects);
  planAllowlists(context, references, places.projects);
  planRules(context, places.projects);
}

type IdByPlace = ReadonlyMap<number, number>;

function placesById({ results }: PlanContext, section: 'groups' | 'projects'): IdByPlace {
  return new Map([...results[section].indexById].map(([id, at]) => [at, id]));
}

/** Keeps the memberships of bots, which belong to their tokens. */
function planMembers(
  context: PlanContext,
  references: References,
  stored: ReadonlyMap<string | number, readonly MemberRow[]>,
  source: Pick<MemberRow, 'source_type' | 'source_id'>,
  entry: GroupEntry | ProjectEntry,
): void {
  const { tables } = context;
  const path: Path = [source.source_type === 'Project' ? 'projects' : 'groups', entry.at, 'members'];
  const wanted = entry.members.flatMap(({ at, user, role, expires_at }) => {
    const user_id = findUser(context, references, user, [...path, at, 'user']);
    return user_id === undefined ? [] : [{ ...source, user_id, role, expires_at }];
  });
  const people = (stored.get(`${source.source_type}:${source.source_id}`) ?? []).filter(({ user_id }) => {
    const kind = byId(tables.users, user_id)?.kind;
    return kind !== 'project_bot' && kind !== 'group_bot';
  });
  replaceRows(tables.members, people, wanted);
}

function planGroupInvitations(context: PlanContext, references: References, places: IdByPlace): void {
  const table = context.tables.group_group_links;
  const stored = groupRows(table, ({ shared_group_id }) => shared_group_id);
  for (const entry of context.document.groups ?? []) {
    const shared_group_id = places.get(entry.at);
    if (shared_group_id === undefined) continue;
    const wanted = entry.invited_groups.flatMap(({ at, group, role, expires_at }): GroupGroupLinkRow[] => {
      const id = findGroup(context, references, group, ['groups', entry.at, 'invited_groups', at, 'group']);
      return id === undefined ? [] : [{ shared_group_id, shared_with_group_id: id, role, expires_at }];
    });
    replaceRows(table, stored.get(shared_group_id) ?? [], wanted);
  }
}

function planProjectInvitations(context: PlanContext, references: References, places: IdByPlace): void {
  const table = context.tables.project_group_links;
  const stored = groupRows(table, ({ project_id }) => project_id);
  for (const entry of context.document.projects ?? []) {
    const project_id = places.get(entry.at);
    if (project_id === undefined) continue;
    const wanted = entry.invited_groups.flatMap(({ at, group, role, expires_at }): ProjectGroupLinkRow[] => {
      const id = findGroup(context, references, group, ['projects', entry.at, 'invited_groups', at, 'group']);
      return id === undefined ? [] : [{ project_id, group_id: id, role, expires_at }];
    });
    replaceRows(table, stored.get(project_id) ?? [], wanted);
  }
}

function planAllowlists(context: PlanContext, { tree }: References, places: IdByPlace): void {
  const { tables } = context;
  const storedProjects = groupRows(tables.job_token_project_links, ({ project_id }) => project_id);
  const storedGroups = groupRows(tables.job_token_group_links, ({ project_id }) => project_id);
  for (const { at, job_token_allowlist: list } of context.document.projects ?? []) {
    const project_id = places.get(at);
    if (project_id === undefined) continue;
    const projects: JobTokenProjectLinkRow[] = [];
    const groups: JobTokenGroupLinkRow[] = [];
    for (const [place, name] of list === 'anyone' ? [] : list.entries()) {
      const node = findNode(tree, name);
      if (node?.kind === 'Project') projects.push({ project_id, target_project_id: node.id });
      else if (node?.kind === 'Group') groups.push({ project_id, target_group_id: node.id });
      else if (!mayExist(context, 'projects', name) && !mayExist(context, 'groups', name)) {
        context.report(
          ['projects', at, 'job_token_allowlist', place],
          `there is no project or group "${name}"`,
          { name, among: ['projects', 'groups'] },
        );
      }
    }
    replaceRows(tables.job_token_project_links, storedProjects.get(project_id) ?? [], projects);
    replaceRows(tables.job_token_group_links, storedGroups.get(project_id) ?? [], groups);
  }
}

function planRules({ document, tables }: PlanContext, places: IdByPlace): void {
  const storedRepositories = groupRows(tables.protected_repositories, ({ project_id }) => project_id);
  const storedTags = groupRows(tables.protected_tags, ({ project_id }) => project_id);
  for (const { at, protected_repositories, protected_tags } of document.projects ?? []) {
    const project_id = places.get(at);
    if (project_id === undefined) continue;
    replaceRows(
      tables.protected_repositories,
      storedRepositories.get(project_id) ?? [],
      protected_repositories.map(({ at: position, ...rule }) => ({ project_id, position, ...rule })),
    );
    replaceRows(
      tables.protected_tags,
      storedTags.get(project_id) ?? [],
      protected_tags.map(({ at: position, ...rule }) => ({ project_id, position, ...rule })),
    );
  }
}
