import type { Membership, Project } from './project.ts';
import { isAbove, lesserRole, type Role } from './role.ts';
import type { Person } from './subject.ts';

/** How a subject's user stands to a project at one moment. */
export interface Standing {
  readonly person: Person | null;
  readonly role: Role | null;
  /** Admin rights in use; never set for a job. */
  readonly admin: boolean;
  /** The membership that gave the role; null where the admin flag did, or nothing. */
  readonly membership: Membership | null;
  /** When the role ends by itself; null: never. */
  readonly until: Date | null;
}

export const NO_STANDING: Standing = {
  person: null,
  role: null,
  admin: false,
  membership: null,
  until: null,
};

/** The highest role that any membership still gives; among equals the one that lasts longest. */
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

/** The lesser of the member's role and the invitation's. */
export function roleOf({ role, invitation }: Membership): Role {
  return invitation === null ? role : lesserRole(role, invitation.role);
}

/** Why a membership gives nothing at this moment; null when it counts. */
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

/** A date ends a membership at its first moment in UTC. */
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
