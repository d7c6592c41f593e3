import type {
  GroupGroupLinkRow,
  JobTokenGroupLinkRow,
  JobTokenProjectLinkRow,
  MemberRow,
  ProjectGroupLinkRow,
} from '../../store/directory/rows.ts';
import type { GroupEntry, ProjectEntry } from '../document/document.ts';
import type { Path } from '../document/read.ts';
import { byId, groupRows, replaceRows } from './draft.ts';
import { findGroup, findUser, mayExist, type Planning, type References } from './planning.ts';
import { findNode } from './tree.ts';

/** Members, invitations, allowlists and protection of every group and project that the document names. */
export function planGrants(planning: Planning, references: References): void {
  const places = { groups: placesById(planning, 'groups'), projects: placesById(planning, 'projects') };
  const members = groupRows(
    planning.draft.members,
    ({ source_type, source_id }) => `${source_type}:${source_id}`,
  );
  for (const entry of planning.document.groups ?? []) {
    const id = places.groups.get(entry.at);
    if (id !== undefined)
      planMembers(planning, references, members, { source_type: 'Namespace', source_id: id }, entry);
  }
  for (const entry of planning.document.projects ?? []) {
    const id = places.projects.get(entry.at);
    if (id !== undefined)
      planMembers(planning, references, members, { source_type: 'Project', source_id: id }, entry);
  }
  planGroupInvitations(planning, references, places.groups);
  planProjectInvitations(planning, references, places.projects);
  planAllowlists(planning, references, places.projects);
  planRules(planning, places.projects);
}

type IdByPlace = ReadonlyMap<number, number>;

function placesById({ outcome }: Planning, section: 'groups' | 'projects'): IdByPlace {
  return new Map([...outcome[section].placeOf].map(([id, at]) => [at, id]));
}

/** The bots of project and group tokens are members by their tokens, and stay. */
function planMembers(
  planning: Planning,
  references: References,
  stored: ReadonlyMap<string | number, readonly MemberRow[]>,
  source: Pick<MemberRow, 'source_type' | 'source_id'>,
  entry: GroupEntry | ProjectEntry,
): void {
  const { draft } = planning;
  const path: Path = [source.source_type === 'Project' ? 'projects' : 'groups', entry.at, 'members'];
  const wanted = entry.members.flatMap(({ at, user, role, expires_at }) => {
    const user_id = findUser(planning, references, user, [...path, at, 'user']);
    return user_id === undefined ? [] : [{ ...source, user_id, role, expires_at }];
  });
  const people = (stored.get(`${source.source_type}:${source.source_id}`) ?? []).filter(({ user_id }) => {
    const kind = byId(draft.users, user_id)?.kind;
    return kind !== 'project_bot' && kind !== 'group_bot';
  });
  replaceRows(draft.members, people, wanted);
}

function planGroupInvitations(planning: Planning, references: References, places: IdByPlace): void {
  const table = planning.draft.group_group_links;
  const stored = groupRows(table, ({ shared_group_id }) => shared_group_id);
  for (const entry of planning.document.groups ?? []) {
    const shared_group_id = places.get(entry.at);
    if (shared_group_id === undefined) continue;
    const wanted = entry.invited_groups.flatMap(({ at, group, role, expires_at }): GroupGroupLinkRow[] => {
      const id = findGroup(planning, references, group, ['groups', entry.at, 'invited_groups', at, 'group']);
      return id === undefined ? [] : [{ shared_group_id, shared_with_group_id: id, role, expires_at }];
    });
    replaceRows(table, stored.get(shared_group_id) ?? [], wanted);
  }
}

function planProjectInvitations(planning: Planning, references: References, places: IdByPlace): void {
  const table = planning.draft.project_group_links;
  const stored = groupRows(table, ({ project_id }) => project_id);
  for (const entry of planning.document.projects ?? []) {
    const project_id = places.get(entry.at);
    if (project_id === undefined) continue;
    const wanted = entry.invited_groups.flatMap(({ at, group, role, expires_at }): ProjectGroupLinkRow[] => {
      const id = findGroup(planning, references, group, [
        'projects',
        entry.at,
        'invited_groups',
        at,
        'group',
      ]);
      return id === undefined ? [] : [{ project_id, group_id: id, role, expires_at }];
    });
    replaceRows(table, stored.get(project_id) ?? [], wanted);
  }
}

function planAllowlists(planning: Planning, { tree }: References, places: IdByPlace): void {
  const { draft } = planning;
  const storedProjects = groupRows(draft.job_token_project_links, ({ project_id }) => project_id);
  const storedGroups = groupRows(draft.job_token_group_links, ({ project_id }) => project_id);
  for (const { at, job_token_allowlist: list } of planning.document.projects ?? []) {
    const project_id = places.get(at);
    if (project_id === undefined) continue;
    const projects: JobTokenProjectLinkRow[] = [];
    const groups: JobTokenGroupLinkRow[] = [];
    for (const [place, name] of list === 'anyone' ? [] : list.entries()) {
      const node = findNode(tree, name);
      if (node?.kind === 'Project') projects.push({ project_id, target_project_id: node.id });
      else if (node?.kind === 'Group') groups.push({ project_id, target_group_id: node.id });
      else if (!mayExist(planning, 'projects', name) && !mayExist(planning, 'groups', name)) {
        planning.report(['projects', at, 'job_token_allowlist', place], `unknown project or group "${name}"`);
      }
    }
    replaceRows(draft.job_token_project_links, storedProjects.get(project_id) ?? [], projects);
    replaceRows(draft.job_token_group_links, storedGroups.get(project_id) ?? [], groups);
  }
}

function planRules({ document, draft }: Planning, places: IdByPlace): void {
  const storedRepositories = groupRows(draft.protected_repositories, ({ project_id }) => project_id);
  const storedTags = groupRows(draft.protected_tags, ({ project_id }) => project_id);
  for (const { at, protected_repositories, protected_tags } of document.projects ?? []) {
    const project_id = places.get(at);
    if (project_id === undefined) continue;
    replaceRows(
      draft.protected_repositories,
      storedRepositories.get(project_id) ?? [],
      protected_repositories.map(({ at: position, ...rule }) => ({ project_id, position, ...rule })),
    );
    replaceRows(
      draft.protected_tags,
      storedTags.get(project_id) ?? [],
      protected_tags.map(({ at: position, ...rule }) => ({ project_id, position, ...rule })),
    );
  }
}
