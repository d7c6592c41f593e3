import {
  type Identity,
  identity,
  login,
  newSecret,
  type SharedPassword,
  type SqlStatement,
  statements,
  tokens,
} from './credential.ts';
import { emailOf, type Names, namesFor, type Sections } from './names.ts';
import type { Membership, Place, Situation, Target } from './situation.ts';
import { NotUnderstood } from './words/phrases.ts';
import type { Paths } from './words/request.ts';

/** The world of a row as data: the document to apply, the login, and the client's address. */
export interface World extends Identity {
  readonly sections: Sections;
  readonly settings: Situation['settings'];
  readonly statements: readonly SqlStatement[];
  readonly paths: Paths;
  readonly as: readonly [username: string, password: string] | null;
  readonly ip: string | null;
  /** The rules of the projects, which decide which claims a token may have. */
  readonly rules: { readonly hasTagRules: boolean; readonly immutablePatterns: readonly string[] };
}

const ALLOWLIST = ['10.0.0.0/8', '2001:db8:1::/48'];
const ADDRESS = { inside: '10.1.2.3', outside: '192.0.2.9' };

export function buildWorld(slug: string, situation: Situation, shared: SharedPassword): World {
  const names = namesFor(slug);
  const paths = pathsOf(situation, names);
  const { kind, secret } = situation.credential;
  const token = newSecret(kind);
  return {
    settings: situation.settings,
    sections: {
      organizations: [organization(situation, names)],
      users: [user(situation, names, shared)],
      groups: groups(situation, names),
      projects: projects(situation, names, paths),
      ...tokens(situation, names, paths, token),
    },
    statements: statements(situation, token),
    paths,
    as: kind === 'none' && secret !== 'empty' ? null : login(situation, names, token, shared),
    ip: situation.client && ADDRESS[situation.client],
    rules: {
      hasTagRules: situation.tagRules.some((rule) => !rule.immutable),
      immutablePatterns: situation.tagRules.filter((rule) => rule.immutable).map((rule) => rule.pattern),
    },
    ...identity(situation, names),
  };
}

function pathsOf(situation: Situation, { top, group, user: username }: Names): Paths {
  const { targets } = situation;
  const folder = membershipsAt(situation, 'personal_namespace').length > 0 ? username : group;
  const pathOf = (at: number) => `${folder}/${targets.length === 1 ? 'app' : `app-${at + 1}`}`;
  return { top, targets: new Map(targets.map(({ label }, at) => [label, pathOf(at)])) };
}

function membershipsAt({ memberships }: Situation, place: Place): readonly Membership[] {
  return (memberships ?? []).filter((membership) => membership.place === place);
}

/**
 * A user can have only one role at one place. The document's check would report this less clearly,
 * so report it here.
 */
function membersAt(situation: Situation, place: Place, names: Names): readonly object[] {
  const found = membershipsAt(situation, place);
  if (found.length > 1) throw new NotUnderstood(`two roles in one ${place}`, 'role_on_project');
  return found.map(({ role, expiresOn }) => ({ user: names.user, role, expires_at: expiresOn }));
}

function organization(situation: Situation, names: Names): object {
  const owners = membershipsAt(situation, 'organization').length > 0 ? [names.user] : [];
  return { path: names.organization, owners, maintenance: situation.organizationMaintenance };
}

function user({ user: facts, credential }: Situation, names: Names, { hash }: SharedPassword): object {
  const { adminModeOff: _, ...flags } = facts;
  return {
    username: names.user,
    organization: names.organization,
    ...flags,
    ...(credential.kind === 'password' && { password_hash: hash }),
    ...(credential.username === 'email' && { email: emailOf(names) }),
  };
}

function groups(situation: Situation, names: Names): readonly object[] {
  const { allowlist, ...flags } = situation.topGroup;
  const inside = { organization: names.organization };
  return [
    {
      ...inside,
      ...flags,
      path: names.top,
      ip_allowlist: allowlist ? ALLOWLIST : [],
      members: membersAt(situation, 'top_group', names),
      invited_groups: invitation(situation.groupInvites, situation, names),
    },
    { ...inside, path: names.group, members: membersAt(situation, 'group', names) },
    { ...inside, path: names.origin },
    { ...inside, path: names.friends, members: membersAt(situation, 'parent_of_invited_group', names) },
    { ...inside, path: names.invited, members: membersAt(situation, 'invited_group', names) },
  ];
}

function invitation(
  role: string | null,
  { invitationExpiresOn }: Situation,
  names: Names,
): readonly object[] {
  return role === null ? [] : [{ group: names.invited, role, expires_at: invitationExpiresOn }];
}

function projects(situation: Situation, names: Names, { targets }: Paths): readonly object[] {
  const { job, credential } = situation;
  const ownJob = { ci_enabled: job.ciEnabled, deletion_scheduled: job.deletionScheduled };
  const isOwn = credential.reach !== 'other';
  return [
    ...situation.targets.map((target) => ({
      ...aboutTarget(situation, target, names, targets.get(target.label) ?? ''),
      ...(isOwn && { ...ownJob, deletion_scheduled: job.deletionScheduled || situation.deletionScheduled }),
    })),
    // The project of jobs and tokens that belong to another project.
    {
      path: names.originProject,
      members: [{ user: names.user, role: 'developer' }],
      ...(!isOwn && ownJob),
    },
  ];
}

function aboutTarget(situation: Situation, target: Target, names: Names, path: string): object {
  const allowlists = {
    anyone: 'anyone',
    origin: [names.originProject],
    group_of_origin: [names.origin],
    nobody: [],
  };
  return {
    path,
    visibility: target.visibility,
    container_registry: target.registry,
    archived: situation.archived,
    deletion_scheduled: situation.deletionScheduled,
    members: membersAt(situation, 'project', names),
    invited_groups: invitation(situation.projectInvites, situation, names),
    job_token_allowlist: allowlists[situation.job.allowlist],
    protected_repositories: repositoryRules(situation, path),
    protected_tags: situation.tagRules.map((rule) =>
      rule.immutable
        ? { pattern: rule.pattern, immutable: true }
        : { pattern: rule.pattern, minimum_role_for_push: rule.push, minimum_role_for_delete: rule.delete },
    ),
  };
}

function repositoryRules({ repositoryRule: rule }: Situation, path: string): readonly object[] {
  if (rule === null) return [];
  const patterns = {
    project: `${path}*`,
    project_in_upper_case: `${path}*`.toUpperCase(),
    blocked_repository: `${path}/blocked*`,
    nothing: `${path}/elsewhere*`,
  };
  return [
    {
      pattern: patterns[rule.matches],
      minimum_role_for_push: rule.push,
      minimum_role_for_delete: rule.delete,
    },
  ];
}
