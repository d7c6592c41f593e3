import { type DialectName, dialectOf } from './dialect.ts';
import type { Circumstances, Project, RepositoryRule } from './project.ts';
import { type Action, CHANGES, PULLS_INTERNAL_AS_EXTERNAL, PULLS_PRIVATE } from './role.ts';
import type { ResourceScope } from './scope.ts';
import type { Standing } from './standing.ts';
import type { Person, Subject } from './subject.ts';

/** `forbid` refuses the whole request, where GitLab answers 403 instead of granting less. */
export type Verdict = 'grant' | 'refuse' | 'forbid';

/** The names of the rules. */
export type RuleId =
  | 'registry_scope'
  | 'project_unknown'
  | 'registry_disabled'
  | 'credential_ability'
  | 'namespace_ban'
  | 'ip_allowlist'
  | 'maintenance'
  | 'project_state'
  | 'open_to_everyone'
  | 'open_to_users'
  | 'auditor'
  | 'role'
  | 'deploy_token_reach'
  | 'job_own_project'
  | 'job_push'
  | 'job_elsewhere'
  | 'protected_repository'
  | 'storage_limit'
  | 'unlisted_repository'
  | 'not_public'
  | 'allowed';

/** One action that was asked for, with the facts for the decision. */
export interface Case {
  readonly subject: Subject;
  readonly scope: ResourceScope;
  readonly action: Action;
  readonly project: Project | null;
  readonly standing: Standing;
  readonly circumstances: Circumstances;
  readonly blockingRule: RepositoryRule | null;
}

export type ProjectCase = Case & { readonly project: Project };

interface Rule {
  readonly id: RuleId;
  /** Set: it is a rule for facts of this dialect alone. */
  readonly only?: DialectName;
  /** Undefined: the rule doesn't apply, and the next rule decides. */
  decide(asked: ProjectCase): Verdict | undefined;
}

const registryDisabled: Rule = {
  id: 'registry_disabled',
  decide: ({ project }) => (project.registryAccess === 'disabled' ? 'refuse' : undefined),
};

const credentialAbility: Rule = {
  id: 'credential_ability',
  decide: ({ subject, action }) => (subject.abilities.has(action) ? undefined : 'refuse'),
};

/** A user whom the root group has banned gets nothing there; no group can ban an admin. */
const namespaceBan: Rule = {
  id: 'namespace_ban',
  only: 'gitlab',
  decide: ({ project, standing }) =>
    project.bannedFrom !== undefined && standing.person?.admin !== true ? 'refuse' : undefined,
};

/** The client address must be in the allowlist of every group above the project. */
const ipAllowlist: Rule = {
  id: 'ip_allowlist',
  decide: (asked) => {
    if (isExemptFromAllowlists(asked)) return undefined;
    const { clientAddress } = asked.circumstances;
    const isInside = asked.project.ipAllowlists.every(({ ranges }) =>
      ranges.some((range) => clientAddress.isIn(range)),
    );
    return isInside ? undefined : 'refuse';
  },
};

const maintenance: Rule = {
  id: 'maintenance',
  decide: ({ action, project, circumstances }) =>
    action !== 'pull' && (circumstances.instance.maintenanceMode || project.maintainedOrganization !== null)
      ? 'refuse'
      : undefined,
};

const projectState: Rule = {
  id: 'project_state',
  decide: ({ action, project }) =>
    action !== 'pull' && (project.archivedBy !== null || project.deletionScheduled) ? 'refuse' : undefined,
};

const openToEveryone: Rule = {
  id: 'open_to_everyone',
  decide: ({ action, project }) => (action === 'pull' && isOpen(project, 'public') ? 'grant' : undefined),
};

const openToUsers: Rule = {
  id: 'open_to_users',
  decide: ({ action, project, standing }) =>
    action === 'pull' && isOpen(project, 'internal') && isInternal(standing) ? 'grant' : undefined,
};

const auditor: Rule = {
  id: 'auditor',
  decide: ({ action, standing }) =>
    action === 'pull' && standing.person?.auditor === true ? 'grant' : undefined,
};

/** Grants pull. A change that the role allows must still pass the rules for protection. */
const role: Rule = {
  id: 'role',
  decide: ({ action, standing }) => {
    if (standing.role === null) return 'refuse';
    if (action === 'pull') return PULLS_PRIVATE[standing.role] ? 'grant' : 'refuse';
    return CHANGES[standing.role][action] ? undefined : 'refuse';
  },
};

const deployTokenReach: Rule = {
  id: 'deploy_token_reach',
  decide: ({ action, project, circumstances }) => {
    if (project.ownDeployToken) return action === 'pull' ? 'grant' : undefined;
    const { deployTokenPullsInternal } = dialectOf(circumstances.instance);
    const open = isOpen(project, 'public') || (deployTokenPullsInternal && isOpen(project, 'internal'));
    return action === 'pull' && open ? 'grant' : 'refuse';
  },
};

const jobOwnProject: Rule = {
  id: 'job_own_project',
  decide: (asked) => (isOwnJob(asked) && asked.action !== 'push' ? 'grant' : undefined),
};

/**
 * GitLab checks the push of a job against the job's user, and fails the request instead of granting
 * less.
 */
const jobPush: Rule = {
  id: 'job_push',
  decide: (asked) => {
    if (!isOwnJob(asked)) return undefined;
    const mayPush = asked.standing.role !== null && CHANGES[asked.standing.role].push;
    return mayPush && asked.project.archivedBy === null ? undefined : 'forbid';
  },
};

