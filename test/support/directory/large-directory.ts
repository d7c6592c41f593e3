import { createHash } from 'node:crypto';
import type { Database } from '../../../src/store/database/drivers.ts';

/** The size of a directory: how many rows of each kind it holds beside those of the request. */
export interface CrowdSize {
  readonly users: number;
  /** How many trees of groups there are; each is ten groups deep. */
  readonly groupTrees: number;
  readonly projects: number;
  /** The memberships of each user: nine in groups, the others in projects. */
  readonly membershipsPerUser: number;
  /** Groups that the asking user is a member of, beside those that matter. */
  readonly groupsOfMember: number;
}

const DEPTH = 10;
/** The largest number of projects that one request may ask for. */
export const MOST_PROJECTS = 64;
const FIRST_ID = 5_000_000;
/** A value as long as a real hash; no test verifies it. */
const PASSWORD_HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** Example secrets, which the directory below contains. */
export const CREDENTIALS = {
  member: { username: 'member', password: 'glpat-example-of-the-member' },
  outsider: { username: 'outsider', password: 'glpat-example-of-the-outsider' },
  deployToken: { username: 'puller', password: 'gldt-example-of-the-puller' },
  /** A secret that does not look like a token. */
  password: { username: 'member', password: 'correct horse' },
  job: { username: 'gitlab-ci-token', password: 'glcbt-example-of-the-job' },
} as const;

const GROUP_PATH = Array.from({ length: DEPTH }, (_, level) => `level-${level + 1}`).join('/');

/** @param number from 1 */
export function projectPath(number: number): string {
  return `${GROUP_PATH}/project-${number}`;
}

/**
 * What one request is about, and nothing else: private projects ten groups deep, a user who is a
 * member in four ways, a user who owns nothing, a deploy token of the root group and a job of the
 * second project, which the others let in.
 * @param projects at least two
 */
export async function seedAskedProjects(database: Database, projects: number): Promise<void> {
  await database.execute(`
    INSERT INTO organizations (id, path, path_key) VALUES (1, 'default', 'default') ON CONFLICT (id) DO NOTHING;
    INSERT INTO users (id, organization_id, username, username_key, password_hash)
      VALUES (${FIRST_ID + 1}, 1, 'member', 'member', '${PASSWORD_HASH}'), (${FIRST_ID + 2}, 1, 'outsider', 'outsider', '${PASSWORD_HASH}');
    INSERT INTO namespaces (id, type, organization_id, owner_id, path, path_key, traversal_ids)
      SELECT ${FIRST_ID + 100} + n, 'User', 1, ${FIRST_ID} + n, username, username, ARRAY[${FIRST_ID + 100} + n]
      FROM users, LATERAL (SELECT id - ${FIRST_ID} AS n) AS numbered WHERE id > ${FIRST_ID};
    INSERT INTO namespaces (id, type, organization_id, parent_id, path, path_key, traversal_ids, ip_allowlist)
      SELECT ${FIRST_ID} + n, 'Group', 1, CASE WHEN n > 1 THEN ${FIRST_ID} + n - 1 END, path, path, traversal_ids,
        CASE WHEN n = 1 THEN ARRAY['10.0.0.0/8', '192.0.2.0/24'] ELSE '{}' END
      FROM generate_series(1, ${DEPTH}) AS n, LATERAL (
        SELECT string_agg('level-' || level, '/' ORDER BY level) AS path, array_agg(${FIRST_ID} + level ORDER BY level) AS traversal_ids
        FROM generate_series(1, n) AS level) AS above;
    INSERT INTO namespaces (id, type, organization_id, path, path_key, traversal_ids)
      SELECT ${FIRST_ID} + n, 'Group', 1, 'invited-' || n, 'invited-' || n, ARRAY[${FIRST_ID} + n] FROM generate_series(11, 14) AS n;
    INSERT INTO projects (id, namespace_id, path, path_key)
      SELECT ${FIRST_ID} + n, ${FIRST_ID + DEPTH}, '${GROUP_PATH}/project-' || n, '${GROUP_PATH}/project-' || n FROM generate_series(1, ${projects}) AS n;
    INSERT INTO group_group_links (shared_group_id, shared_with_group_id, role)
      VALUES (${FIRST_ID + 1}, ${FIRST_ID + 11}, 'reporter'), (${FIRST_ID + 5}, ${FIRST_ID + 12}, 'developer');
    INSERT INTO project_group_links (project_id, group_id, role)
      SELECT ${FIRST_ID} + n, ${FIRST_ID} + invited, 'developer' FROM generate_series(1, ${projects}) AS n, generate_series(13, 14) AS invited;
    INSERT INTO members (source_type, source_id, user_id, role)
      VALUES ('Namespace', ${FIRST_ID + 3}, ${FIRST_ID + 1}, 'developer'), ('Namespace', ${FIRST_ID + 11}, ${FIRST_ID + 1}, 'maintainer'),
        ('Namespace', ${FIRST_ID + 13}, ${FIRST_ID + 1}, 'maintainer'), ('Project', ${FIRST_ID + 1}, ${FIRST_ID + 1}, 'maintainer');
    INSERT INTO protected_repositories (project_id, position, pattern, minimum_role_for_push)
      SELECT ${FIRST_ID} + n, position, projects.path || '/prod*', 'owner'
      FROM generate_series(1, ${projects}) AS n JOIN projects ON projects.id = ${FIRST_ID} + n, generate_series(1, 2) AS position;
    INSERT INTO protected_tags (project_id, position, pattern, minimum_role_for_push)
      SELECT ${FIRST_ID} + n, position, 'v' || position || '.*', 'maintainer' FROM generate_series(1, ${projects}) AS n, generate_series(1, 3) AS position;
    INSERT INTO access_tokens (id, kind, name, user_id, scopes, token_digest)
      VALUES (${FIRST_ID + 1}, 'personal', 'laptop', ${FIRST_ID + 1}, '{api}', ${digest(CREDENTIALS.member.password)}),
        (${FIRST_ID + 2}, 'personal', 'laptop', ${FIRST_ID + 2}, '{api}', ${digest(CREDENTIALS.outsider.password)});
    INSERT INTO deploy_tokens (id, username, scopes, group_id, token_digest)
      VALUES (${FIRST_ID + 1}, 'puller', '{read_registry}', ${FIRST_ID + 1}, ${digest(CREDENTIALS.deployToken.password)});
    INSERT INTO job_tokens (id, project_id, user_id, token_digest)
      VALUES (${FIRST_ID + 1}, ${FIRST_ID + 2}, ${FIRST_ID + 1}, ${digest(CREDENTIALS.job.password)});
    INSERT INTO job_token_group_links (project_id, target_group_id)
      SELECT ${FIRST_ID} + n, ${FIRST_ID + 2} FROM generate_series(1, ${projects}) AS n WHERE n <> 2`);
}

