import type { Circumstances, Project } from './project.ts';
import {
  findBlockingRule,
  type TagDenyPatterns,
  tagDenyPatterns,
  tagImmutablePatterns,
} from './protection.ts';
import type { Action } from './role.ts';
import { type Case, judge, type RuleId, type Verdict } from './rules.ts';
import { projectPaths, type ResourceScope } from './scope.ts';
import { findStanding, NO_STANDING, type Standing } from './standing.ts';
import { personOf, type Subject } from './subject.ts';

/** The claim `meta`, with the types that GitLab's registry expects (GitLab's `access_metadata`). */
interface AccessMeta {
  readonly project_path: string;
  readonly project_id: number;
  readonly root_namespace_id: number;
  readonly organization_id: number;
  readonly tag_deny_access_patterns?: TagDenyPatterns;
  readonly tag_immutable_patterns?: readonly string[];
}

/** One member of the claim `access`. */
export interface AccessEntry {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly Action[];
  readonly meta?: AccessMeta;
}

/** The decision about one action, with its input. */
export interface Ruling extends Case {
  readonly verdict: Verdict;
  /** The rule that decided. */
  readonly rule: RuleId;
}

/** Why a request is refused as a whole. */
export type Denial =
  | { readonly reason: 'no_registry_ability' }
  | { readonly reason: 'nothing_for_anonymous' }
  | { readonly reason: 'forbidden_push'; readonly ruling: Ruling };

export interface Decision {
  readonly access: readonly AccessEntry[];
  /** Null: answer with `access`, even if it is empty. A denial is a value, not an error. */
  readonly denial: Denial | null;
  /** One for each scope and action, in the order asked. */
  readonly rulings: readonly Ruling[];
  /**
   * When the first membership behind the access ends. A token must not live longer. Null: never.
   */
  readonly validUntil: Date | null;
}

/**
 * Decides what a subject may do: grants the actions that were asked for, except those that the
 * credential, the project's settings, the role or the state refuse. Pure, so that `explain` and the
 * token endpoint always agree.
 */
export function grantAccess(
  subject: Subject,
  scopes: readonly ResourceScope[],
  projects: readonly Project[],
  circumstances: Circumstances,
): Decision {
  const projectsByPath = new Map(projects.map((project) => [project.path, project]));
  const rulings = scopes.flatMap((scope) =>
    ruleOn(subject, scope, findProject(projectsByPath, scope), circumstances),
  );

  if (subject.abilities.size === 0) return denied({ reason: 'no_registry_ability' }, rulings);
  const forbidden = rulings.find((ruling) => ruling.verdict === 'forbid');
  if (forbidden !== undefined) return denied({ reason: 'forbidden_push', ruling: forbidden }, rulings);
  const granted = rulings.filter((ruling) => ruling.verdict === 'grant');
  if (subject.kind === 'anonymous' && granted.length === 0)
    return denied({ reason: 'nothing_for_anonymous' }, rulings);
  return { access: toAccess(granted), denial: null, rulings, validUntil: earliestEnd(granted) };
}

function denied(denial: Denial, rulings: readonly Ruling[]): Decision {
  return { access: [], denial, rulings, validUntil: null };
}

/** The project with the longest matching path, even if the subject may not see it. */
function findProject(projectsByPath: ReadonlyMap<string, Project>, scope: ResourceScope): Project | null {
  if (scope.type === 'registry') return null;
  for (const path of projectPaths(scope.name)) {
    const project = projectsByPath.get(path);
    if (project !== undefined) return project;
  }
  return null;
}

function ruleOn(
  subject: Subject,
  scope: ResourceScope,
  project: Project | null,
  circumstances: Circumstances,
): readonly Ruling[] {
  const standing = standingOf(subject, project, circumstances.now);
  const blockingRule = project && findBlockingRule(subject, standing, project, scope.name);
  return scope.actions.map((action) => {
    const asked = {
      subject,
      scope,
      action,
      project,
      standing,
      circumstances,
      blockingRule: blockingRule ?? null,
    };
    return { ...asked, ...judge(asked) };
  });
}

/** The job of an admin has only the roles of the admin's memberships. */
function standingOf(subject: Subject, project: Project | null, now: Date): Standing {
  return project === null
    ? NO_STANDING
    : findStanding(project, personOf(subject), subject.kind === 'user', now);
}

/** One entry for each resource with a granted action, in the order asked. */
function toAccess(granted: readonly Ruling[]): readonly AccessEntry[] {
  const rulingsByScope = new Map<ResourceScope, readonly Ruling[]>();
  for (const ruling of granted)
    rulingsByScope.set(ruling.scope, [...(rulingsByScope.get(ruling.scope) ?? []), ruling]);
  return [...rulingsByScope].map(([{ type, name }, rulings]) => {
    const actions = rulings.map(({ action }) => action);
    return { type, name, actions, ...metaFor(rulings[0], actions) };
  });
}

/** What a granted `*` stands for, in words that every registry knows. */
const STAR_IN_WORDS: readonly Action[] = ['*', 'pull', 'push', 'delete'];

/**
 * Puts `pull`, `push` and `delete` after a granted `*` on a repository, each action once. Registries
 * such as Zot compare actions as words and know no `*`. Registry scopes stay as they are: their
 * only action is `*`. `meta` does not change, because `*` gives it what push and delete give it.
 */
export function expandStar(access: readonly AccessEntry[]): readonly AccessEntry[] {
  return access.map((entry) => {
    if (entry.type !== 'repository') return entry;
    const words = entry.actions.flatMap((action) => (action === '*' ? STAR_IN_WORDS : [action]));
    return { ...entry, actions: [...new Set(words)] };
  });
}

function metaFor(ruling: Ruling | undefined, actions: readonly Action[]): { readonly meta?: AccessMeta } {
  if (!ruling?.project) return {};
  const { project, standing } = ruling;
  const tagDeny = tagDenyPatterns(standing, project, actions);
  const tagImmutable = tagImmutablePatterns(project, actions);
  return {
    meta: {
      project_path: project.path,
      project_id: project.id,
      root_namespace_id: project.rootNamespaceId,
      organization_id: project.organizationId,
      ...(tagDeny && { tag_deny_access_patterns: tagDeny }),
      ...(tagImmutable && { tag_immutable_patterns: tagImmutable }),
    },
  };
}

/** These rules grant because of a role, so the grant ends with the membership. */
const ENDS_WITH_ROLE: ReadonlySet<RuleId> = new Set([
  'role',
  'allowed',
  'open_to_users',
  'job_elsewhere',
  'job_own_project',
]);

function earliestEnd(granted: readonly Ruling[]): Date | null {
  const ending = granted.filter((ruling) => ENDS_WITH_ROLE.has(ruling.rule));
  const ends = ending.map(({ standing }) => standing.until).filter((until) => until !== null);
  return ends.length === 0 ? null : new Date(Math.min(...ends.map((end) => end.getTime())));
}