const jobElsewhere: Rule = {
  id: 'job_elsewhere',
  decide: (asked) => {
    if (isOwnJob(asked)) return undefined;
    const { action, project, standing } = asked;
    if (action !== 'pull' || standing.person === null) return 'refuse';
    const isLetIn =
      project.jobAccess === 'not_listed' ? isOpenToPerson(project, standing.person) : mayPull(asked);
    return isLetIn ? 'grant' : 'refuse';
  },
};

const protectedRepository: Rule = {
  id: 'protected_repository',
  decide: ({ action, blockingRule }) =>
    blockingRule !== null && (action === 'push' || action === '*') ? 'forbid' : undefined,
};

const storageLimit: Rule = {
  id: 'storage_limit',
  decide: ({ action, project }) =>
    action === 'push' && project.overStorageLimit !== null ? 'forbid' : undefined,
};

/**
 * An image that GitLab does not list can be neither cleaned up nor deleted, so that a push makes
 * one only where it can be listed.
 */
const unlistedRepository: Rule = {
  id: 'unlisted_repository',
  only: 'gitlab',
  decide: ({ action, project, scope, circumstances }) => {
    const { knownRepositories } = project;
    if (action !== 'push' || knownRepositories === undefined) return undefined;
    const isListed = knownRepositories.includes(scope.name);
    return circumstances.instance.listIsClosed === true && !isListed ? 'forbid' : undefined;
  },
};

const notPublic: Rule = { id: 'not_public', decide: () => 'refuse' };
const allowed: Rule = { id: 'allowed', decide: () => 'grant' };

/** The rules for a project, in their order. The last rule of each list always decides. */
export const RULES: Record<Subject['kind'], readonly Rule[]> = {
  anonymous: [registryDisabled, credentialAbility, ipAllowlist, openToEveryone, notPublic],
  user: [
    registryDisabled,
    credentialAbility,
    ipAllowlist,
    namespaceBan,
    maintenance,
    projectState,
    openToEveryone,
    openToUsers,
    auditor,
    role,
    protectedRepository,
    storageLimit,
    unlistedRepository,
    allowed,
  ],
  deploy_token: [
    registryDisabled,
    credentialAbility,
    ipAllowlist,
    maintenance,
    projectState,
    deployTokenReach,
    protectedRepository,
    storageLimit,
    unlistedRepository,
    allowed,
  ],
  job: [
    registryDisabled,
    credentialAbility,
    ipAllowlist,
    namespaceBan,
    maintenance,
    jobElsewhere,
    jobOwnProject,
    jobPush,
    protectedRepository,
    storageLimit,
    unlistedRepository,
    allowed,
  ],
};

function counts({ only }: Rule, { circumstances }: Case): boolean {
  return only === undefined || only === circumstances.instance.dialect;
}

/** The first verdict decides. */
export function judge(asked: Case): { readonly verdict: Verdict; readonly rule: RuleId } {
  if (asked.scope.type === 'registry') return { verdict: judgeRegistryScope(asked), rule: 'registry_scope' };
  if (asked.project === null) return { verdict: 'refuse', rule: 'project_unknown' };
  const onProject = { ...asked, project: asked.project };
  for (const rule of RULES[asked.subject.kind]) {
    if (!counts(rule, asked)) continue;
    const { id, decide } = rule;
    const verdict = decide(onProject);
    if (verdict !== undefined) return { verdict, rule: id };
  }
  throw new Error('the last rule of each list decides');
}

/** One rule and its verdict. Null: the rule didn't apply. */
export interface RuleLookedAt {
  readonly rule: RuleId;
  readonly verdict: Verdict | null;
}

/** The verdicts of all rules, also of those after the deciding rule, for `explain`. */
export function askAllRules(asked: Case): readonly RuleLookedAt[] {
  const { project } = asked;
  if (project === null || asked.scope.type === 'registry') return [judge(asked)];
  return RULES[asked.subject.kind]
    .filter((rule) => counts(rule, asked))
    .map(({ id, decide }) => ({
      rule: id,
      verdict: decide({ ...asked, project }) ?? null,
    }));
}

/**
 * `registry:catalog:*` and the like: only for an admin who asks for exactly `*`, with a credential
 * that allows every action; see `Dialect`.
 */
function judgeRegistryScope({ subject, scope, circumstances }: Case): Verdict {
  const asksAll = scope.actions.length === 1 && scope.actions[0] === '*';
  if (subject.kind !== 'user' || !subject.person.admin || !asksAll) return 'refuse';
  const { adminFlagOpensRegistry } = dialectOf(circumstances.instance);
  return adminFlagOpensRegistry || subject.abilities.has('*') ? 'grant' : 'refuse';
}

function isOpen(project: Project, visibility: 'public' | 'internal'): boolean {
  return project.visibility === visibility && project.registryAccess === 'enabled';
}

/** External users have no access to an internal project without a membership. */
function isInternal({ person, role }: Standing): boolean {
  return person?.external !== true || (role !== null && PULLS_INTERNAL_AS_EXTERNAL[role]);
}

/** Whether a job may pull from a project whose allowlist doesn't name the job's project. */
function isOpenToPerson(project: Project, person: Person): boolean {
  return isOpen(project, 'public') || (isOpen(project, 'internal') && !person.external);
}

/** Whether the user of a job could pull, by the rules for users. */
export function mayPull(asked: ProjectCase): boolean {
  const verdict = [openToEveryone, openToUsers, auditor, role].map((rule) => rule.decide(asked));
  return verdict.includes('grant');
}

function isOwnJob({ subject, project }: ProjectCase): boolean {
  return subject.kind === 'job' && subject.projectId === project.id;
}

function isExemptFromAllowlists(asked: ProjectCase): boolean {
  const { subject, standing } = asked;
  if (subject.kind === 'user') return standing.admin || subject.person.auditor;
  return isOwnJob(asked);
}
