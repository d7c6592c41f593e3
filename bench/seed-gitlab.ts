import { openPostgres } from '../src/store/database/postgres.ts';
import { deriveKeys } from '../src/store/source/gitlab/keys.ts';
import { createGitlab } from '../test/support/gitlab/company.ts';
import { grantTo } from '../test/support/gitlab/roles.ts';
import { gitlabEnvironment } from '../test/support/gitlab/server.ts';
import { groupsOfUser, OTHERS, type Size, secretOf, secretsBeginWith } from './seed.ts';

/** A project, and more bots than in any real GitLab, so that the ids of groups and projects don't meet. */
const FIRST_PROJECT_NAMESPACE = 20_000_000;

/**
 * Fills an empty database with a GitLab that has the same town as `seed`.
 * @returns the environment of a server that reads it with the least rights.
 */
export async function seedGitlab(url: string, size: Size): Promise<Readonly<Record<string, string>>> {
  const gitlab = await createGitlab(url);
  const { users, groups, projects, accessTokens } = size;
  const salt = gitlab.dbKeyBase.slice(0, 32);
  const numbers = (count: number): string => `generate_series(1, ${count}) AS n`;
  const statements = [
    'INSERT INTO application_settings (enforce_ci_inbound_job_token_scope_enabled) VALUES (true)',
    "INSERT INTO organizations (id, path) VALUES (1, 'default')",
    `INSERT INTO users (id, username, email, state, confirmed_at)
       SELECT n, 'user-' || n, 'user-' || n || '@example.com', 'active', now() FROM ${numbers(users)}`,
    `INSERT INTO user_details (user_id) SELECT n FROM ${numbers(users)}`,
    `INSERT INTO namespaces (id, type, path, traversal_ids) SELECT n, 'Group', 'group-' || n, ARRAY[n] FROM ${numbers(groups)}`,
    `INSERT INTO namespaces (id, type, path, parent_id, traversal_ids)
       SELECT ${FIRST_PROJECT_NAMESPACE} + n, 'Project', 'project-' || n, n % ${groups} + 1, ARRAY[n % ${groups} + 1, ${FIRST_PROJECT_NAMESPACE} + n]
       FROM ${numbers(projects)}`,
    `INSERT INTO namespace_settings (namespace_id) SELECT n FROM ${numbers(groups)}`,
    `INSERT INTO routes (source_type, source_id, path) SELECT 'Namespace', n, 'group-' || n FROM ${numbers(groups)}`,
    `INSERT INTO projects (id, namespace_id, project_namespace_id, path, visibility_level)
       SELECT n, n % ${groups} + 1, ${FIRST_PROJECT_NAMESPACE} + n, 'project-' || n, CASE WHEN n % 4 = 0 THEN 20 ELSE 0 END FROM ${numbers(projects)}`,
    `INSERT INTO routes (source_type, source_id, path)
       SELECT 'Project', n, 'group-' || n % ${groups} + 1 || '/project-' || n FROM ${numbers(projects)}`,
    `INSERT INTO project_features (project_id, container_registry_access_level) SELECT n, 20 FROM ${numbers(projects)}`,
    `INSERT INTO project_ci_cd_settings (project_id) SELECT n FROM ${numbers(projects)}`,
    `INSERT INTO container_repositories (project_id, name, created_at, updated_at) SELECT n, '', now(), now() FROM ${numbers(projects)}`,
    `INSERT INTO project_authorizations (user_id, project_id, access_level)
       SELECT DISTINCT member.user_id, project.id, 30
       FROM (SELECT n AS user_id, ${groupsOfUser('n', groups)} AS group_id FROM ${numbers(users)}, generate_series(0, 4) AS step) AS member
       JOIN projects AS project ON project.namespace_id = member.group_id`,
    `INSERT INTO container_registry_protection_tag_rules (project_id, tag_name_pattern, minimum_access_level_for_push, minimum_access_level_for_delete)
       SELECT n * 3, 'v.*', 40, 40 FROM ${numbers(Math.floor(projects / 3))}`,
    `INSERT INTO personal_access_tokens (id, user_id, name, scopes, token_digest)
       SELECT n, (n - 1) % ${users} + 1, 'bench', E'---\\n- api\\n', encode(sha256(('${secretsBeginWith('glpat')}' || n || '${salt}')::bytea), 'base64')
       FROM ${numbers(accessTokens)}`,
  ];
  // As the owner, without the time limit of a token request.
  for (const statement of statements) await gitlab.main.execute(statement);
  const keys = deriveKeys([gitlab.dbKeyBase]);
  const others = Array.from({ length: OTHERS }, (_, at) => {
    const id = at + 1;
    const user = (id % users) + 1;
    return {
      id,
      user,
      group: (id % groups) + 1,
      project: ((user * 13) % groups) + groups * (1 + (id % (Math.floor(projects / groups) - 1))),
      deploy: keys.encryptedTokens(secretOf('gldt', id))[0],
      job: keys.encryptedTokens(secretOf('glcbt', id))[0],
    };
  });
  const rows = [JSON.stringify(others)];
  const given =
    'json_to_recordset($1::json) AS given (id bigint, "user" bigint, "group" bigint, project bigint, deploy text, job text)';
  const database = openPostgres(url);
  await database.transaction(
    async (sql) => {
      await sql.query(
        `INSERT INTO deploy_tokens (id, name, username, revoked, read_registry, expires_at, token_encrypted)
           SELECT id, 'bench', 'deploy-' || id, false, true, '3000-01-01', deploy FROM ${given}`,
        rows,
      );
      await sql.query(
        `INSERT INTO group_deploy_tokens (group_id, deploy_token_id) SELECT "group", id FROM ${given}`,
        rows,
      );
      await sql.query(
        `INSERT INTO p_ci_builds (id, partition_id, type, status, project_id, user_id, token_encrypted)
           SELECT id, 100 + id % 3, 'Ci::Build', 'running', project, "user", job FROM ${given}`,
        rows,
      );
    },
    { statementTimeoutMs: 60_000 },
  );
  await database.close();
  await gitlab.main.execute('VACUUM ANALYZE');
  await gitlab.main.execute('CHECKPOINT');
  const roles = await grantTo(gitlab);
  await gitlab.close();
  return gitlabEnvironment(gitlab, { ...roles, edition: 'ee', mayWrite: true });
}
