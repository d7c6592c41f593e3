import type { Ruling } from './grant.ts';
import type { Membership, Project } from './project.ts';
import {
  type Action,
  CHANGES,
  type MinimumRole,
  PULLS_INTERNAL_AS_EXTERNAL,
  PULLS_PRIVATE,
  ROLES,
  type Role,
} from './role.ts';
import type { RuleId } from './rules.ts';
import { projectPaths } from './scope.ts';
import { roleOf, whyNotCounted } from './standing.ts';
import { type Subject, subjectName } from './subject.ts';

/** The rule's verdict in one sentence, with the facts that it rests on. */
export function reasonOf(ruling: Ruling): string {
  return WORDS[ruling.rule].reason(ruling, projectOf(ruling));
}

/** What would have to change for this rule not to stand in the way. */
export function needOf(ruling: Ruling): string {
  return WORDS[ruling.rule].need(ruling, projectOf(ruling));
}

interface Words {
  reason(ruling: Ruling, project: Project): string;
  need(ruling: Ruling, project: Project): string;
}

const WORDS: Record<RuleId, Words> = {
  registry_scope: {
    reason: ({ verdict, scope }) =>
      verdict === 'grant'
        ? `an admin asks exactly * of ${scope.name}, with a credential that can do everything`
        : `registry:${scope.name} is for admins who ask exactly * with a password or a token that has the scope api`,
    need: () => "an admin's password, or an admin's token with the scope api, and * as the only action",
  },
  project_unknown: {
    reason: ({ scope }) => `there is no project at ${orList(projectPaths(scope.name))}`,
    need: ({ scope }) => `a project at ${orList(projectPaths(scope.name))}`,
  },
  registry_disabled: {
    reason: (_, { path }) => `the container registry of ${path} is disabled`,
    need: (_, { path }) => `container_registry: enabled on ${path}`,
  },
  credential_ability: {
    reason: ({ subject, action }) =>
      `${describeCredential(subject)}; ${action} ${abilityRule(subject, action)}`,
    need: ({ subject, action }) => abilityNeed(subject, action),
  },
  ip_allowlist: {
    reason: ({ circumstances }, project) =>
      `${circumstances.clientAddress.text || 'an unknown address'} is outside the IP allowlist of ${andList(
        closedLists(project, circumstances.clientAddress).map(
          ({ group, ranges }) => `group ${group} (${ranges.join(', ')})`,
        ),
      )}`,
    need: ({ circumstances }, project) =>
      `a client address inside the IP allowlist of ${andList(
        closedLists(project, circumstances.clientAddress).map(({ group }) => `group ${group}`),
      )}`,
  },
  maintenance: {
    reason: ({ circumstances }, project) =>
      `${maintained(circumstances.instance.maintenanceMode, project)} is in maintenance: pull only`,
    need: ({ circumstances }, project) =>
      `the end of the maintenance of ${maintained(circumstances.instance.maintenanceMode, project)}`,
  },
  project_state: {
    reason: (_, { path, archivedBy }) =>
      archivedBy === null
        ? `${path} is scheduled for deletion: pull only`
        : `${archivedBy} is archived: pull only`,
    need: (_, { path, archivedBy }) =>
      archivedBy === null ? `${path} no longer scheduled for deletion` : `${archivedBy} not archived`,
  },
  open_to_everyone: {
    reason: (_, { path }) => `${path} is public`,
    need: (_, { path }) => `${path} public`,
  },
  open_to_users: {
    reason: (ruling, { path }) =>
      ruling.standing.person?.external === true
        ? `${path} is internal; ${describeStanding(ruling)}`
        : `${path} is internal, and ${who(ruling)} is a user who isn't external`,
    need: (_, { path }) => `${path} internal`,
  },
  auditor: {
    reason: (ruling) => `${who(ruling)} is an auditor`,
    need: (ruling) => `${who(ruling)} an auditor`,
  },
  role: {
    reason: (ruling) => `${describeStanding(ruling)}; ${ruling.action} ${roleNeed(ruling)}`,
    need: (ruling, { path }) => `${rolesThat(ruling)} on ${path}; ${describeStanding(ruling)}`,
  },
  deploy_token_reach: {
    reason: ({ verdict }, project) => {
      if (project.ownDeployToken) return `the deploy token was made for ${project.path} or a group above it`;
      const other = `the deploy token was made neither for ${project.path} nor for a group above it`;
      return verdict === 'grant'
        ? `${other}, but the project is public`
        : `${other}: it gets what everybody gets`;
    },
    need: (_, { path }) => `a deploy token of ${path}, or of a group above it`,
  },
  job_own_project: {
    reason: (_, { path }) => `the job runs in ${path}`,
    need: (_, { path }) => `a job of ${path}`,
  },
  job_push: {
    reason: (ruling, { archivedBy }) => {
      if (archivedBy !== null) return `${archivedBy} is archived: its jobs don't push`;
      return ruling.standing.person === null
        ? 'the job has no user, and a push is checked against the user'
        : `${describeStanding(ruling)}; a job's push needs a user who is ${rolesThat(ruling)}`;
    },
    need: (ruling, { archivedBy, path }) =>
      archivedBy === null
        ? `a job whose user is ${rolesThat(ruling)} on ${path}`
        : `${archivedBy} not archived`,
  },
  job_elsewhere: {
    reason: (ruling, project) => whyJobElsewhere(ruling, project),
    need: (ruling, project) => jobNeed(ruling, project),
  },
  protected_repository: {
    reason: (ruling) => {
      const { blockingRule, subject } = ruling;
      if (subject.kind === 'deploy_token') {
        return `protected by pattern ${blockingRule?.pattern}, which no deploy token may push to`;
      }
      return `protected by pattern ${blockingRule?.pattern}, needs ${minimumOf(ruling)}; ${describeStanding(ruling)}`;
    },
    need: (ruling, { path }) =>
      ruling.subject.kind === 'deploy_token'
        ? `a user who is ${minimumOf(ruling)} on ${path} instead of a deploy token, or another rule`
        : `${minimumOf(ruling)} on ${path}, or another rule`,
  },
  storage_limit: {
    reason: (_, { overStorageLimit }) => `root group ${overStorageLimit} is over its storage limit`,
    need: (_, { overStorageLimit }) => `root group ${overStorageLimit} within its storage limit`,
  },
  not_public: {
    reason: (_, project) => `${describeOpenness(project)}; nobody in particular only pulls what is public`,
    need: (_, { path }) => `credentials, or ${path} public with its registry enabled`,
  },
  allowed: {
    reason: (ruling) => {
      const { subject, action } = ruling;
      return subject.kind === 'deploy_token'
        ? describeCredential(subject)
        : `${describeStanding(ruling)}, who may ${action}`;
    },
    need: () => 'nothing more',
  },
};

