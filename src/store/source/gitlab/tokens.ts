import type { Sql } from '../../database/drivers.ts';
import type { TokenKey } from '../../directory/token-id.ts';
import {
  type ListedToken,
  listInTurn,
  type OwnerState,
  type TokenKind,
  type TokenQuestion,
} from '../../directory/tokens.ts';
import { parseScopes } from './credentials.ts';
import { ownerStateColumn } from './owner-state.ts';
import { toTime } from './people.ts';
import { settingsRelation } from './settings.ts';
import type { Shape } from './shape.ts';
import { columnOr, inUtc } from './statement.ts';

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
  readonly created_at: Date | null;
  readonly owner_state: OwnerState | null;
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
    const { user, project, group, kind, owner, ownerState, scope } = filter;
    const { expiresBefore, unusedSince, neverExpires = false } = filter;
    const statement = table === 'access' ? accessTokens(shape) : deployTokens(shape);
    const lower = (text: string | undefined): string | null => text?.toLowerCase() ?? null;
    const places = [lower(user), lower(project), lower(group), kind ?? null];
    const life = [expiresBefore ?? null, unusedSince ?? null, neverExpires, scope ?? null];
    const values = [above, ...places, count, ...life, lower(owner), ownerState ?? null];
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
  asked: Pick<TokenQuestion, OwnerName>,
): Promise<readonly OwnerName[]> {
  const [row] = await sql.query<Record<OwnerName, boolean>>(
    `SELECT EXISTS (SELECT FROM users WHERE lower(username) = $1::text) AS user,
      EXISTS (SELECT FROM users WHERE lower(username) = $4::text) AS owner,
      EXISTS (SELECT FROM routes WHERE source_type = 'Project' AND lower(path) = $2::text) AS project,
      EXISTS (SELECT FROM routes WHERE source_type = 'Namespace' AND lower(path) = $3::text) AS group`,
    OWNER_NAMES.map((name) => asked[name]?.toLowerCase() ?? null),
  );
  return OWNER_NAMES.filter((name) => asked[name] !== undefined && row?.[name] !== true);
}

const OWNER_NAMES = ['user', 'project', 'group', 'owner'] as const;
type OwnerName = (typeof OWNER_NAMES)[number];

/**
 * `$1` the id before the first one, `$2` to `$4` user, project and group, `$5` the kind, `$6` the
 * limit, `$7` the end, `$8` since when it is unused, `$9` whether it never expires, `$10` a scope,
 * `$11` the owner, `$12` the state of the owner.
 */
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
  const created = inUtc(token('created_at', 'NULL::timestamptz'));
  return `
    SELECT * FROM (
      SELECT t.id, ${bot.kind} AS kind, ${token('name', 'NULL')} AS name, u.username,
        CASE WHEN ${bot.project} IS NULL THEN NULL ELSE json_build_array(${bot.project}) END AS projects, ${bot.group} AS group,
        t.scopes, to_json(t.expires_at) #>> '{}' AS expires_at, t.revoked IS TRUE AS revoked, ${token('last_used_at', 'NULL::timestamptz')} AS last_used_at,
        ${bot.project} AS project, ${created} AS created_at, ${ownerStateColumn(shape)} AS owner_state
      FROM personal_access_tokens AS t JOIN users AS u ON u.id = t.user_id ${bot.join}
      CROSS JOIN ${settingsRelation(shape)}
      WHERE t.id > $1
        AND ($2::text IS NULL OR t.user_id = (SELECT id FROM users WHERE lower(username) = $2 LIMIT 1))
        AND ($7::timestamptz IS NULL OR t.expires_at::timestamp AT TIME ZONE 'UTC' < $7)
        AND (NOT $9::boolean OR t.expires_at IS NULL)
        AND ($10::text IS NULL OR ARRAY[$10, ':' || $10] && regexp_split_to_array(t.scopes, $$[]\\s"',[-]+$$))
        AND ($11::text IS NULL OR t.user_id = (SELECT id FROM users WHERE lower(username) = $11 LIMIT 1))
    ) AS token
    WHERE ($2::text IS NULL OR token.kind = 'personal')
      AND ($3::text IS NULL OR lower(token.project) = $3)
      AND ($4::text IS NULL OR lower(token.group) = $4)
      AND ($5::text IS NULL OR token.kind = $5)
      AND ($8::timestamptz IS NULL OR coalesce(token.last_used_at, token.created_at, '-infinity') < $8)
      AND ($12::text IS NULL OR token.owner_state = $12)
    ORDER BY token.id LIMIT $6`;
}

/** The same parameters. Deploy tokens have no user, so a filter by a user finds none. */
function deployTokens(shape: Shape): string {
  const created = inUtc(columnOr(shape, 'deploy_tokens', 't')('created_at', 'NULL::timestamptz'));
  return `
  SELECT t.id, 'deploy' AS kind, NULL AS name, coalesce(t.username, 'gitlab+deploy-token-' || t.id) AS username,
    (SELECT json_agg(route.path ORDER BY route.path) FROM project_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = link.project_id
      WHERE link.deploy_token_id = t.id) AS projects,
    (SELECT route.path FROM group_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Namespace' AND route.source_id = link.group_id
      WHERE link.deploy_token_id = t.id LIMIT 1) AS group,
    E'---\\n' || CASE WHEN t.read_registry THEN E'- read_registry\\n' ELSE '' END
      || CASE WHEN t.write_registry THEN E'- write_registry\\n' ELSE '' END AS scopes,
    to_json(t.expires_at) #>> '{}' AS expires_at, t.revoked IS NOT FALSE AS revoked, NULL::timestamptz AS last_used_at, ${created} AS created_at, NULL AS owner_state
  FROM deploy_tokens AS t
  WHERE t.id > $1 AND $2::text IS NULL AND $11::text IS NULL AND $12::text IS NULL
    AND ($3::text IS NULL OR EXISTS (SELECT FROM project_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = link.project_id
      WHERE link.deploy_token_id = t.id AND lower(route.path) = $3))
    AND ($4::text IS NULL OR EXISTS (SELECT FROM group_deploy_tokens AS link
      JOIN routes AS route ON route.source_type = 'Namespace' AND route.source_id = link.group_id
      WHERE link.deploy_token_id = t.id AND lower(route.path) = $4))
    AND ($5::text IS NULL OR $5 = 'deploy')
    AND ($7::timestamptz IS NULL OR ${inUtc('t.expires_at')} < $7)
    AND ($8::timestamptz IS NULL OR coalesce(${created}, '-infinity') < $8)
    AND (NOT $9::boolean OR coalesce(${inUtc('t.expires_at')}, 'infinity') >= '${FOREVER}')
    AND CASE $10::text WHEN 'read_registry' THEN t.read_registry WHEN 'write_registry' THEN t.write_registry
      ELSE $10 IS NULL END
  ORDER BY t.id LIMIT $6`;
}

/** GitLab gives this end to a deploy token without one (`DeployToken::FOREVER`). */
const FOREVER = '3000-01-01T00:00:00Z';

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
    createdAt: row.created_at,
    createdBy: null,
    ownerState: row.owner_state,
  };
}

function toIso(text: string | null): string | null {
  const time = toTime(text);
  return time === null ? null : new Date(time).toISOString();
}
