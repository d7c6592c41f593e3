import { idTokenKey } from '../../authn/federation/id-token.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { findRows } from '../../store/directory/read-rows.ts';
import type { AccessTokenRow } from '../../store/directory/rows.ts';
import type { ChangedTables } from '../../store/directory/table-values.ts';
import { readRevocations } from '../../store/federation/revocations.ts';
import type { NewEntry } from '../../store/history/history.ts';

/**
 * A change whose tokens come back as revoked, or a job's as not running, where their secret, identity
 * or ID token was revoked since: no undo makes such a secret valid again, unless the change itself
 * revoked it.
 */
export async function keepRevoked(sql: Sql, tables: ChangedTables): Promise<ChangedTables> {
  const { access_tokens, deploy_tokens, job_tokens, revoked_secrets } = tables;
  const valid = [...access_tokens.before.values(), ...deploy_tokens.before.values()].filter(
    ({ revoked }) => !revoked,
  );
  const running = [...job_tokens.before.values()].filter((job) => job.running);
  const wanted = [...valid, ...running].map(({ token_digest }) => token_digest);
  const found = await findRows(sql, 'revoked_secrets', { token_digest: wanted });
  const revoked = new Set(
    found.map(({ token_digest }) => token_digest).filter((digest) => !revoked_secrets.after.has(digest)),
  );
  for (const token of access_tokens.before.values())
    if (!token.revoked && (await isExchangeRevoked(sql, token, tables))) revoked.add(token.token_digest);
  const keep = <R extends { readonly token_digest: string }>(rows: ReadonlyMap<string, R>, state: object) =>
    new Map([...rows].map(([key, row]) => [key, revoked.has(row.token_digest) ? { ...row, ...state } : row]));
  return {
    ...tables,
    access_tokens: { ...access_tokens, before: keep(access_tokens.before, { revoked: true }) },
    deploy_tokens: { ...deploy_tokens, before: keep(deploy_tokens.before, { revoked: true }) },
    job_tokens: { ...job_tokens, before: keep(job_tokens.before, { running: false }) },
  };
}

/**
 * Says of the entries of an undo which tokens come back as revoked.
 * @param taken what `keepRevoked` made of the change. Tokens of one name are all marked or none.
 */
export function markRevoked<E extends Pick<NewEntry, 'section' | 'name' | 'after'>>(
  entries: readonly E[],
  taken: ChangedTables,
): readonly E[] {
  const valid = new Set<string>();
  const revoked = new Set<string>();
  const sort = (section: string, name: string, isRevoked: boolean): void =>
    void (isRevoked ? revoked : valid).add(`${section}:${name}`);
  for (const token of taken.access_tokens.before.values()) sort('access_tokens', token.name, token.revoked);
  for (const token of taken.deploy_tokens.before.values())
    sort('deploy_tokens', token.username, token.revoked);
  for (const { id, running } of taken.job_tokens.before.values()) sort('job_tokens', String(id), !running);
  return entries.map((entry) => {
    const { after, section } = entry;
    const name = `${section}:${entry.name}`;
    if (after === null || !revoked.has(name) || valid.has(name)) return entry;
    const state = section === 'job_tokens' ? { running: false } : { revoked: true };
    return { ...entry, after: { ...after, ...state } };
  });
}

async function isExchangeRevoked(
  sql: Sql,
  { identity_id, identity_name, identity_issuer, identity_jti }: AccessTokenRow,
  { federated_identities }: ChangedTables,
): Promise<boolean> {
  if (identity_id === null) return false;
  const identity = federated_identities.before.get(String(identity_id));
  const names = [identity_name, identity?.name].filter((name) => name != null);
  const key =
    identity_issuer === null || identity_jti === null ? null : idTokenKey(identity_issuer, identity_jti);
  const { identities, idToken } = await readRevocations(sql, names, key);
  return identities.size > 0 || (key !== null && idToken);
}
