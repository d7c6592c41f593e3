import { randomBytes } from 'node:crypto';
import type { MinimumRole, RegistryAccess, Role, Visibility } from '../../../src/policy/role.ts';

/**
 * A company as people see it: its users, projects and credentials. Each source's fixture writes it
 * in that source's own way.
 */
export interface Company {
  readonly settings?: {
    readonly registryEnabled?: boolean;
    readonly maintenanceMode?: boolean;
    readonly passwordAuthentication?: boolean;
  };
  readonly users?: readonly CompanyUser[];
  readonly groups?: readonly CompanyGroup[];
  readonly projects?: readonly CompanyProject[];
  readonly accessTokens?: readonly CompanyAccessToken[];
  readonly deployTokens?: readonly CompanyDeployToken[];
  readonly jobs?: readonly CompanyJob[];
}

export interface CompanyUser {
  readonly username: string;
  readonly email?: string;
  readonly password?: string;
  readonly state?: 'active' | 'blocked' | 'locked' | 'unconfirmed';
  readonly admin?: boolean;
  readonly auditor?: boolean;
  readonly external?: boolean;
  readonly twoFactor?: boolean;
  readonly passwordExpired?: boolean;
}

/** A user name or a group's path, with a role. */
type Roles = Readonly<Record<string, Role>>;

export interface CompanyGroup {
  readonly path: string;
  readonly members?: Roles;
  readonly invitedGroups?: Roles;
  readonly shareLocked?: boolean;
  readonly ipAllowlist?: readonly string[];
  readonly overStorageLimit?: boolean;
  readonly archived?: boolean;
}

export interface CompanyProject {
  readonly path: string;
  readonly visibility?: Visibility;
  readonly registryAccess?: RegistryAccess;
  readonly archived?: boolean;
  readonly deletionScheduled?: boolean;
  readonly ciEnabled?: boolean;
  readonly members?: Roles;
  readonly invitedGroups?: Roles;
  /** Paths of projects and groups whose jobs are let in. */
  readonly jobAllowlist?: readonly string[] | 'anyone';
  readonly protectedRepositories?: Readonly<Record<string, MinimumRole>>;
  readonly protectedTags?: Readonly<Record<string, MinimumRole | 'immutable'>>;
}

export interface CompanyAccessToken {
  readonly secret: string;
  readonly owner:
    | { readonly user: string }
    | { readonly project: string; readonly role: Role }
    | { readonly group: string; readonly role: Role };
  readonly scopes: readonly string[];
  /** `yyyy-mm-dd`. */
  readonly expiresOn?: string;
  readonly revoked?: boolean;
}

export interface CompanyDeployToken {
  readonly secret: string;
  readonly username: string;
  readonly reach: { readonly projects: readonly string[] } | { readonly group: string };
  readonly scopes: readonly string[];
  readonly expiresAt?: string;
  readonly revoked?: boolean;
}

export interface CompanyJob {
  readonly secret: string;
  readonly project: string;
  readonly user: string | null;
  readonly running?: boolean;
}

/** New in every run. */
export const newSecret = (prefix: string): string => prefix + randomBytes(12).toString('hex');

const PASSWORD = newSecret('');

export const SECRETS = {
  password: PASSWORD,
  alice: newSecret('glpat-'),
  aliceOld: newSecret(''),
  aliceRead: newSecret('glpat-'),
  aliceWrite: newSecret('glpat-'),
  aliceNoRegistry: newSecret('glpat-'),
  aliceRevoked: newSecret('glpat-'),
  aliceExpired: newSecret('glpat-'),
  bob: newSecret('glpat-'),
  carol: newSecret('glpat-'),
  auditor: newSecret('glpat-'),
  external: newSecret('glpat-'),
  root: newSecret('glpat-'),
  blocked: newSecret('glpat-'),
  locked: newSecret('glpat-'),
  unconfirmed: newSecret('glpat-'),
  outdated: newSecret('glpat-'),
  projectBot: newSecret('glpat-'),
  groupBot: newSecret('glpat-'),
  puller: newSecret('gldt-'),
  groupPuller: newSecret('gldt-'),
  pullerRevoked: newSecret('gldt-'),
  pullerExpired: newSecret('gldt-'),
  job: newSecret('glcbt-'),
  jobOfAnotherProject: newSecret('glcbt-'),
  jobStopped: newSecret('glcbt-'),
  jobWithoutUser: newSecret('glcbt-'),
  jobOfBlocked: newSecret('glcbt-'),
  jobWithoutCi: newSecret('glcbt-'),
  jobOfDeleted: newSecret('glcbt-'),
} as const;

const personal = (user: string, secret: string, scopes: readonly string[] = ['api']): CompanyAccessToken => ({
  secret,
  owner: { user },
  scopes,
});
const REGISTRY = ['read_registry', 'write_registry'];
const DEVELOPED = { members: { alice: 'developer' } } as const;

