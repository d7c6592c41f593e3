import type { MinimumRole, RegistryAccess, Role, Visibility } from '../../../src/policy/role.ts';

export const TOKEN_KINDS = [
  'none',
  'pat',
  'password',
  'deploy_token',
  'job_token',
  'project_access_token',
  'group_access_token',
] as const;
export type TokenKind = (typeof TOKEN_KINDS)[number];

/** A project that the row asks about. */
export interface Target {
  /** What the row calls it; `project` where there is but one. */
  label: string;
  visibility: Visibility;
  registry: RegistryAccess;
}

/** Where a membership is: which of them the project hears of, and by which way. */
export type Place =
  | 'project'
  | 'group'
  | 'top_group'
  | 'invited_group'
  | 'parent_of_invited_group'
  | 'personal_namespace'
  | 'organization';

export interface Membership {
  role: Role;
  place: Place;
  expiresOn: string | null;
}

interface TagRule {
  pattern: string;
  push: MinimumRole | null;
  delete: MinimumRole | null;
  immutable: boolean;
}

type Reach = 'own' | 'other' | 'top_group';

interface Credential {
  kind: TokenKind;
  scopes: readonly string[];
  /** What the row's principal calls it; it must agree with `kind`. Null: any kind will do. */
  named: readonly TokenKind[] | null;
  username: 'right' | 'wrong' | 'empty' | 'email';
  secret: 'right' | 'wrong' | 'empty';
  revoked: boolean;
  /** Date `yyyy-mm-dd`. */
  expiresOn: string | null;
  /** What it was made for: the project asked about (or its group), another, or the topmost group above it. Null: the row doesn't say. */
  reach: Reach | null;
  /** A deploy token of a group. */
  ofGroup: boolean;
  botState: UserState;
}

export type UserState = 'active' | 'blocked' | 'locked' | 'unconfirmed' | 'deactivated';

/** Everything that a row supposes, as its words are read. */
export interface Situation {
  settings: { registry_enabled: boolean; maintenance_mode: boolean; password_authentication: boolean };
  organizationMaintenance: boolean;
  topGroup: {
    archived: boolean;
    over_storage_limit: boolean;
    share_with_group_lock: boolean;
    allowlist: boolean;
  };
  client: 'inside' | 'outside' | null;
  targets: Target[];
  archived: boolean;
  deletionScheduled: boolean;
  projectInvites: Role | null;
  groupInvites: Role | null;
  invitationExpiresOn: string | null;
  repositoryRule: {
    matches: 'project' | 'project_in_upper_case' | 'blocked_repository' | 'nothing';
    push: MinimumRole | null;
    delete: MinimumRole | null;
  } | null;
  tagRules: TagRule[];
  user: {
    kind: 'human' | 'service_account';
    state: UserState;
    admin: boolean;
    adminModeOff: boolean;
    auditor: boolean;
    external: boolean;
    two_factor: boolean;
    password_expired: boolean;
  };
  /** Null: the row doesn't say. */
  memberships: Membership[] | null;
  /** Role and reach don't matter. */
  any: boolean;
  job: {
    hasUser: boolean;
    running: boolean;
    ciEnabled: boolean;
    deletionScheduled: boolean;
    allowlist: 'anyone' | 'origin' | 'group_of_origin' | 'nobody';
  };
  credential: Credential;
}

/** What holds until a row says otherwise. Where there is no project to speak of, a public one is there all the same. */
export function plainSituation(): Situation {
  return {
    settings: { registry_enabled: true, maintenance_mode: false, password_authentication: true },
    organizationMaintenance: false,
    topGroup: { archived: false, over_storage_limit: false, share_with_group_lock: false, allowlist: false },
    client: null,
    targets: [{ label: 'project', visibility: 'public', registry: 'enabled' }],
    archived: false,
    deletionScheduled: false,
    projectInvites: null,
    groupInvites: null,
    invitationExpiresOn: null,
    repositoryRule: null,
    tagRules: [],
    user: {
      kind: 'human',
      state: 'active',
      admin: false,
      adminModeOff: false,
      auditor: false,
      external: false,
      two_factor: false,
      password_expired: false,
    },
    memberships: null,
    any: false,
    // Rows that care say so; GitLab's own cases of jobs elsewhere suppose a target without a limit.
    job: { hasUser: true, running: true, ciEnabled: true, deletionScheduled: false, allowlist: 'anyone' },
    credential: {
      kind: 'none',
      scopes: [],
      named: null,
      username: 'right',
      secret: 'right',
      revoked: false,
      expiresOn: null,
      reach: null,
      ofGroup: false,
      botState: 'active',
    },
  };
}

export const LONG_AGO = '2020-01-31';

/** Today in UTC, or some days later. */
export function day(later = 0): string {
  return new Date(Date.now() + later * 86_400_000).toISOString().slice(0, 10);
}