/** Rules about a project are asked only where there is one; the others don't look at it. */
function projectOf({ project }: Ruling): Project {
  return project ?? NO_PROJECT;
}

const NO_PROJECT: Project = {
  id: 0,
  path: '',
  rootNamespaceId: 0,
  organizationId: 0,
  visibility: 'private',
  registryAccess: 'disabled',
  archivedBy: null,
  deletionScheduled: false,
  maintainedOrganization: null,
  overStorageLimit: null,
  shareLockedBy: null,
  ipAllowlists: [],
  protectedRepositories: [],
  protectedTags: [],
  memberships: [],
  ownDeployToken: false,
  jobAccess: 'not_listed',
};

function who({ standing, subject }: Ruling): string {
  return standing.person?.username ?? (subjectName(subject) || 'nobody');
}

/** "alice is developer through group acme/platform, inherited from acme", or why there is no role. */
function describeStanding(ruling: Ruling): string {
  const { standing } = ruling;
  const name = who(ruling);
  if (standing.admin) return `${name} is owner as an admin`;
  if (standing.role === null || standing.membership === null)
    return `${name} has no role${uncounted(ruling)}`;
  return `${name} is ${standing.role} ${describeMembership(standing.membership, projectOf(ruling))}`;
}

function describeMembership(membership: Membership, project: Project): string {
  const { via, path, invitation, role } = membership;
  switch (via) {
    case 'project':
      return `as a member of ${path}`;
    case 'group':
      return `through group ${parentOf(project)}${path === parentOf(project) ? '' : `, inherited from ${path}`}`;
    case 'personal_namespace':
      return `of the personal namespace ${path}`;
    case 'organization':
      return `of organization ${path}`;
    default:
      return `through group ${invitation?.group} (${role} there), invited to ${path} as ${invitation?.role}`;
  }
}

/** Memberships that would have given a role, were they not over or locked. */
function uncounted({ project, circumstances }: Ruling): string {
  if (project === null) return '';
  const reasons = project.memberships.flatMap((membership) => {
    const why = whyNotCounted(membership, project, circumstances.now);
    if (why === null) return [];
    const was = `${roleOf(membership)} ${describeMembership(membership, project)}`;
    return [why === 'expired' ? `${was} expired` : `${was} is locked out by ${project.shareLockedBy}`];
  });
  return reasons.length === 0 ? '' : ` (${reasons.join('; ')})`;
}

function parentOf({ path }: Project): string {
  return path.slice(0, path.lastIndexOf('/'));
}

