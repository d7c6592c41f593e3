import { idsOf } from '../../../authn/source.ts';
import type { Facts, Project } from '../../../policy/project.ts';
import { ACTIONS, type Action, type Role } from '../../../policy/role.ts';
import { personOf, type Subject } from '../../../policy/subject.ts';
import type { DirectoryQuestions } from '../../../store/source/questions.ts';
import type { WhatCan } from '../../types.ts';
import { BATCH, type Step } from './pages.ts';
import { type Grant, grantOf, rolesThatMay, SOME_USER } from './ruling.ts';

export interface WhatQuestion {
  readonly subject: Subject;
  /** Undefined: any. */
  readonly action: Action | undefined;
  /** Leave out what is reached only because it is public or internal. */
  readonly onlyByRole: boolean;
  readonly groupId: number | null;
  readonly now: Date;
}

/** Projects between two turns of the event loop: each takes several decisions, 40 µs together. */
const DECIDED_AT_ONCE = 20;

type Repository = WhatCan['repositories'][number];

/** A project on which nothing but the role of the subject decides. */
const PLAIN: Project = {
  id: 0,
  path: 'some/project',
  rootNamespaceId: 0,
  organizationId: 0,
  visibility: 'private',
  registryAccess: 'enabled',
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
  jobAccess: 'anyone',
};
const PLAIN_INSTANCE = { registryEnabled: true, maintenanceMode: false };

/**
 * All projects that token requests of the subject would be granted something on, in batches. A place
 * is the path of a project.
 */
export async function* reachableRepositories(
  directory: DirectoryQuestions,
  question: WhatQuestion,
  after: string,
): AsyncGenerator<readonly Step<Repository>[]> {
  const { subject, groupId } = question;
  const person = personOf(subject);
  const search = {
    subject: idsOf(subject),
    roles: rolesOf(question),
    visibilities: mayBeOpen(question) ? ['public', 'internal'] : [],
    everything: person?.admin === true || person?.auditor === true,
    groupId,
  };
  for (let from: string | null = after; from !== null; ) {
    const { paths, last } = await directory.findReachable({ ...search, after: from });
    for (let at = 0; at < paths.length; at += BATCH) {
      const batch = paths.slice(at, at + BATCH);
      const facts = await directory.facts(subject, batch);
      for (let first = 0; first < batch.length; first += DECIDED_AT_ONCE)
        yield batch
          .slice(first, first + DECIDED_AT_ONCE)
          .map((path) => ({ row: repositoryOf(path, question, facts), place: path }));
    }
    if (last !== null) yield [{ row: null, place: last }];
    from = last;
  }
}

function actionsOf({ action }: Pick<WhatQuestion, 'action'>): readonly Action[] {
  return action === undefined ? ACTIONS : [action];
}

function rolesOf({
  subject,
  action,
  now,
}: Pick<WhatQuestion, 'subject' | 'action' | 'now'>): readonly Role[] {
  return rolesThatMay(PLAIN, (project) => {
    const facts = { instance: PLAIN_INSTANCE, projects: [project] };
    return actionsOf({ action }).some((one) =>
      grantOf(subject, { name: PLAIN.path, action: one }, facts, now),
    );
  });
}

/** The roles that let a user do an action on a private project. */
export function rolesFor(action: Action): readonly Role[] {
  return rolesOf({ subject: SOME_USER, action, now: new Date(0) });
}

function mayBeOpen({ action, onlyByRole }: WhatQuestion): boolean {
  return !onlyByRole && (action === undefined || action === 'pull');
}

/** Null: nothing, or not the action that was asked for. */
function repositoryOf(path: string, question: WhatQuestion, facts: Facts): Repository | null {
  const { subject, action, onlyByRole, now } = question;
  const project = facts.projects.find((one) => one.path === path);
  if (project === undefined) return null;
  // As if it were private: then only a role, a deploy token or a job's own project grants.
  const counted = onlyByRole ? { ...project, visibility: 'private' as const } : project;
  const own = { ...facts, projects: [counted] };
  const grants = ACTIONS.map((one) => grantOf(subject, { name: path, action: one }, own, now)).filter(
    (grant): grant is Grant => grant !== null,
  );
  const shown = action === undefined ? grants.at(-1) : grants.find((grant) => grant.action === action);
  return shown === undefined
    ? null
    : { path, actions: grants.map((grant) => grant.action), reason: shown.reason };
}