/**
 * Adds all other users, groups and projects to a directory that holds the request's own. No answer
 * depends on them.
 */
export async function seedCrowd(database: Database, size: CrowdSize): Promise<void> {
  for (const statement of crowdStatements(size)) await database.execute(statement);
}

function crowdStatements({
  users,
  groupTrees,
  projects,
  membershipsPerUser,
  groupsOfMember,
}: CrowdSize): readonly string[] {
  const groups = groupTrees * DEPTH;
  const stride = Math.floor(groups / 9);
  return [
    `INSERT INTO users (id, organization_id, username, username_key, email, email_key, password_hash)
       SELECT n, 1, 'user-' || n, 'user-' || n, 'user-' || n || '@example.com', 'user-' || n || '@example.com', '${PASSWORD_HASH}' FROM generate_series(1, ${users}) AS n`,
    `INSERT INTO namespaces (id, type, organization_id, parent_id, path, path_key, traversal_ids)
       SELECT n, 'Group', 1, CASE WHEN level > 1 THEN n - 1 END, path, path, traversal_ids
       FROM generate_series(1, ${groups}) AS n,
         LATERAL (SELECT (n - 1) / ${DEPTH} AS tree, (n - 1) % ${DEPTH} + 1 AS level) AS place,
         LATERAL (
           SELECT 'tree-' || tree || coalesce(string_agg('/level-' || step, '' ORDER BY step) FILTER (WHERE step > 1), '') AS path,
             array_agg(tree * ${DEPTH} + step ORDER BY step) AS traversal_ids
           FROM generate_series(1, level) AS step) AS above`,
    `INSERT INTO namespaces (id, type, organization_id, owner_id, path, path_key, traversal_ids)
       SELECT 1000000 + n, 'User', 1, n, 'user-' || n, 'user-' || n, ARRAY[1000000 + n] FROM generate_series(1, ${users}) AS n`,
    // One in five is a personal project.
    `INSERT INTO projects (id, namespace_id, path, path_key, visibility)
       SELECT n, namespaces.id, namespaces.path || '/project-' || n, namespaces.path || '/project-' || n,
         (ARRAY['private', 'private', 'internal', 'public'])[n % 4 + 1]
       FROM generate_series(1, ${projects}) AS n
       JOIN namespaces ON namespaces.id = CASE WHEN n % 5 = 0 THEN 1000000 + n % ${users} + 1 ELSE n * 7919::bigint % ${groups} + 1 END`,
    `INSERT INTO members (source_type, source_id, user_id, role)
       SELECT 'Namespace', n * 7919::bigint % ${stride} + ${stride} * step + 1, n, (ARRAY['guest', 'reporter', 'developer', 'maintainer', 'owner'])[step % 5 + 1]
       FROM generate_series(1, ${users}) AS n, generate_series(0, 8) AS step`,
    `INSERT INTO members (source_type, source_id, user_id, role)
       SELECT 'Project', n * 7919::bigint % ${projects} + 1 + step, n, 'developer'
       FROM generate_series(1, ${users}) AS n, generate_series(1, ${membershipsPerUser - 9}) AS step`,
    `INSERT INTO members (source_type, source_id, user_id, role)
       SELECT 'Namespace', n * ${Math.floor(groups / groupsOfMember)}, ${FIRST_ID + 1}, 'developer' FROM generate_series(1, ${groupsOfMember}) AS n`,
    // A company's root group has many members.
    `INSERT INTO members (source_type, source_id, user_id, role)
       SELECT 'Namespace', ${FIRST_ID + 1}, n, 'guest' FROM generate_series(1, ${users}, 20) AS n`,
    `INSERT INTO group_group_links (shared_group_id, shared_with_group_id, role)
       SELECT n, n * 31 % ${groups} + 1, 'developer' FROM generate_series(2, ${groups}, 2) AS n`,
    // The group that many projects invite.
    `INSERT INTO group_group_links (shared_group_id, shared_with_group_id, role)
       SELECT n, ${FIRST_ID + 11}, 'reporter' FROM generate_series(1, ${groups}, 10) AS n`,
    `INSERT INTO project_group_links (project_id, group_id, role)
       SELECT n, n * 31 % ${groups} + 1, 'developer' FROM generate_series(1, ${projects}, 2) AS n`,
    `INSERT INTO project_group_links (project_id, group_id, role)
       SELECT n, ${FIRST_ID + 13}, 'reporter' FROM generate_series(1, ${projects}, 20) AS n`,
    `INSERT INTO protected_repositories (project_id, position, pattern, minimum_role_for_push)
       SELECT id, 1, path || '/prod*', 'owner' FROM projects WHERE id % 2 = 0 AND id < ${FIRST_ID}`,
    `INSERT INTO protected_tags (project_id, position, pattern, minimum_role_for_push)
       SELECT n, 1, 'v.*', 'maintainer' FROM generate_series(1, ${projects}, 2) AS n`,
    `INSERT INTO access_tokens (kind, name, user_id, scopes, token_digest)
       SELECT 'personal', 'laptop', n % ${users} + 1, '{read_registry}', sha256(('access' || n)::bytea) FROM generate_series(1, ${users * 2}) AS n`,
    `INSERT INTO deploy_tokens (id, username, scopes, group_id, token_digest)
       SELECT n, 'deploy-' || n, '{read_registry}', CASE WHEN n % 2 = 0 THEN n * 7 % ${groups} + 1 END, sha256(('deploy' || n)::bytea)
       FROM generate_series(1, ${Math.ceil(users / 5)}) AS n`,
    `INSERT INTO project_deploy_tokens (deploy_token_id, project_id)
       SELECT id, id * 13 % ${projects} + 1 FROM deploy_tokens WHERE group_id IS NULL`,
    `INSERT INTO job_tokens (project_id, user_id, token_digest)
       SELECT n * 13 % ${projects} + 1, n, sha256(('job' || n)::bytea) FROM generate_series(1, ${Math.ceil(users / 5)}) AS n`,
    `INSERT INTO job_token_project_links (project_id, target_project_id)
       SELECT n, n * 31 % ${projects} + 1 FROM generate_series(1, ${projects}, 2) AS n`,
    `INSERT INTO job_token_group_links (project_id, target_group_id)
       SELECT n, n * 31 % ${groups} + 1 FROM generate_series(1, ${projects}, 5) AS n`,
  ];
}

function digest(secret: string): string {
  return `'\\x${createHash('sha256').update(secret).digest('hex')}'::bytea`;
}
