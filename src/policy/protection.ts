import { lowerCaseAscii } from '../ascii.ts';
import type { Project, RepositoryRule, TagRule } from './project.ts';
import { type Action, isAbove, type MinimumRole } from './role.ts';
import type { Standing } from './standing.ts';
import type { Subject } from './subject.ts';

/** Which tag patterns the registry must refuse, by action. */
export interface TagDenyPatterns {
  readonly push?: readonly string[];
  readonly delete?: readonly string[];
}

/** The first rule that keeps the subject from pushing to this repository. */
export function findBlockingRule(
  subject: Subject,
  standing: Standing,
  project: Project,
  repositoryName: string,
): RepositoryRule | undefined {
  return project.protectedRepositories.find((rule) => blocksPush(rule, subject, standing, repositoryName));
}

/** Deploy tokens have no role to compare, so any matching rule blocks them; a rule without a push minimum blocks no user. */
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

/** `*` matches any run of characters; everything else is itself. Plain comparison, so a path is never read as a pattern. */
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

/** Undefined where no claim is due: the subject has no user, or no rule says who may change a tag. */
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

/** Immutable tags bind everybody, so the claim does not depend on the subject. */
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