export const COMPANY: Company = {
  settings: {},
  users: [
    { username: 'root', admin: true, password: PASSWORD },
    { username: 'Alice', email: 'Alice@Example.com', password: PASSWORD },
    { username: 'bob' },
    { username: 'carol' },
    { username: 'auditor', auditor: true },
    { username: 'external', external: true },
    { username: 'a_b', password: PASSWORD },
    { username: 'careful', password: PASSWORD, twoFactor: true },
    { username: 'outdated', password: PASSWORD, passwordExpired: true },
    { username: 'blocked', password: PASSWORD, state: 'blocked' },
    { username: 'locked', password: PASSWORD, state: 'locked' },
    { username: 'unconfirmed', password: PASSWORD, state: 'unconfirmed' },
  ],
  groups: [
    { path: 'acme', members: { bob: 'maintainer' } },
    { path: 'acme/sub' },
    { path: 'friends', members: { carol: 'developer' } },
    { path: 'team', invitedGroups: { friends: 'reporter' } },
    { path: 'solo' },
    { path: 'sealed', shareLocked: true },
    { path: 'office', ipAllowlist: ['10.0.0.0/8'] },
    { path: 'old', archived: true },
    { path: 'full', overStorageLimit: true },
  ],
  projects: [
    { path: 'acme/App', ...DEVELOPED },
    { path: 'acme/sub/api' },
    { path: 'acme/open', visibility: 'public' },
    { path: 'acme/inside', visibility: 'internal' },
    { path: 'acme/members', visibility: 'public', registryAccess: 'private' },
    { path: 'acme/off', visibility: 'public', registryAccess: 'disabled' },
    { path: 'acme/archived', archived: true, ...DEVELOPED },
    { path: 'acme/deleted', deletionScheduled: true, ...DEVELOPED },
    { path: 'acme/no-ci', ciEnabled: false, ...DEVELOPED },
    { path: 'acme/listing', jobAllowlist: ['acme/App'], ...DEVELOPED },
    { path: 'acme/listing-group', jobAllowlist: ['acme'], ...DEVELOPED },
    { path: 'acme/listing-anyone', jobAllowlist: 'anyone', ...DEVELOPED },
    {
      path: 'acme/guarded',
      ...DEVELOPED,
      protectedRepositories: { 'acme/guarded/prod*': 'owner' },
      protectedTags: { 'v.*': 'maintainer', 'release-.*': 'immutable' },
    },
    { path: 'team/tool' },
    { path: 'solo/kit', invitedGroups: { friends: 'maintainer' } },
    { path: 'sealed/box', invitedGroups: { friends: 'maintainer' } },
    { path: 'office/app', ...DEVELOPED },
    { path: 'old/app', ...DEVELOPED },
    { path: 'full/app', ...DEVELOPED },
    { path: 'alice/dotfiles' },
  ],
  accessTokens: [
    personal('alice', SECRETS.alice),
    personal('alice', SECRETS.aliceOld),
    personal('alice', SECRETS.aliceRead, ['read_registry']),
    personal('alice', SECRETS.aliceWrite, ['write_registry']),
    personal('alice', SECRETS.aliceNoRegistry, ['read_user']),
    { ...personal('alice', SECRETS.aliceRevoked), revoked: true },
    { ...personal('alice', SECRETS.aliceExpired), expiresOn: '2020-01-31' },
    ...(
      ['bob', 'carol', 'auditor', 'external', 'root', 'blocked', 'locked', 'unconfirmed', 'outdated'] as const
    ).map((user) => personal(user, SECRETS[user])),
    { secret: SECRETS.projectBot, owner: { project: 'acme/app', role: 'developer' }, scopes: ['api'] },
    { secret: SECRETS.groupBot, owner: { group: 'acme', role: 'maintainer' }, scopes: ['api'] },
  ],
  deployTokens: [
    { secret: SECRETS.puller, username: 'Puller', reach: { projects: ['acme/app'] }, scopes: REGISTRY },
    {
      secret: SECRETS.groupPuller,
      username: 'group-puller',
      reach: { group: 'acme' },
      scopes: ['read_registry'],
    },
    {
      secret: SECRETS.pullerRevoked,
      username: 'revoked-puller',
      reach: { projects: ['acme/app'] },
      scopes: REGISTRY,
      revoked: true,
    },
    {
      secret: SECRETS.pullerExpired,
      username: 'expired-puller',
      reach: { projects: ['acme/app'] },
      scopes: REGISTRY,
      expiresAt: '2020-01-31T00:00:00Z',
    },
  ],
  jobs: [
    { secret: SECRETS.job, project: 'acme/app', user: 'alice' },
    { secret: SECRETS.jobOfAnotherProject, project: 'office/app', user: 'alice' },
    { secret: SECRETS.jobStopped, project: 'acme/app', user: 'alice', running: false },
    { secret: SECRETS.jobWithoutUser, project: 'acme/app', user: null },
    { secret: SECRETS.jobOfBlocked, project: 'acme/app', user: 'blocked' },
    { secret: SECRETS.jobWithoutCi, project: 'acme/no-ci', user: 'alice' },
    { secret: SECRETS.jobOfDeleted, project: 'acme/deleted', user: 'alice' },
  ],
};
