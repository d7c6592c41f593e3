import type { Sql } from '../../database/drivers.ts';
import type { TokenKey } from '../../directory/token-id.ts';
import { type ListedToken, listInTurn, type TokenKind, type TokenQuestion } from '../../directory/tokens.ts';
import { parseScopes } from './credentials.ts';
import { toTime } from './people.ts';
import type { Shape } from './shape.ts';
import { columnOr } from './statement.ts';

/** GitLab's access tokens and deploy tokens for administrators, without their secrets. */

interface Row {
  readonly id: number;
  readonly kind: TokenKind;
  readonly name: string | null;
  readonly username: string;
  readonly projects: readonly string[] | null;
  readonly group: string | null;
  readonly scopes: string;
  readonly expires_at: string | null;
  readonly revoked: boolean;
  readonly last_used_at: Date | null;
  readonly [column: string]: unknown;
}

/** Access tokens by id, then deploy tokens by id: at most `limit` of those after `after`. */
export async function listGitlabTokens(
  sql: Sql,
  shape: Shape,
  { after, limit, ...filter }: TokenQuestion,
): Promise<readonly ListedToken[]> {
  const list = async (
    table: TokenKey['table'],
    above: number,
    count: number,
  ): Promise<readonly ListedToken[]> => {
    const { user = null, project = null, group = null, kind = null } = filter;
    const statement = table === 'access' ? accessTokens(shape) : DEPLOY_TOKENS;
    const lower = (text: string | null): string | null => text?.toLowerCase() ?? null;
    const values = [above, lower(user), lower(project), lower(group), kind, count];
    return (await sql.query<Row>(statement, values)).map((row) => toListed(table, row));
  };
  return listInTurn(list, { after, limit });
}

/**
 * Which of these names GitLab does not have. An empty list of tokens would look like an owner
 * without tokens.
 */
export async function unknownOwners(
  sql: Sql,
  { user, project, group }: Pick<TokenQuestion, 'user' | 'project' | 'group'>,
): Promise<readonly ('user' | 'project' | 'group')[]> {
  const [row] = await sql.query<{ user: boolean; project: boolean; group: boolean }>(
    `SELECT EXISTS (SELECT FROM users WHERE lower(username) = $1::text) AS user,
      EXISTS (SELECT FROM routes WHERE source_type = 'Project' AND lower(path) = $2::text) AS project,
      EXISTS (SELECT FROM routes WHERE source_type = 'Namespace' AND lower(path) = $3::text) AS group`,
    [user?.toLowerCase() ?? null, project?.toLowerCase() ?? null, group?.toLowerCase() ?? null],
  );
  const asked = { user, project, group };
  return (['user', 'project', 'group'] as const).filter(
    (name) => asked[name] !== undefined && row?.[name] !== true,
  );
}

/** `$1` the id before the first one, `$2` to `$4` user, project and group, `$5` the kind, `$6` the limit. */
function accessTokens(shape: Shape): string {
  const token = columnOr(shape, 'personal_access_tokens', 't');
  const knowsBots =
    shape.has('user_details', 'bot_namespace_id') &&
    shape.has('namespaces', 'type') &&
    shape.has('projects', 'project_namespace_id');
  const bot = knowsBots
    ? {
        kind: `CASE WHEN u.user_type IS DISTINCT FROM 6 THEN 'personal' WHEN home.type = 'Group' THEN 'group' ELSE 'project' END`,
        project: `(SELECT route.path FROM projects AS p JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = p.id
          WHERE p.project_namespace_id = home.id AND u.user_type = 6 LIMIT 1)`,
        group: `(SELECT route.path FROM routes AS route
          WHERE route.source_type = 'Namespace' AND route.source_id = home.id AND home.type = 'Group' AND u.user_type = 6 LIMIT 1)`,
        join: `LEFT JOIN user_details AS details ON details.user_id = u.id LEFT JOIN namespaces AS home ON home.id = details.bot_namespace_id`,
      }
    : {
        kind: `CASE WHEN u.user_type IS DISTINCT FROM 6 THEN 'personal' ELSE 'project' END`,
        project: 'NULL',
        group: 'NULL',
        join: '',
      };
  return `
    SELECT * FROM (
      SELECT t.id, ${bot.kind} AS kind, ${token('name', 'NULL')} AS name, u.username,
        CASE WHEN ${bot.project} IS NULL THEN NULL ELSE json_build_array(${bot.project}) END AS projects, ${bot.group} AS group,
        t.scopes, to_json(t.expires_at) #>> '{}' AS expires_at, t.revoked IS TRUE AS revoked, ${token('last_used_at', 'NULL::timestamptz')} AS last_used_at,
        ${bot.project} AS project
      FROM personal_access_tokens AS t JOIN users AS u ON u.id = t.user_id ${bot.join}
      WHERE t.id > $1 AND ($2::text IS NULL OR t.user_id = (SELECT id FROM users WHERE lower(username) = $2 LIMIT 1))
    ) AS token
    WHERE ($2::text IS NULL OR token.kind = 'personal')
      AND ($3::text IS NULL OR lower(token.project) = $3)
      AND ($4::text IS NULL OR lower(token.group) = $4)
      AND ($5::text IS NULL OR token.kind = $5)
    ORDER BY token.id LIMIT $6`;
}

/** The same parameters. Deploy tokens have no user, so a filter by user finds none. */
const DEPLOY_TOKENS = `
  SELECT t.id, 'deploy' AS kind, NULL AS name, coalesce(t.username, 'gitlab+deploy-token-' || t.id) AS username,
    (SELECT json_agg(route.path ORDER BY route.path) FROM project_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = link.project_id
      WHERE link.deploy_token_id = t.id) AS projects,
    (SELECT route.path FROM group_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Namespace' AND route.source_id = link.group_id
      WHERE link.deploy_token_id = t.id LIMIT 1) AS group,
    E'---\\n' || CASE WHEN t.read_registry THEN E'- read_registry\\n' ELSE '' END
      || CASE WHEN t.write_registry THEN E'- write_registry\\n' ELSE '' END AS scopes,
    to_json(t.expires_at) #>> '{}' AS expires_at, t.revoked IS NOT FALSE AS revoked, NULL::timestamptz AS last_used_at
  FROM deploy_tokens AS t
  WHERE t.id > $1 AND $2::text IS NULL
    AND ($3::text IS NULL OR EXISTS (SELECT FROM project_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = link.project_id
      WHERE link.deploy_token_id = t.id AND lower(route.path) = $3))
    AND ($4::text IS NULL OR EXISTS (SELECT FROM group_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Namespace' AND route.source_id = link.group_id
      WHERE link.deploy_token_id = t.id AND lower(route.path) = $4))
    AND ($5::text IS NULL OR $5 = 'deploy')
  ORDER BY t.id LIMIT $6`;

function toListed(table: TokenKey['table'], row: Row): ListedToken {
  return {
    key: { table, number: row.id },
    kind: row.kind,
    name: row.name,
    username: row.username,
    projects: row.projects ?? [],
    group: row.group,
    role: null,
    scopes: table === 'deploy' && row.scopes === '---\n' ? [] : parseScopes(row.scopes),
    expiresAt: table === 'access' ? row.expires_at : toIso(row.expires_at),
    revoked: row.revoked,
    minted: false,
    prefix: null,
    routing: null,
    lastUsedAt: row.last_used_at,
  };
}

function toIso(text: string | null): string | null {
  const time = toTime(text);
  return time === null ? null : new Date(time).toISOString();
}
