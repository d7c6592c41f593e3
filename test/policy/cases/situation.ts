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
  /** The row's name for the project; `project` if there is only one. */
  label: string;
  visibility: Visibility;
  registry: RegistryAccess;
}

/** The places of a membership, and whether the project inherits it. */
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
  /**
   * The kind of token that the column `principal` names; it must agree with `kind`. Null: any kind.
   */
  named: readonly TokenKind[] | null;
  username: 'right' | 'wrong' | 'empty' | 'email';
  secret: 'right' | 'wrong' | 'empty';
  revoked: boolean;
  /** A date, `yyyy-mm-dd`. */
  expiresOn: string | null;
  /**
   * Where the token was created: in the requested project (or its group), in another, or in the
   * root group. Null: the row doesn't say.
   */
  reach: Reach | null;
  /** A deploy token of a group. */
  ofGroup: boolean;
  botState: UserState;
}

export type UserState = 'active' | 'blocked' | 'locked' | 'unconfirmed' | 'deactivated';

/** Everything that a row's words say about its situation. */
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
  /** The role and the place of the membership don't matter. */
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

/** The defaults of a row. A row without a project gets a public one. */
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
    // Rows about the job token allowlist say so; GitLab's own cases of jobs in other projects
    // assume none.
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
