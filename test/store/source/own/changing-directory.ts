import { applyDirectory } from '../../../../src/directory/apply.ts';
import type { Database } from '../../../../src/store/database/drivers.ts';

/**
 * A small directory, and changes of it that can follow each other in any order. Ids: users 11 and
 * 12; groups acme 20 with acme/sub 22 and acme/sub/deep 25, friends 21, other 23; projects from
 * 101 on.
 */
export const SECRETS = {
  alice: 'glpat-example-of-alice-1',
  bob: 'glpat-example-of-bob-0001',
  /** Without the form of a token. */
  old: 'of-alice-without-the-form-of-a-token',
  deploy: 'gldt-example-deploy-1',
  job: 'glcbt-example-job-token-1',
  otherJob: 'glcbt-example-job-token-2',
} as const;

const personal = (id: number, user: string, token: string): object => ({
  ...{ id, user, token },
  name: `token-${id}`,
  kind: 'personal',
  scopes: ['api'],
});

const DIRECTORY = {
  version: 1,
  users: [
    { username: 'alice', id: 11, email: 'alice@example.com' },
    { username: 'bob', id: 12 },
  ],
  groups: [
    { path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer' }] },
    { path: 'friends', id: 21, members: [{ user: 'bob', role: 'developer' }] },
    { path: 'acme/sub', id: 22 },
    { path: 'other', id: 23 },
    { path: 'acme/sub/deep', id: 25 },
  ],
  projects: [
    {
      path: 'acme/app',
      id: 101,
      protected_repositories: [{ pattern: 'acme/app/x', minimum_role_for_push: 'owner' }],
      protected_tags: [{ pattern: 'v.*', minimum_role_for_push: 'maintainer' }],
    },
    { path: 'acme/open', id: 102, visibility: 'public' },
    { path: 'acme/sub/api', id: 103 },
    { path: 'other/tool', id: 104 },
    { path: 'acme/sub/deep/well', id: 105 },
  ],
  access_tokens: [
    personal(1, 'alice', SECRETS.alice),
    personal(2, 'bob', SECRETS.bob),
    personal(5, 'alice', SECRETS.old),
  ],
  deploy_tokens: [
    { id: 3, username: 'puller', scopes: ['read_registry'], projects: ['acme/app'], token: SECRETS.deploy },
  ],
  job_tokens: [
    { id: 4, project: 'acme/app', user: 'alice', token: SECRETS.job },
    { id: 6, project: 'acme/sub/api', user: 'bob', token: SECRETS.otherJob },
  ],
};

/** One row at least in each table that a document fills otherwise. */
const OTHER_ROWS = [
  'INSERT INTO organization_users (organization_id, user_id) SELECT id, 12 FROM organizations',
  "INSERT INTO group_group_links (shared_group_id, shared_with_group_id, role) VALUES (20, 21, 'reporter')",
  "INSERT INTO project_group_links (project_id, group_id, role) VALUES (104, 22, 'developer')",
  'INSERT INTO job_token_project_links (project_id, target_project_id) VALUES (104, 101)',
  'INSERT INTO job_token_group_links (project_id, target_group_id) VALUES (104, 22)',
].join(';');

export async function fillDirectory(database: Database): Promise<void> {
  const passwords = { hash: async () => '', verify: async () => false };
  const document = JSON.stringify(DIRECTORY);
  await applyDirectory({ database, passwords, now: () => new Date() }, document, {
    prune: false,
    who: 'a test',
  });
  await database.execute(OTHER_ROWS);
}

const LAST_COMPONENT = "regexp_replace(path_key, '^.*/', '')";

/** Writes the paths and ancestors of everything anew, as they follow from parents and last names. */
const REBUILD_PATHS = `
  WITH RECURSIVE tree AS (
    SELECT id, ${LAST_COMPONENT} AS path, ARRAY[id] AS ids FROM namespaces WHERE parent_id IS NULL
    UNION ALL
    SELECT child.id, tree.path || '/' || regexp_replace(child.path_key, '^.*/', ''), tree.ids || child.id
    FROM namespaces AS child JOIN tree ON child.parent_id = tree.id)
  UPDATE namespaces SET path = tree.path, path_key = tree.path, traversal_ids = tree.ids
  FROM tree WHERE tree.id = namespaces.id AND (namespaces.path_key, traversal_ids) IS DISTINCT FROM (tree.path, tree.ids);
  UPDATE projects SET path = fresh.path, path_key = fresh.path
  FROM (SELECT project.id, above.path_key || '/' || regexp_replace(project.path_key, '^.*/', '') AS path
    FROM projects AS project JOIN namespaces AS above ON above.id = project.namespace_id) AS fresh
  WHERE fresh.id = projects.id AND path_key <> fresh.path`;

export const moveGroup = (id: number, parent: number | null): string =>
  `UPDATE namespaces SET parent_id = ${parent ?? 'NULL'} WHERE id = ${id}; ${REBUILD_PATHS}`;
/** Does nothing where another group has the path. */
export const renameGroup = (id: number, path: string): string =>
  `UPDATE namespaces SET path_key = '${path}' WHERE id = ${id}
     AND NOT EXISTS (SELECT FROM namespaces WHERE path_key = '${path}'); ${REBUILD_PATHS}`;
export const moveProject = (id: number, group: number): string =>
  `UPDATE projects SET namespace_id = ${group} WHERE id = ${id}; ${REBUILD_PATHS}`;
const renameProject = (id: number, name: string): string =>
  `UPDATE projects SET path_key = 'x/${name}' WHERE id = ${id}; ${REBUILD_PATHS}`;

const digest = (secret: string): string => `sha256('${secret}')`;
const toggle = (column: string, one: string, other: string): string =>
  `${column} = CASE ${column} WHEN '${one}' THEN '${other}' ELSE '${one}' END`;

const SETTINGS = [
  'UPDATE settings SET maintenance_mode = NOT maintenance_mode',
  'UPDATE settings SET password_authentication = NOT password_authentication',
  'UPDATE organizations SET maintenance = NOT maintenance',
];
const USERS = [
  `UPDATE users SET ${toggle('state', 'active', 'blocked')} WHERE id = 11`,
  'UPDATE users SET admin = NOT admin WHERE id = 12',
  `UPDATE users SET ${toggle('username', 'alice', 'alicia')}, ${toggle('username_key', 'alice', 'alicia')} WHERE id = 11`,
  "INSERT INTO members (source_type, source_id, user_id, role) VALUES ('Project', 101, 12, 'guest') ON CONFLICT DO NOTHING",
  "DELETE FROM members WHERE source_type = 'Project'",
  `UPDATE members SET ${toggle('role', 'developer', 'owner')}`,
  'UPDATE members SET user_id = 23 - user_id WHERE source_id = 21',
  'DELETE FROM organization_users',
  'INSERT INTO organization_users (organization_id, user_id) SELECT id, 12 FROM organizations ON CONFLICT DO NOTHING',
];
const TOKENS = [
  'UPDATE access_tokens SET revoked = NOT revoked WHERE id = 1',
  'UPDATE access_tokens SET user_id = 23 - user_id WHERE id = 1',
  'DELETE FROM access_tokens WHERE id = 5',
  `INSERT INTO access_tokens (id, kind, name, user_id, scopes, token_digest) VALUES (5, 'personal', 'old', 12, '{api}', ${digest(SECRETS.old)})
     ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id`,
  'DELETE FROM project_deploy_tokens',
  'INSERT INTO project_deploy_tokens (deploy_token_id, project_id) VALUES (3, 101) ON CONFLICT DO NOTHING',
  'UPDATE deploy_tokens SET group_id = CASE WHEN group_id IS NULL THEN 22 END',
];
const JOBS = [
  'UPDATE job_tokens SET running = NOT running WHERE id = 4',
  'UPDATE job_tokens SET user_id = CASE WHEN user_id IS NULL THEN 12 END WHERE id = 6',
  'UPDATE job_tokens SET project_id = 205 - project_id WHERE id = 4',
  'DELETE FROM job_tokens WHERE id = 4',
  `INSERT INTO job_tokens (id, project_id, user_id, token_digest) VALUES (4, 101, 11, ${digest(SECRETS.job)}) ON CONFLICT (id) DO NOTHING`,
  `INSERT INTO job_tokens (id, project_id, user_id, token_digest) VALUES (6, 103, 12, ${digest(SECRETS.otherJob)}) ON CONFLICT (id) DO NOTHING`,
  'DELETE FROM job_tokens WHERE id = 7',
  // The secret of an access token.
  `INSERT INTO job_tokens (id, project_id, user_id, token_digest) VALUES (7, 101, 12, ${digest(SECRETS.alice)}) ON CONFLICT (id) DO NOTHING`,
  'DELETE FROM job_token_project_links',
  'INSERT INTO job_token_project_links (project_id, target_project_id) VALUES (104, 101) ON CONFLICT DO NOTHING',
  'DELETE FROM job_token_group_links',
  'INSERT INTO job_token_group_links (project_id, target_group_id) VALUES (104, 22) ON CONFLICT DO NOTHING',
  'UPDATE projects SET job_token_open = NOT job_token_open WHERE id = 103',
  'UPDATE projects SET ci_enabled = NOT ci_enabled WHERE id = 101',
];
const SHARES = [
  "INSERT INTO group_group_links (shared_group_id, shared_with_group_id, role) VALUES (20, 21, 'reporter') ON CONFLICT DO NOTHING",
  'DELETE FROM group_group_links',
  'UPDATE group_group_links SET shared_group_id = 43 - shared_group_id WHERE (SELECT count(*) FROM group_group_links) = 1',
  "INSERT INTO project_group_links (project_id, group_id, role) VALUES (104, 22, 'developer') ON CONFLICT DO NOTHING",
  'UPDATE project_group_links SET group_id = 43 - group_id',
  'DELETE FROM project_group_links',
];
const PROJECTS = [
  `UPDATE projects SET ${toggle('visibility', 'public', 'private')} WHERE id = 102`,
  'DELETE FROM protected_repositories',
  "INSERT INTO protected_repositories (project_id, position, pattern) VALUES (101, 0, 'acme/app') ON CONFLICT DO NOTHING",
  `UPDATE protected_tags SET ${toggle('pattern', 'v.*', 'w.*')}`,
  'UPDATE protected_tags SET project_id = 204 - project_id',
  'UPDATE namespaces SET archived = NOT archived WHERE id = 22',
  'UPDATE namespaces SET share_with_group_lock = NOT share_with_group_lock WHERE id = 20',
];
const MOVES = [
  ...[20, 21, 25].map((group) => moveProject(101, group)),
  ...[20, 23, null].map((parent) => moveGroup(22, parent)),
  ...[21, 22].map((parent) => moveGroup(25, parent)),
  ...['acme', 'ex-acme'].map((path) => renameGroup(20, path)),
  ...['friends', 'pals'].map((path) => renameGroup(21, path)),
  // The path that another group has, or had until it was renamed.
  ...['acme', 'other'].map((path) => renameGroup(23, path)),
  ...['open', 'none'].map((name) => renameProject(102, name)),
];
/** Groups and projects that appear and disappear, and one that appears under the path of another. */
const LIVES = [
  `INSERT INTO namespaces (id, type, organization_id, path, path_key, traversal_ids)
     SELECT 30, 'Group', id, 'nowhere', 'nowhere', '{30}' FROM organizations
     WHERE NOT EXISTS (SELECT FROM namespaces WHERE path_key = 'nowhere')`,
  `INSERT INTO projects (id, namespace_id, path, path_key, visibility)
     SELECT 106, id, path_key || '/tool', path_key || '/tool', 'public' FROM namespaces
     WHERE path_key = 'nowhere' AND NOT EXISTS (SELECT FROM projects WHERE id = 106)`,
  'DELETE FROM projects WHERE id = 106',
  "DELETE FROM namespaces WHERE path_key = 'nowhere'",
  `DELETE FROM projects WHERE id = 103;
     INSERT INTO projects (id, namespace_id, path, path_key) SELECT 103, id, path_key || '/api', path_key || '/api' FROM namespaces WHERE id = 22`,
];

/** Each can be made at any time. */
export const CHANGES: readonly string[] = [
  ...SETTINGS,
  ...USERS,
  ...TOKENS,
  ...JOBS,
  ...SHARES,
  ...PROJECTS,
  ...MOVES,
  ...LIVES,
];
