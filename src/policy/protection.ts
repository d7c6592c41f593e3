import { lowerCaseAscii } from '../ascii.ts';
import type { Project, RepositoryRule, TagRule } from './project.ts';
import { type Action, isAbove, type MinimumRole } from './role.ts';
import type { Standing } from './standing.ts';
import type { Subject } from './subject.ts';

/** Tag patterns that the registry must refuse, by action. */
export interface TagDenyPatterns {
  readonly push?: readonly string[];
  readonly delete?: readonly string[];
}

/** The first rule that forbids the subject to push to this repository. */
export function findBlockingRule(
  subject: Subject,
  standing: Standing,
  project: Project,
  repositoryName: string,
): RepositoryRule | undefined {
  return project.protectedRepositories.find((rule) => blocksPush(rule, subject, standing, repositoryName));
}

/**
 * Every matching rule blocks deploy tokens, which have no role. A rule without a minimum for push
 * blocks no user.
 */
export function blocksPush(
  rule: RepositoryRule,
  subject: Subject,
  standing: Standing,
  repositoryName: string,
): boolean {
  if (!matchesPattern(rule.pattern, repositoryName)) return false;
  if (subject.kind === 'deploy_token') return true;
  return rule.minimumRoleForPush !== null && asksForMore(rule.minimumRoleForPush, standing);
}

/**
 * `*` matches any characters, also none. No regular expression, so that a path is never read as a
 * pattern.
 */
export function matchesPattern(pattern: string, repositoryName: string): boolean {
  const [head = '', ...rest] = lowerCaseAscii(pattern).split('*');
  const tail = rest.pop();
  if (tail === undefined) return repositoryName === head;
  if (!repositoryName.startsWith(head) || repositoryName.length < head.length + tail.length) return false;
  const end = repositoryName.length - tail.length;
  let from = head.length;
  for (const part of rest) {
    const at = repositoryName.indexOf(part, from);
    if (at < 0 || at + part.length > end) return false;
    from = at + part.length;
  }
  return repositoryName.endsWith(tail);
}

/** Undefined, for no claim, if the subject has no user or no rule has minimum roles. */
export function tagDenyPatterns(
  standing: Standing,
  project: Project,
  granted: readonly Action[],
): TagDenyPatterns | undefined {
  const rules = project.protectedTags.filter((rule) => !rule.immutable);
  if (standing.person === null || rules.length === 0) return undefined;
  const deniedFor = (minimumOf: (rule: TagRule) => MinimumRole | null): readonly string[] =>
    rules
      .filter((rule) => {
        const minimum = minimumOf(rule);
        return minimum !== null && asksForMore(minimum, standing);
      })
      .map((rule) => rule.pattern);
  return {
    ...(grantsChange(granted, 'push') && { push: deniedFor((rule) => rule.minimumRoleForPush) }),
    ...(grantsChange(granted, 'delete') && { delete: deniedFor((rule) => rule.minimumRoleForDelete) }),
  };
}

/** Immutable tags are immutable for every subject. */
export function tagImmutablePatterns(
  project: Project,
  granted: readonly Action[],
): readonly string[] | undefined {
  const patterns = project.protectedTags.filter((rule) => rule.immutable).map((rule) => rule.pattern);
  const changes = grantsChange(granted, 'push') || grantsChange(granted, 'delete');
  return changes && patterns.length > 0 ? patterns : undefined;
}

function grantsChange(granted: readonly Action[], action: 'push' | 'delete'): boolean {
  return granted.includes(action) || granted.includes('*');
}

function asksForMore(minimum: MinimumRole, standing: Standing): boolean {
  return isAbove(minimum, standing.admin ? 'admin' : standing.role);
}