function describeCredential(subject: Subject): string {
  switch (subject.kind) {
    case 'anonymous':
      return 'no credentials';
    case 'job':
      return 'a CI job token';
    case 'deploy_token':
      return `deploy token scopes ${subject.tokenScopes.join(', ') || '(none)'}`;
    case 'user':
      return subject.tokenScopes === null
        ? 'a password'
        : `token scopes ${subject.tokenScopes.join(', ') || '(none)'}`;
  }
}

const TOKEN_SCOPES_FOR: Record<Action, string> = {
  pull: 'read_registry, read_api or api',
  push: 'write_registry or api',
  delete: 'api',
  '*': 'api',
};

const DEPLOY_TOKEN_SCOPES_FOR: Record<Action, string | null> = {
  pull: 'read_registry',
  push: 'write_registry',
  delete: null,
  '*': null,
};

function abilityRule(subject: Subject, action: Action): string {
  if (subject.kind === 'anonymous') return 'needs credentials';
  if (subject.kind === 'job') return 'is never granted to jobs';
  const scopes = subject.kind === 'user' ? TOKEN_SCOPES_FOR[action] : DEPLOY_TOKEN_SCOPES_FOR[action];
  return scopes === null ? 'is never granted to deploy tokens' : `needs ${scopes}`;
}

function abilityNeed(subject: Subject, action: Action): string {
  if (subject.kind === 'deploy_token') {
    const scope = DEPLOY_TOKEN_SCOPES_FOR[action];
    if (scope !== null) return `a deploy token with the scope ${scope}`;
  }
  return `a password, or an access token with the scope ${TOKEN_SCOPES_FOR[action]}`;
}

function roleNeed(ruling: Ruling): string {
  return `needs ${rolesThat(ruling)}`;
}

/** The least role that the tables let do this, and the ones above it. */
function rolesThat({ action, project, standing }: Ruling): string {
  const external =
    standing.person?.external === true && project !== null && project.visibility === 'internal';
  const pulls = external && project.registryAccess === 'enabled' ? PULLS_INTERNAL_AS_EXTERNAL : PULLS_PRIVATE;
  const may = (role: Role): boolean => (action === 'pull' ? pulls[role] : CHANGES[role][action]);
  return orMore(ROLES.find(may) ?? 'owner');
}

function orMore(role: MinimumRole): string {
  return role === 'admin' ? 'an admin' : role === 'owner' ? 'owner' : `${role} or more`;
}

function minimumOf({ blockingRule }: Ruling): string {
  return orMore(blockingRule?.minimumRoleForPush ?? 'admin');
}

type Address = Ruling['circumstances']['clientAddress'];

function closedLists(project: Project, address: Address): Project['ipAllowlists'] {
  return project.ipAllowlists.filter(({ ranges }) => !ranges.some((range) => address.isIn(range)));
}

function maintained(instance: boolean, { maintainedOrganization }: Project): string {
  return instance ? 'the instance' : `organization ${maintainedOrganization}`;
}

function describeOpenness({ path, visibility, registryAccess }: Project): string {
  return visibility === 'public' && registryAccess === 'private'
    ? `the registry of ${path} is for members only`
    : `${path} is ${visibility}`;
}

function whyJobElsewhere(ruling: Ruling, project: Project): string {
  const { subject, action, verdict, standing } = ruling;
  const own = subject.kind === 'job' ? subject.projectPath : '';
  if (action !== 'pull') return `a job of ${own} only pulls from other projects`;
  if (standing.person === null) return 'a job without a user gets nothing of other projects';
  const listed = {
    listed: `${project.path} lists ${own} in its job token allowlist`,
    anyone: `${project.path} lets in jobs of every project`,
    not_listed: `${project.path} doesn't list ${own} in its job token allowlist`,
  }[project.jobAccess];
  if (project.jobAccess === 'not_listed') {
    return verdict === 'grant'
      ? `${listed}, but is ${project.visibility}`
      : `${listed}, and ${describeOpenness(project)}`;
  }
  return `${listed}; ${verdict === 'grant' ? 'its user could pull' : `its user could not pull: ${describeStanding(ruling)}`}`;
}

function jobNeed(ruling: Ruling, { path, jobAccess }: Project): string {
  const { subject, action, standing } = ruling;
  const own = subject.kind === 'job' ? subject.projectPath : '';
  if (action !== 'pull') return `a job of ${path} itself`;
  if (standing.person === null) return 'a job with a user';
  return jobAccess === 'not_listed'
    ? `${own}, or a group above it, in the job token allowlist of ${path}`
    : `a user who is ${rolesThat(ruling)} on ${path}`;
}

function orList(items: readonly string[]): string {
  return joinWith(items, 'or');
}

function andList(items: readonly string[]): string {
  return joinWith(items, 'and');
}

function joinWith(items: readonly string[], word: string): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${word} ${items.at(-1)}`;
}
