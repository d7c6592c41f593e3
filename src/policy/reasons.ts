import {
  abilityNeed,
  abilityRule,
  andList,
  describeCredential,
  describeOpenness,
  describeStanding,
  orList,
  orMore,
  rolesThat,
} from './descriptions.ts';
import { dialectOf } from './dialect.ts';
import type { Ruling } from './grant.ts';
import type { Circumstances, Project, RepositoryRule } from './project.ts';
import { blocksPush } from './protection.ts';
import { CHANGES, isAbove, type MinimumRole } from './role.ts';
import { mayPull, type RuleId } from './rules.ts';
import { projectPaths } from './scope.ts';
import { subjectName } from './subject.ts';

/** The verdict of the rule in one sentence, with the facts behind it. */
export function reasonOf(ruling: Ruling): string {
  return wordsFor(ruling).reason();
}

/** What would have to change so that this rule no longer refuses. */
export function needOf(ruling: Ruling): string {
  return wordsFor(ruling).need();
}

function wordsFor(ruling: Ruling): { reason(): string; need(): string } {
  const { rule, project } = ruling;
  if (rule === 'registry_scope' || rule === 'project_unknown') {
    const words = WORDS_WITHOUT_PROJECT[rule];
    return { reason: () => words.reason(ruling), need: () => words.need(ruling) };
  }
  if (project === null) throw new Error(`the rule ${rule} needs a project`);
  const words = WORDS[rule];
  return { reason: () => words.reason(ruling, project), need: () => words.need(ruling, project) };
}

type RuleWithoutProject = 'registry_scope' | 'project_unknown';

const WORDS_WITHOUT_PROJECT: Record<
  RuleWithoutProject,
  { reason(ruling: Ruling): string; need(ruling: Ruling): string }
> = {
  registry_scope: {
    reason: ({ verdict, scope, circumstances }) => {
      const { adminFlagOpensRegistry } = dialectOf(circumstances.instance);
      return verdict === 'grant'
        ? `an admin asks for exactly * on ${scope.name}${adminFlagOpensRegistry ? '' : ', with a credential that allows every action'}`
        : `registry:${scope.name} is only for admins who ask for exactly *${adminFlagOpensRegistry ? '' : ', with a password or a token with the scope api'}`;
    },
    need: ({ circumstances }) =>
      dialectOf(circumstances.instance).adminFlagOpensRegistry
        ? "an admin's credentials, and * as the only action"
        : "an admin's password, or an admin's token with the scope api, and * as the only action",
  },
  project_unknown: {
    reason: ({ scope }) => `there is no project at ${orList(projectPaths(scope.name))}`,
    need: ({ scope }) => `a project at ${orList(projectPaths(scope.name))}`,
  },
};

interface Words {
  reason(ruling: Ruling, project: Project): string;
  need(ruling: Ruling, project: Project): string;
}

/** A rule that can only grant needs nothing. */
const nothing = (): string => 'nothing';

