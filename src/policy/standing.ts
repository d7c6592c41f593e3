import type { Membership, Project } from './project.ts';
import { isAbove, lesserRole, type Role } from './role.ts';
import type { Person } from './subject.ts';

/** The role of a subject's user on a project at one time, and where it comes from. */
export interface Standing {
  readonly person: Person | null;
  readonly role: Role | null;
  /** Whether the user acts as an admin; never in a job. */
  readonly admin: boolean;
  /** The membership behind the role; null for an admin, or without a role. */
  readonly membership: Membership | null;
  /** When the role expires; null: never. */
  readonly until: Date | null;
}

export const NO_STANDING: Standing = {
  person: null,
  role: null,
  admin: false,
  membership: null,
  until: null,
};

/** The highest role of all memberships that count; among equal roles the one that expires last. */
export function findStanding(
  project: Project,
  person: Person | null,
  adminCounts: boolean,
  now: Date,
): Standing {
  if (person === null) return NO_STANDING;
  if (person.admin && adminCounts) return { ...NO_STANDING, person, role: 'owner', admin: true };
  let best: Standing = { ...NO_STANDING, person };
  for (const membership of project.memberships) {
    if (!countsFor(membership, project, now)) continue;
    const candidate: Standing = { ...best, role: roleOf(membership), membership, until: endOf(membership) };
    if (isBetter(candidate, best)) best = candidate;
  }
  return best;
}

/** The lower of the roles of the membership and of the invitation. */
export function roleOf({ role, invitation }: Membership): Role {
  return invitation === null ? role : lesserRole(role, invitation.role);
}

/** Why a membership doesn't count at this time; null when it counts. */
export function whyNotCounted(
  membership: Membership,
  project: Project,
  now: Date,
): 'expired' | 'share_lock' | null {
  const end = endOf(membership);
  if (end !== null && end <= now) return 'expired';
  return membership.via === 'group_invited_to_project' && project.shareLockedBy !== null
    ? 'share_lock'
    : null;
}

function countsFor(membership: Membership, project: Project, now: Date): boolean {
  return whyNotCounted(membership, project, now) === null;
}

/** A membership ends at the start of its date in UTC. */
function endOf({ expiresOn, invitation }: Membership): Date | null {
  const dates = [expiresOn, invitation?.expiresOn ?? null].filter((date) => date !== null);
  return dates.length === 0
    ? null
    : new Date(Math.min(...dates.map((date) => Date.parse(`${date}T00:00:00Z`))));
}

function isBetter(candidate: Standing, best: Standing): boolean {
  if (best.role === null || candidate.role === null) return best.role === null;
  if (candidate.role !== best.role) return isAbove(candidate.role, best.role);
  return best.until !== null && (candidate.until === null || candidate.until > best.until);
}
