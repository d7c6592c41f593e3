import type { NewRepository } from '../../../authn/source.ts';
import { CellpassError } from '../../../errors.ts';
import type { Sql } from '../../database/drivers.ts';
import type { TokenUse } from '../../directory/tokens.ts';
import { causeOf, hasChanged, sqlStateOf, unfit } from './changes.ts';

/** All that cellpass ever writes to GitLab's database, as Rails would for the same request. */

const NOTE_REPOSITORIES = {
  name: 'gitlab-note-repositories',
  text: `
    INSERT INTO container_repositories (project_id, name, created_at, updated_at)
    SELECT fresh.project_id, fresh.name, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
    FROM json_to_recordset($1::json) AS fresh (project_id bigint, name text)
    ORDER BY fresh.project_id, fresh.name
    ON CONFLICT (project_id, name) DO NOTHING`,
};

/**
 * Lists images that are about to be pushed, so that GitLab shows them, and can clean them up and
 * delete them. Those that are listed already stay as they are. One round trip.
 * @throws {CellpassError} `unavailable` when GitLab takes no row, `denied` when a project was deleted
 *   meanwhile.
 */
export async function noteRepositories(sql: Sql, repositories: readonly NewRepository[]): Promise<void> {
  const rows = repositories.map(({ projectId, name }) => ({ project_id: projectId, name }));
  try {
    await sql.query(NOTE_REPOSITORIES, [JSON.stringify(rows)]);
  } catch (error) {
    throw whyNotListed(error);
  }
}

const NO_SUCH_PROJECT = '23503';
/** Of rows that this GitLab takes in another form: a column that must not be null, a check, and others. */
const CONSTRAINT = /^23/;
/** No unique index for ON CONFLICT. */
const NO_INDEX = '42P10';

function whyNotListed(error: unknown): unknown {
  const state = sqlStateOf(error) ?? '';
  if (state === NO_SUCH_PROJECT) return new CellpassError('denied', 'access forbidden', { cause: error });
  if (!hasChanged(error) && !CONSTRAINT.test(state) && state !== NO_INDEX) return error;
  const advice = 'run "cellpass gitlab check"';
  return unfit(`GitLab's database does not take a new repository (${causeOf(error)}): ${advice}`, error);
}

/** Skips locked rows instead of waiting: the next use of the token is stored instead. */
const SAVE_USES = `
  UPDATE personal_access_tokens AS token SET last_used_at = fresh.at
  FROM (
    SELECT stored.id, used.at
    FROM json_to_recordset($1::json) AS used (id bigint, at timestamptz)
    JOIN personal_access_tokens AS stored ON stored.id = used.id
    WHERE stored.last_used_at IS NULL OR stored.last_used_at <= used.at - $2 * interval '1 millisecond'
    ORDER BY stored.id FOR UPDATE OF stored SKIP LOCKED) AS fresh
  WHERE token.id = fresh.id`;

const SAVE_ADDRESSES = `
  INSERT INTO personal_access_token_last_used_ips (personal_access_token_id, organization_id, ip_address, created_at, updated_at)
  SELECT DISTINCT ON (token.id, used.address) token.id, token.organization_id, used.address, used.at, used.at
  FROM json_to_recordset($1::json) AS used (id bigint, at timestamptz, address inet)
  JOIN personal_access_tokens AS token ON token.id = used.id
  WHERE NOT EXISTS (
    SELECT FROM personal_access_token_last_used_ips AS known
    WHERE known.personal_access_token_id = token.id AND known.ip_address = used.address)`;

/** As many as GitLab keeps (`PersonalAccessTokens::LastUsedService`). */
const KEPT_ADDRESSES = 5;
const DROP_ADDRESSES = `
  DELETE FROM personal_access_token_last_used_ips WHERE id IN (
    SELECT id FROM (
      SELECT id, row_number() OVER (PARTITION BY personal_access_token_id ORDER BY created_at DESC, id DESC) AS place
      FROM personal_access_token_last_used_ips WHERE personal_access_token_id = ANY ($1::bigint[])) AS placed
    WHERE place > ${KEPT_ADDRESSES})`;

/**
 * Notes when access tokens were used, and from where; GitLab notes nothing of deploy tokens.
 * @param granularityMs how much older a noted time must be, so that replicas don't repeat each
 *   other's writes.
 * @param hasAddresses whether this GitLab keeps addresses (17.8).
 */
export async function saveGitlabUses(
  sql: Sql,
  uses: readonly TokenUse[],
  { granularityMs, hasAddresses }: { readonly granularityMs: number; readonly hasAddresses: boolean },
): Promise<void> {
  const access = uses.filter(({ key }) => key.table === 'access');
  if (access.length === 0) return;
  const latest = new Map<number, Date>();
  for (const { key, at } of access) {
    const known = latest.get(key.number);
    if (known === undefined || known < at) latest.set(key.number, at);
  }
  const rows = [...latest].map(([id, at]) => ({ id, at: at.toISOString() }));
  await sql.query(SAVE_USES, [JSON.stringify(rows), granularityMs]);
  const addressed = access.filter(({ address }) => address !== undefined && address !== '');
  if (!hasAddresses || addressed.length === 0) return;
  const addresses = addressed.map(({ key, at, address }) => ({
    id: key.number,
    at: at.toISOString(),
    address,
  }));
  await sql.query(SAVE_ADDRESSES, [JSON.stringify(addresses)]);
  await sql.query(DROP_ADDRESSES, [[...new Set(addressed.map(({ key }) => key.number))]]);
}

/** Whether this GitLab keeps the addresses that tokens were used from. One round trip. */
export async function keepsAddresses(sql: Sql): Promise<boolean> {
  const [row] = await sql.query<{ keeps: boolean }>(
    "SELECT to_regclass('public.personal_access_token_last_used_ips') IS NOT NULL AS keeps",
  );
  return row?.keeps === true;
}
