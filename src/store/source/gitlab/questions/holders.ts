import type { AccessTokenRecord } from '../../../../authn/account.ts';
import type { ConfiguredIdentity } from '../../../../config/federation.ts';
import { levelOfRole } from '../../../../policy/role.ts';
import type { Sql } from '../../../database/drivers.ts';
import { toIdentityRecord } from '../../configured-identities.ts';
import type { Holder, HolderQuestion } from '../../questions.ts';
import { accessTokenColumn, type CredentialRow } from '../credentials.ts';
import { personColumn } from '../people.ts';
import { OWNER } from '../projects.ts';
import { NO_JOB } from '../reading.ts';
import { settingsRelation } from '../settings.ts';
import type { Shape } from '../shape.ts';
import type { GitlabAside } from '../source.ts';

/** `users.user_type` of people. */
const PEOPLE = '(0, 4)';

/**
 * Who may have access to one project: $1 the project, $2 levels, $3 to $5 the place of the page
 * before, $6 the limit, $7 the accounts of the identities of the settings. From each source of a
 * role it reads no more users than the page can hold, in the order of an index.
 */
function holdersText(shape: Shape, isEnterprise: boolean): string {
  const flagged = (flag: string): string =>
    `UNION (SELECT id FROM users WHERE ${flag} AND id >= $3 ORDER BY id LIMIT $6::bigint + 1)`;
  const ownsOrganization =
    shape.hasTable('organization_users') && shape.has('projects', 'organization_id')
      ? `UNION (SELECT owning.user_id FROM projects AS p JOIN organization_users AS owning ON owning.organization_id = p.organization_id
          WHERE p.id = $1 AND owning.access_level = ${OWNER} AND owning.user_id >= $3 ORDER BY owning.user_id LIMIT $6::bigint + 1)`
      : '';
  return `
    WITH holder AS MATERIALIZED (
      SELECT id FROM (
        (SELECT DISTINCT user_id AS id FROM project_authorizations
          WHERE project_id = $1 AND user_id >= $3 AND access_level = ANY ($2::integer[]) ORDER BY user_id LIMIT $6::bigint + 1)
        ${ownsOrganization}
        ${flagged('admin')}
        ${isEnterprise && shape.has('users', 'auditor') ? flagged('auditor IS TRUE') : ''}
      ) AS found ORDER BY id LIMIT $6::bigint + 1)
    SELECT setting.*, holder.id AS user_id, credential.rank, credential.id, credential.record AS access_token,
      ${personColumn(shape, 'holder.id', false)} AS account,
      EXISTS (SELECT FROM personal_access_tokens AS any_token WHERE any_token.user_id = holder.id) AS has_tokens
    FROM ${settingsRelation(shape)} CROSS JOIN holder JOIN users AS owner ON owner.id = holder.id
    CROSS JOIN LATERAL (
      SELECT 0 AS rank, 0::bigint AS id, NULL::json AS record WHERE holder.id > $3 OR $4::integer < 0
      UNION ALL (
        SELECT 1, t.id, ${accessTokenColumn(shape)} FROM personal_access_tokens AS t
        WHERE t.user_id = holder.id AND coalesce(owner.user_type, 0) NOT IN ${PEOPLE} AND (holder.id > $3 OR (1, t.id) > ($4, $5))
        ORDER BY t.id LIMIT $6)
      UNION ALL (
        SELECT 2, one.id, NULL::json FROM unnest($7::text[]) WITH ORDINALITY AS one (account, id)
        WHERE one.account = lower(owner.username) AND (holder.id > $3 OR (2, one.id) > ($4, $5))
        ORDER BY one.id LIMIT $6)
    ) AS credential
    ORDER BY holder.id, credential.rank, credential.id LIMIT $6`;
}

type HolderRow = CredentialRow & {
  readonly user_id: number;
  readonly rank: number;
  readonly id: number;
  readonly has_tokens: boolean;
  readonly [column: string]: unknown;
};

interface HolderSources {
  readonly shape: Shape;
  readonly aside: Pick<GitlabAside, 'isEnterprise' | 'toRecords'>;
  readonly identities: readonly ConfiguredIdentity[];
  /** Which of these identities are on the deny list. */
  readonly readRevoked: (names: readonly string[]) => Promise<ReadonlySet<string>>;
}

/** Fewer than `limit`: there are no more. */
export async function findHolders(
  sql: Sql,
  { shape, aside, identities, readRevoked }: HolderSources,
  { projectId, roles, after, limit }: HolderQuestion,
): Promise<readonly Holder[]> {
  const { userId, rank, id } = after ?? { userId: 0, rank: -1, id: 0 };
  const rows = await sql.query<HolderRow>(holdersText(shape, aside.isEnterprise), [
    projectId,
    roles.map(levelOfRole),
    ...[userId, rank, id, limit],
    identities.map(({ account }) => account.toLowerCase()),
  ]);
  const identityOf = (row: HolderRow): ConfiguredIdentity | undefined =>
    row.rank === 2 ? identities[row.id - 1] : undefined;
  const named = rows.flatMap((row) => identityOf(row)?.name ?? []);
  const revoked = named.length === 0 ? new Set<string>() : await readRevoked(named);
  return rows.flatMap((row): readonly Holder[] => {
    const { accessToken, account } = aside.toRecords({ ...row, owner: row.account ?? null }, NO_JOB);
    if (account === null) return [];
    const identity = identityOf(row);
    return [
      {
        place: { userId: row.user_id, rank: row.rank, id: row.id },
        account,
        hasTokens: row.has_tokens,
        token: row.rank === 1 ? (accessToken ?? switchedOff(row.id, account)) : null,
        identity: identity ? toIdentityRecord(identity, account, revoked.has(identity.name)) : null,
      },
    ];
  });
}

/** Stands for an access token of a GitLab that has switched them off: it is refused. */
function switchedOff(id: number, owner: AccessTokenRecord['owner']): AccessTokenRecord {
  return { id, name: '', scopes: [], expiresOn: null, revoked: true, owner };
}
