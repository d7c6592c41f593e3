import { z } from 'zod';
import { claimPins } from '../../config/federated-claims.ts';
import { federationName } from '../../config/federation.ts';
import { isRecord } from '../../config/issues.ts';
import { didYouMean } from '../../nearest-name.ts';
import { MINIMUM_ROLES, REGISTRY_ACCESSES, ROLES, VISIBILITIES } from '../../policy/role.ts';
import * as field from './fields.ts';

/**
 * How to read a document. `strict` finds the problems. `lenient` reads the rest of a document with
 * problems, so that one run can check it too: a wrong field gets its default, and an unreadable
 * entry is left out.
 */
export type Mode = 'strict' | 'lenient';

const MAX_RULES = 5;
const MUST_BE_LIST = 'must be a list';
const path = field.fullPath;
const role = z.enum(ROLES);
const minimumRole = z
  .enum(MINIMUM_ROLES)
  .nullish()
  .transform((value) => value ?? null);

/** The form of a document and of its single values. `entry-rules.ts` compares values. */
export function documentSchema(mode: Mode) {
  const read = reader(mode);
  const { entry, section, soft } = read;
  const settings = entry({
    registry_enabled: soft(field.flag(true), true),
    maintenance_mode: soft(field.flag(false), false),
    password_authentication: soft(field.flag(true), true),
  });
  return entry({
    version: soft(z.literal(1, 'must be 1'), 1),
    settings: soft(settings.optional(), undefined),
    organizations: section(organization(read)),
    users: section(user(read)),
    groups: section(group(read)),
    projects: section(project(read)),
    access_tokens: section(accessToken(read)),
    deploy_tokens: section(deployToken(read)),
    job_tokens: section(jobToken(read)),
    federated_identities: section(federatedIdentity(read)),
  });
}

function organization({ entry, listOf, soft }: Reader) {
  return entry({
    path: field.component,
    id: soft(field.id.optional(), undefined),
    owners: soft(listOf(field.component), []),
    maintenance: soft(field.flag(false), false),
  });
}

function user({ entry, soft }: Reader) {
  return entry({
    username: field.component,
    id: soft(field.id.optional(), undefined),
    email: soft(field.email, null),
    organization: soft(field.component.optional(), undefined),
    kind: soft(z.enum(['human', 'service_account']).default('human'), 'human'),
    state: soft(
      z.enum(['active', 'blocked', 'locked', 'unconfirmed', 'deactivated']).default('active'),
      'active',
    ),
    admin: soft(field.flag(false), false),
    auditor: soft(field.flag(false), false),
    external: soft(field.flag(false), false),
    two_factor: soft(field.flag(false), false),
    password_expired: soft(field.flag(false), false),
    password: soft(field.password, undefined),
    password_hash: soft(field.passwordHash, undefined),
  });
}

/** The lists that groups and projects have in common. */
function membership({ entry, list }: Reader) {
  return {
    members: list(entry({ user: field.component, role, expires_at: field.date })),
    invited_groups: list(entry({ group: path, role, expires_at: field.date })),
  };
}

function group(read: Reader) {
  const { entry, listOf, soft } = read;
  return entry({
    path,
    id: soft(field.id.optional(), undefined),
    organization: soft(field.component.optional(), undefined),
    ...membership(read),
    share_with_group_lock: soft(field.flag(false), false),
    ip_allowlist: soft(listOf(field.ipRange), []),
    over_storage_limit: soft(field.flag(false), false),
    archived: soft(field.flag(false), false),
  });
}

function project(read: Reader) {
  const { entry, list, listOf, soft } = read;
  const minimums = { minimum_role_for_push: minimumRole, minimum_role_for_delete: minimumRole };
  const repositoryRule = entry({ pattern: field.repositoryPattern, ...minimums });
  const tagRule = entry({ pattern: field.tagPattern, ...minimums, immutable: field.flag(false) });
  return entry({
    path: field.projectPath,
    id: soft(field.id.optional(), undefined),
    visibility: soft(z.enum(VISIBILITIES).default('private'), 'private'),
    container_registry: soft(z.enum(REGISTRY_ACCESSES).default('enabled'), 'enabled'),
    archived: soft(field.flag(false), false),
    deletion_scheduled: soft(field.flag(false), false),
    ci_enabled: soft(field.flag(true), true),
    ...membership(read),
    job_token_allowlist: soft(
      z.union([z.literal('anyone'), listOf(path)], 'must be a list of paths, or: anyone'),
      [],
    ),
    protected_repositories: list(repositoryRule, MAX_RULES),
    protected_tags: list(tagRule, MAX_RULES),
  });
}

function secret({ soft }: Reader) {
  return { token: soft(field.token, undefined), token_sha256: soft(field.tokenSha256, undefined) };
}