const WORDS: Record<Exclude<RuleId, RuleWithoutProject>, Words> = {
  registry_disabled: {
    reason: (_, { path }) => `the container registry of ${path} is disabled`,
    need: (_, { path }) => `container_registry: enabled on ${path}`,
  },
  credential_ability: {
    reason: ({ subject, action }) =>
      `${describeCredential(subject)}; ${action} ${abilityRule(subject, action)}`,
    need: ({ subject, action }) => abilityNeed(subject, action),
  },
  namespace_ban: {
    reason: ({ subject }, { bannedFrom }) => `group ${bannedFrom} has banned ${subjectName(subject)}`,
    need: ({ subject }, { bannedFrom }) => `${subjectName(subject)} not banned from group ${bannedFrom}`,
  },
  ip_allowlist: {
    reason: ({ circumstances }, project) => {
      const lists = closedLists(circumstances, project).map(
        ({ group, ranges }) => `group ${group} (${ranges.join(', ')})`,
      );
      return `${circumstances.clientAddress.text || 'an unknown address'} is outside the IP allowlist of ${andList(lists)}`;
    },
    need: ({ circumstances }, project) => {
      const groups = closedLists(circumstances, project).map(({ group }) => `group ${group}`);
      return `a client address inside the IP allowlist of ${andList(groups)}`;
    },
  },
  maintenance: {
    reason: ({ circumstances }, project) =>
      `maintenance of ${maintained(circumstances, project)} allows only pull`,
    need: ({ circumstances }, project) =>
      `the end of the maintenance of ${maintained(circumstances, project)}`,
  },
  project_state: {
    reason: (_, project) => `${stateOf(project, 'is ')}, which allows only pull`,
    need: (_, project) => stateOf(project, 'not '),
  },
  open_to_everyone: { reason: (_, { path }) => `${path} is public`, need: nothing },
  open_to_users: {
    reason: (ruling, project) =>
      ruling.standing.person?.external === true
        ? `${project.path} is internal; ${describeStanding(ruling, project)}`
        : `${project.path} is internal, and ${subjectName(ruling.subject)} isn't an external user`,
    need: nothing,
  },
  auditor: { reason: ({ subject }) => `${subjectName(subject)} is an auditor`, need: nothing },
  role: {
    reason: (ruling, project) =>
      `${describeStanding(ruling, project)}; ${ruling.action} needs ${rolesThat(ruling, project)}`,
    need: (ruling, project) => `the role ${rolesThat(ruling, project)} on ${project.path}`,
  },
  deploy_token_reach: {
    reason: ({ verdict, circumstances }, { path, ownDeployToken, visibility }) => {
      if (ownDeployToken) return `the deploy token belongs to ${path} or a group above it`;
      const other = `the deploy token belongs neither to ${path} nor to a group above it`;
      if (verdict === 'grant') return `${other}, but ${path} is ${visibility}`;
      const { deployTokenPullsInternal } = dialectOf(circumstances.instance);
      const open = deployTokenPullsInternal ? 'public and internal' : 'public';
      return `${other}; elsewhere it can only pull from ${open} projects`;
    },
    need: (_, { path }) => `a deploy token of ${path} or of a group above it`,
  },
  job_own_project: { reason: (_, { path }) => `the job runs in ${path}`, need: nothing },
  job_push: {
    reason: (ruling, project) =>
      [
        ...when(project.archivedBy !== null, `${project.archivedBy} is archived, so no job can push`),
        ...when(
          !mayPush(ruling),
          `${describeStanding(ruling, project)}; a job can push only if its user can`,
        ),
      ].join('; '),
    need: (ruling, project) =>
      andList([
        ...when(project.archivedBy !== null, `${project.archivedBy} not archived`),
        ...when(!mayPush(ruling), `a job whose user is ${rolesThat(ruling, project)} on ${project.path}`),
      ]),
  },
  job_elsewhere: { reason: whyJobElsewhere, need: jobNeed },
  protected_repository: {
    reason: (ruling, project) => {
      const patterns = blockingRules(ruling, project).map(({ pattern }) => pattern);
      const by = `the repository is protected by pattern${patterns.length > 1 ? 's' : ''} ${andList(patterns)}`;
      return ruling.subject.kind === 'deploy_token'
        ? `${by}, so no deploy token can push`
        : `${by}, push needs ${orMore(minimumOf(ruling, project))}; ${describeStanding(ruling, project)}`;
    },
    need: (ruling, project) => {
      const minimum = orMore(minimumOf(ruling, project));
      const credentials =
        ruling.subject.kind === 'deploy_token'
          ? `a user who is ${minimum} instead of a deploy token`
          : minimum;
      return `${credentials}, or another rule on ${project.path}`;
    },
  },
  storage_limit: {
    reason: (_, { overStorageLimit }) => `root group ${overStorageLimit} is over its storage limit`,
    need: (_, { overStorageLimit }) => `root group ${overStorageLimit} within its storage limit`,
  },
  unlisted_repository: {
    reason: ({ scope }) =>
      `GitLab does not list ${scope.name} yet, and this server has no role that may add it`,
    need: ({ scope }) =>
      `CELLPASS_GITLAB_WRITE_DATABASE_URL with a role that may list new repositories, or ${scope.name} listed in GitLab`,
  },
  not_public: {
    reason: ({ action }, project) =>
      `${action === 'pull' ? `${describeOpenness(project)}; ` : ''}anonymous clients can only pull from public projects`,
    need: (ruling, project) => {
      const user = `credentials of a user who is ${rolesThat(ruling, project)} on ${project.path}`;
      return ruling.action === 'pull' ? `${user}, or ${project.path} public with its registry enabled` : user;
    },
  },
  allowed: {
    reason: (ruling, project) =>
      ruling.subject.kind === 'deploy_token'
        ? `${describeCredential(ruling.subject)}, which may ${ruling.action}`
        : `${describeStanding(ruling, project)}, who may ${ruling.action}`,
    need: nothing,
  },
};

