import { passwordHashing } from '../../../../src/authn/password-schemes.ts';
import type { DirectorySource } from '../../../../src/authn/source.ts';
import { applyDirectory } from '../../../../src/directory/apply.ts';
import type { Database, Sql } from '../../../../src/store/database/drivers.ts';
import { migrate } from '../../../../src/store/database/migrate.ts';
import { createOwnSource } from '../../../../src/store/source/own/source.ts';
import type { VersionedSource } from '../../../../src/store/source/remembered.ts';
import {
  COMPANY,
  type Company,
  type CompanyAccessToken,
  type CompanyDeployToken,
  type CompanyGroup,
  type CompanyJob,
  type CompanyProject,
  type CompanyUser,
} from '../company.ts';
import type { SourceUnderTest } from '../conformance.ts';

/** The own tables in a fresh database, with `COMPANY` in them. */
export async function openOwnTables(
  open: () => Promise<Database>,
  wrap: (source: VersionedSource) => DirectorySource = (source) => source,
): Promise<SourceUnderTest> {
  const database = await open();
  await migrate(database);
  let roundTrips = 0;
  const counting: Sql = {
    query: (statement, params) => {
      roundTrips += 1;
      return database.query(statement, params);
    },
    execute: (text) => database.execute(text),
  };
  const write = async (company: Company): Promise<void> => {
    const document = JSON.stringify(await toDocument(company));
    await applyDirectory({ database, passwords: NO_PASSWORDS, now: () => new Date() }, document, {
      prune: false,
      who: 'a test',
    });
  };
  await write(COMPANY);
  return {
    source: wrap(createOwnSource(counting)),
    write,
    roundTrips: () => roundTrips,
    close: () => database.close(),
  };
}

/** Documents here have hashes instead. */
const NO_PASSWORDS = { hash: async () => '', verify: async () => false };

/** The document that says the same. */
export async function toDocument(company: Company): Promise<object> {
  const { settings, users = [], groups = [], projects = [] } = company;
  const { accessTokens = [], deployTokens = [], jobs = [] } = company;
  return {
    version: 1,
    ...(settings && {
      settings: {
        registry_enabled: settings.registryEnabled ?? true,
        maintenance_mode: settings.maintenanceMode ?? false,
        password_authentication: settings.passwordAuthentication ?? true,
      },
    }),
    users: await Promise.all(users.map(toUser)),
    groups: groups.map(toGroup),
    projects: projects.map(toProject),
    access_tokens: accessTokens.map(toAccessToken),
    deploy_tokens: deployTokens.map(toDeployToken),
    job_tokens: jobs.map(toJob),
  };
}

const hashes = new Map<string, Promise<string>>();

/** Tells which password has which hash in the documents so far. */
export async function learnPasswords(known: {
  learnPassword(hash: string, password: string): void;
}): Promise<void> {
  for (const [password, hash] of hashes) known.learnPassword(await hash, password);
}

function hashOnce(password: string): Promise<string> {
  const hash = hashes.get(password) ?? passwordHashing.hash(password);
  hashes.set(password, hash);
  return hash;
}

async function toUser({ username, email, password, ...user }: CompanyUser): Promise<object> {
  return {
    username,
    email,
    state: user.state,
    admin: user.admin,
    auditor: user.auditor,
    external: user.external,
    two_factor: user.twoFactor,
    password_expired: user.passwordExpired,
    password_hash: password === undefined ? undefined : await hashOnce(password),
  };
}

const toMembers = (roles: Readonly<Record<string, string>> = {}): readonly object[] =>
  Object.entries(roles).map(([user, role]) => ({ user, role }));
const toInvitations = (roles: Readonly<Record<string, string>> = {}): readonly object[] =>
  Object.entries(roles).map(([group, role]) => ({ group, role }));

function toGroup({ path, members, invitedGroups, ...group }: CompanyGroup): object {
  return {
    path,
    members: toMembers(members),
    invited_groups: toInvitations(invitedGroups),
    share_with_group_lock: group.shareLocked,
    ip_allowlist: group.ipAllowlist,
    over_storage_limit: group.overStorageLimit,
    archived: group.archived,
  };
}

function toProject({ path, members, invitedGroups, ...project }: CompanyProject): object {
  return {
    path,
    visibility: project.visibility,
    container_registry: project.registryAccess,
    archived: project.archived,
    deletion_scheduled: project.deletionScheduled,
    ci_enabled: project.ciEnabled,
    members: toMembers(members),
    invited_groups: toInvitations(invitedGroups),
    job_token_allowlist: project.jobAllowlist,
    protected_repositories: Object.entries(project.protectedRepositories ?? {}).map(([pattern, role]) => ({
      pattern,
      minimum_role_for_push: role,
    })),
    protected_tags: Object.entries(project.protectedTags ?? {}).map(([pattern, role]) =>
      role === 'immutable' ? { pattern, immutable: true } : { pattern, minimum_role_for_push: role },
    ),
  };
}

/** Tokens need a name that is theirs alone; the end of the secret will do. */
const nameOf = (secret: string): string => `token ${secret.slice(-8)}`;

function toAccessToken({ secret, owner, scopes, expiresOn, revoked }: CompanyAccessToken): object {
  const kind = 'user' in owner ? 'personal' : 'project' in owner ? 'project' : 'group';
  return { kind, ...owner, name: nameOf(secret), scopes, expires_at: expiresOn, revoked, token: secret };
}

function toDeployToken({ secret, username, reach, ...token }: CompanyDeployToken): object {
  return {
    username,
    ...reach,
    scopes: token.scopes,
    expires_at: token.expiresAt,
    revoked: token.revoked,
    token: secret,
  };
}

function toJob({ secret, project, user, running }: CompanyJob): object {
  return { project, user, running, token: secret };
}
