import { randomBytes } from 'node:crypto';
import argon2 from 'argon2';
import type { Database } from '../src/store/database/drivers.ts';

/** How large the seeded directory is. */
export interface Size {
  readonly users: number;
  readonly groups: number;
  readonly projects: number;
  readonly accessTokens: number;
}

export const USUAL: Size = { users: 10_000, groups: 2000, projects: 50_000, accessTokens: 200_000 };
export const LARGE: Size = { users: 100_000, groups: 20_000, projects: 1_000_000, accessTokens: 5_000_000 };

const GROUPS_OF_USER = 5;
/** How many deploy tokens there are, and how many jobs. */
export const OTHERS = 5000;
export const PASSWORD = randomBytes(12).toString('hex');

/** Makes the secrets of each run new and unguessable. */
const RUN = randomBytes(8).toString('hex');
export const secretOf = (prefix: string, number: number): string => `${secretsBeginWith(prefix)}${number}`;
/** What stands before the number in a secret. */
export const secretsBeginWith = (prefix: string): string => `${prefix}-${RUN}-`;
/** SQL for the group of a user at `step`, as `groupsOf` has it. */
export const groupsOfUser = (user: string, groups: number): string =>
  `(${user} * 13 + step * 397) % ${groups} + 1`;

/**
 * The seeded directory. Its rows are numbered from 1, and the numbers determine who may do what, so
 * that the bench can write requests without querying the database.
 */
export interface Town {
  readonly size: Size;
  /** A user's name, access token, and the paths of the projects that the user may push to. */
  user(number: number): {
    readonly username: string;
    readonly token: string;
    readonly projects: readonly string[];
  };
  deployToken(number: number): {
    readonly username: string;
    readonly token: string;
    readonly project: string;
  };
  job(number: number): { readonly token: string; readonly project: string };
  publicProject(number: number): string;
}

/** The numbers of the groups that a user is a member of. */
function groupsOf(user: number, { groups }: Size): readonly number[] {
  return Array.from({ length: GROUPS_OF_USER }, (_, at) => ((user * 13 + at * 397) % groups) + 1);
}

export function townOf(size: Size): Town {
  const { users, groups, projects } = size;
  // Project n lies in group n % groups + 1.
  const projectIn = (group: number, turn: number): number =>
    group - 1 + groups * (1 + (turn % (Math.floor(projects / groups) - 1)));
  const pathOf = (project: number): string => `group-${(project % groups) + 1}/project-${project}`;
  return {
    size,
    user: (number) => {
      const id = (number % users) + 1;
      const inGroups = groupsOf(id, size);
      return {
        username: `user-${id}`,
        token: secretOf('glpat', (number % size.accessTokens) - ((number % size.accessTokens) % users) + id),
        projects: Array.from({ length: 10 }, (_, at) =>
          pathOf(projectIn(inGroups[at % inGroups.length] ?? 1, number + at)),
        ),
      };
    },
    deployToken: (number) => {
      const id = (number % OTHERS) + 1;
      const group = (id % groups) + 1;
      return {
        username: `deploy-${id}`,
        token: secretOf('gldt', id),
        project: pathOf(projectIn(group, number)),
      };
    },
    job: (number) => {
      const id = (number % OTHERS) + 1;
      const [group = 1] = groupsOf((id % users) + 1, size);
      return { token: secretOf('glcbt', id), project: pathOf(projectIn(group, id)) };
    },
    publicProject: (number) => pathOf((number * 4) % projects || 4),
  };
}

/**
 * One project in four is public, the others are private; each user is a developer in five groups.
 */
export async function seed(
  database: Database,
  { users, groups, projects, accessTokens }: Size,
): Promise<void> {
  const passwordHash = await argon2.hash(PASSWORD, {
    type: argon2.argon2id,
    memoryCost: 19_456,
    timeCost: 2,
    parallelism: 1,
  });
  const numbers = (count: number): string => `generate_series(1, ${count}) AS n`;
  const statements = [
    `INSERT INTO organizations (id, path, path_key) VALUES (1, 'default', 'default') ON CONFLICT (id) DO NOTHING`,
    `INSERT INTO users (id, organization_id, username, username_key, password_hash)
       SELECT n, 1, 'user-' || n, 'user-' || n, '${passwordHash}' FROM ${numbers(users)}`,
    `INSERT INTO namespaces (id, type, organization_id, path, path_key, traversal_ids)
       SELECT n, 'Group', 1, 'group-' || n, 'group-' || n, ARRAY[n] FROM ${numbers(groups)}`,
    `INSERT INTO namespaces (id, type, organization_id, owner_id, path, path_key, traversal_ids)
       SELECT 10000000 + n, 'User', 1, n, 'user-' || n, 'user-' || n, ARRAY[10000000 + n] FROM ${numbers(users)}`,
    `INSERT INTO projects (id, namespace_id, path, path_key, visibility)
       SELECT n, n % ${groups} + 1, path, path, CASE WHEN n % 4 = 0 THEN 'public' ELSE 'private' END
       FROM ${numbers(projects)}, LATERAL (SELECT 'group-' || n % ${groups} + 1 || '/project-' || n AS path) AS named`,
    `INSERT INTO members (source_type, source_id, user_id, role)
       SELECT 'Namespace', (n * 13 + step * 397) % ${groups} + 1, n, 'developer'
       FROM ${numbers(users)}, generate_series(0, ${GROUPS_OF_USER - 1}) AS step ON CONFLICT DO NOTHING`,
    `INSERT INTO protected_tags (project_id, position, pattern, minimum_role_for_push)
       SELECT n * 3, 1, 'v.*', 'maintainer' FROM ${numbers(Math.floor(projects / 3))}`,
    `INSERT INTO access_tokens (id, kind, name, user_id, scopes, token_digest)
       SELECT n, 'personal', 'bench', (n - 1) % ${users} + 1, '{api}', sha256(('glpat-${RUN}-' || n)::bytea) FROM ${numbers(accessTokens)}`,
    `INSERT INTO deploy_tokens (id, username, scopes, group_id, token_digest)
       SELECT n, 'deploy-' || n, '{read_registry}', n % ${groups} + 1, sha256(('gldt-${RUN}-' || n)::bytea) FROM ${numbers(OTHERS)}`,
    `INSERT INTO job_tokens (id, project_id, user_id, token_digest)
       SELECT n, (user_id * 13 % ${groups}) + ${groups} * (1 + n % ${Math.floor(projects / groups) - 1}), user_id, sha256(('glcbt-${RUN}-' || n)::bytea)
       FROM ${numbers(OTHERS)}, LATERAL (SELECT n % ${users} + 1 AS user_id) AS owner`,
    'VACUUM ANALYZE',
    // Write everything to disk now; otherwise PostgreSQL would do so during the first measurements.
    'CHECKPOINT',
  ];
  for (const statement of statements) await database.execute(statement);
}
