import type { NewRepository } from '../../authn/source.ts';
import type { ServiceSettings } from '../../config/services.ts';
import { CellpassError } from '../../errors.ts';
import { type Decision, type Denial, expandStar, grantAccess } from '../../policy/grant.ts';
import type { ClientAddress, Facts } from '../../policy/project.ts';
import type { RuleId } from '../../policy/rules.ts';
import { type AskedScopes, projectPaths } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';

/** All inputs of one decision. */
export interface Question {
  readonly subject: Subject;
  readonly asked: AskedScopes;
  readonly facts: Facts;
  readonly now: Date;
  readonly clientAddress: ClientAddress;
}

export interface DecidedAnswer {
  readonly decision: Decision;
  /** The error that the client gets instead of a token; null: it gets a token. */
  readonly refusal: CellpassError | null;
}

/**
 * Decides, and says how that is answered; the token endpoint and `explain` share this function.
 * @param service how its registry reads `*`; `explain` leaves it out, because no rule depends on it.
 */
export function decide(
  { subject, asked, facts, now, clientAddress }: Question,
  service: Pick<ServiceSettings, 'expandStar'> = { expandStar: false },
): DecidedAnswer {
  const { instance, projects } = facts;
  const decided = grantAccess(subject, asked.scopes, projects, { now, clientAddress, instance });
  const decision = service.expandStar ? { ...decided, access: expandStar(decided.access) } : decided;
  return { decision, refusal: refusalOf(facts, decision) };
}

/** The paths of all projects that could own the asked repositories. */
export function pathsOf({ scopes }: AskedScopes): readonly string[] {
  const names = scopes.filter(({ type }) => type === 'repository').map(({ name }) => name);
  return [...new Set(names.flatMap(projectPaths))];
}

/** The repositories that the decision lets a client push to, and that the directory does not list. */
export function unlistedRepositories({ access }: Decision, { projects }: Facts): readonly NewRepository[] {
  return access.flatMap(({ name, actions, meta }) => {
    const project = projects.find(({ id }) => id === meta?.project_id);
    if (!actions.includes('push') || project?.knownRepositories === undefined) return [];
    if (project.knownRepositories.includes(name)) return [];
    return [{ projectId: project.id, name: name.slice(project.path.length + 1) }];
  });
}

function refusalOf({ instance }: Facts, { denial }: Decision): CellpassError | null {
  if (!instance.registryEnabled)
    return new CellpassError('registry_off', 'the container registry is switched off');
  return denial && toError(denial);
}

/**
 * Says only what the client may know: these causes are about the client's own credentials, or about
 * a project that it may push to.
 */
function toError(denial: Denial): CellpassError {
  const { reason } = denial;
  switch (reason) {
    case 'no_registry_ability':
      return new CellpassError('denied', 'access forbidden: these credentials have no registry scope', {
        reason,
      });
    case 'nothing_for_anonymous':
      return new CellpassError('denied', 'access forbidden', { reason });
    case 'forbidden_push': {
      const { rule } = denial.ruling;
      if (!isForbiddingPush(rule)) return new CellpassError('denied', 'access forbidden');
      return new CellpassError('denied', FORBIDDEN_PUSH[rule], { reason: rule });
    }
  }
}

const FORBIDDEN_PUSH = {
  protected_repository: 'Pushing to protected repository path forbidden',
  storage_limit: 'Pushing is forbidden: the root group is over its storage limit',
  unlisted_repository:
    'Pushing is forbidden: GitLab does not list this repository yet, and this server may not add it; an administrator must set CELLPASS_GITLAB_WRITE_DATABASE_URL',
  job_push: 'Pushing is forbidden: the user of this job may not push to its project',
} as const;

function isForbiddingPush(rule: RuleId): rule is keyof typeof FORBIDDEN_PUSH {
  return rule in FORBIDDEN_PUSH;
}