/** The fields that access tokens and deploy tokens have in common. */
function anyToken(read: Reader) {
  const { soft } = read;
  return {
    id: soft(field.id.optional(), undefined),
    scopes: soft(field.scopes, []),
    revoked: soft(field.flag(false), false),
    ...secret(read),
  };
}

function accessToken(read: Reader) {
  const { entry, soft } = read;
  const common = { name: field.name, expires_at: soft(field.date, null), ...anyToken(read) };
  const tokenRole = soft(role, 'guest');
  return z.discriminatedUnion(
    'kind',
    [
      entry({ kind: z.literal('personal'), user: field.component, ...common }),
      entry({ kind: z.literal('project'), project: path, role: tokenRole, ...common }),
      entry({ kind: z.literal('group'), group: path, role: tokenRole, ...common }),
    ],
    {
      error: ({ code, input }) => (code === 'invalid_union' ? wrongKind(input) : undefined),
    },
  );
}

function wrongKind(entry: unknown): string {
  const kind = isRecord(entry) ? String(entry['kind']) : '';
  return `must be personal, project or group${didYouMean(kind, ['personal', 'project', 'group'])}`;
}

function deployToken(read: Reader) {
  const { entry, soft } = read;
  return entry({
    username: field.name,
    projects: soft(z.array(path, 'must be a list of paths').nullish(), undefined),
    group: soft(path.nullish(), undefined),
    expires_at: soft(field.timestamp, null),
    ...anyToken(read),
  });
}

function jobToken(read: Reader) {
  const { entry, soft } = read;
  return entry({
    id: soft(field.id.optional(), undefined),
    project: path,
    user: soft(field.component.nullish(), null),
    running: soft(field.flag(true), true),
    expires_at: soft(field.timestamp, null),
    ...secret(read),
  });
}

/** Either an account, or a project or group whose bot gets a role. */
function federatedIdentity({ entry, soft }: Reader) {
  return entry({
    name: federationName,
    id: soft(field.id.optional(), undefined),
    issuer: soft(federationName, ''),
    account: soft(field.component.nullish(), undefined),
    project: soft(path.nullish(), undefined),
    group: soft(path.nullish(), undefined),
    role: soft(role.nullish(), undefined),
    scopes: soft(field.scopes, []),
    claims: soft(claimPins, {}),
    expires_at: soft(field.date, null),
  });
}

/** Each entry of a list gets `at`, its index in the file from 0: a lenient reading leaves gaps. */
function reader(mode: Mode) {
  const lenient = mode === 'lenient';
  const entry = <S extends z.ZodRawShape>(shape: S) => (lenient ? z.object(shape) : z.strictObject(shape));
  const entries = <E extends z.ZodType>(element: E, max: number): z.ZodType<readonly Placed<E>[]> => {
    const place = (list: readonly (z.output<E> | null)[]): readonly Placed<E>[] =>
      list.flatMap((value, at) => (value === null ? [] : [{ ...value, at }]));
    return lenient
      ? z.array(element.nullable().catch(null)).transform(place)
      : z.array(element, MUST_BE_LIST).max(max, `must have at most ${max} entries`).transform(place);
  };
  return {
    entry,
    section: <E extends z.ZodType>(element: E) =>
      soft(entries(element, Number.POSITIVE_INFINITY).optional(), undefined),
    list: <E extends z.ZodType>(element: E, max = Number.POSITIVE_INFINITY) =>
      soft(
        entries(element, max)
          .nullish()
          .transform((value) => value ?? []),
        [],
      ),
    listOf: <E extends z.ZodType>(element: E) =>
      z
        .array(element, MUST_BE_LIST)
        .nullish()
        .transform((value) => value ?? []),
    soft,
  };
  function soft<O>(schema: z.ZodType<O>, fallback: NoInfer<O>): z.ZodType<O> {
    return lenient ? schema.catch(() => fallback) : schema;
  }
}

type Reader = ReturnType<typeof reader>;

type Placed<E extends z.ZodType> = z.output<E> & { readonly at: number };

export type DirectoryDocument = z.output<ReturnType<typeof documentSchema>>;

type Entries<S extends keyof DirectoryDocument> = NonNullable<DirectoryDocument[S]>;
export type OrganizationEntry = Entries<'organizations'>[number];
export type UserEntry = Entries<'users'>[number];
export type GroupEntry = Entries<'groups'>[number];
export type ProjectEntry = Entries<'projects'>[number];
export type AccessTokenEntry = Entries<'access_tokens'>[number];
export type DeployTokenEntry = Entries<'deploy_tokens'>[number];
export type JobTokenEntry = Entries<'job_tokens'>[number];
export type FederatedIdentityEntry = Entries<'federated_identities'>[number];