function when(is: boolean, text: string): readonly string[] {
  return is ? [text] : [];
}

function closedLists({ clientAddress }: Circumstances, project: Project): Project['ipAllowlists'] {
  return project.ipAllowlists.filter(({ ranges }) => !ranges.some((range) => clientAddress.isIn(range)));
}

function maintained({ instance }: Circumstances, { maintainedOrganization }: Project): string {
  return andList([
    ...when(instance.maintenanceMode, 'the instance'),
    ...when(maintainedOrganization !== null, `organization ${maintainedOrganization}`),
  ]);
}

function stateOf({ path, archivedBy, deletionScheduled }: Project, is: 'is ' | 'not '): string {
  return andList([
    ...when(archivedBy !== null, `${archivedBy} ${is}archived`),
    ...when(deletionScheduled, `${path} ${is}scheduled for deletion`),
  ]);
}

function mayPush({ standing: { role } }: Ruling): boolean {
  return role !== null && CHANGES[role].push;
}

function blockingRules({ subject, standing, scope }: Ruling, project: Project): readonly RepositoryRule[] {
  return project.protectedRepositories.filter((rule) => blocksPush(rule, subject, standing, scope.name));
}

/**
 * The highest minimum of all blocking rules. A rule without one blocks only deploy tokens: everyone
 * who can push passes it.
 */
function minimumOf(ruling: Ruling, project: Project): MinimumRole {
  return blockingRules(ruling, project)
    .map((rule) => rule.minimumRoleForPush ?? 'developer')
    .reduce((highest, minimum) => (isAbove(highest, minimum) ? highest : minimum));
}

function whyJobElsewhere(ruling: Ruling, project: Project): string {
  const { action, verdict, standing } = ruling;
  const own = jobProject(ruling);
  if (action !== 'pull') return `a job of ${own} can only pull from other projects`;
  if (standing.person === null) return 'a job without a user has no access to other projects';
  if (project.jobAccess === 'not_listed') {
    const listed = `${project.path} doesn't list ${own} in its job token allowlist`;
    return verdict === 'grant'
      ? `${listed}, but is ${project.visibility}`
      : `${listed}, and ${describeOpenness(project)}${standing.person.external ? ' (its user is external)' : ''}`;
  }
  const listed =
    project.jobAccess === 'listed'
      ? `${project.path} lists ${own} in its job token allowlist`
      : `${project.path} allows jobs of every project`;
  return verdict === 'grant'
    ? `${listed}, and its user may pull`
    : `${listed}, but its user may not pull: ${describeStanding(ruling, project)}`;
}

function jobNeed(ruling: Ruling, project: Project): string {
  const { action, standing } = ruling;
  const { path, jobAccess } = project;
  if (action === 'push') return `a job of ${path} itself, whose user is ${rolesThat(ruling, project)}`;
  if (action !== 'pull') return `a job of ${path} itself`;
  if (standing.person === null) return 'a job with a user';
  return andList([
    ...when(
      jobAccess === 'not_listed',
      `${jobProject(ruling)}, or a group above it, in the job token allowlist of ${path}`,
    ),
    ...when(!mayPull({ ...ruling, project }), `a job whose user is ${rolesThat(ruling, project)} on ${path}`),
  ]);
}

function jobProject({ subject }: Ruling): string {
  return subject.kind === 'job' ? subject.projectPath : '';
}
