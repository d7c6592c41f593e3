import type { Row, Sql } from '../database/drivers.ts';

/** Accounts in one statement: a longer one of the embedded database would block the event loop. */
const ACCOUNTS_PER_STATEMENT = 20_000;

/** The expression of a login name in lower case, in cellpass's own table and in GitLab's. */
const LOGIN_KEY = { own: 'username_key', gitlab: 'lower(username)' } as const;

/** The expression is `loginDigest` in SQL. $1 the id before the first account, $2 digests. */
const find = (loginKey: string): string => `
  WITH page AS MATERIALIZED (
    SELECT id, username, left(translate(encode(sha256(convert_to(${loginKey}, 'UTF8')), 'base64'), '+/', '-_'), 22) AS digest
    FROM users WHERE id > $1 ORDER BY id LIMIT ${ACCOUNTS_PER_STATEMENT})
  SELECT (SELECT max(id) FROM page) AS last, (SELECT count(*) FROM page) AS count,
    (SELECT jsonb_agg(jsonb_build_object('digest', digest, 'name', username)) FROM page WHERE digest = ANY ($2::text[])) AS found`;

interface PageRow extends Row {
  readonly last: number | null;
  readonly count: number;
  readonly found: readonly { readonly digest: string; readonly name: string }[] | null;
}

/**
 * The names of the accounts with these digests. It reads accounts until each digest is found, which
 * takes about a second for a million accounts where a digest is that of no account.
 * @param digests of `loginDigest`.
 * @returns names by digests; a digest of no account is missing.
 */
export async function findLoginNames(
  sql: Pick<Sql, 'query'>,
  directory: keyof typeof LOGIN_KEY,
  digests: ReadonlySet<string>,
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  const statement = find(LOGIN_KEY[directory]);
  for (let last: number | null = 0; last !== null && names.size < digests.size; ) {
    const [page]: readonly PageRow[] = await sql.query<PageRow>(statement, [last, [...digests]]);
    for (const { digest, name } of page?.found ?? []) names.set(digest, name);
    last = page !== undefined && page.count === ACCOUNTS_PER_STATEMENT ? page.last : null;
  }
  return names;
}
