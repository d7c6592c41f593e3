import type {
  AuthorityState,
  KeyAction,
  KeyEvent,
  KeySet,
  KeyState,
  KeyStore,
  PublicJwk,
  StoredAuthority,
  StoredKey,
} from '../keys/key-set.ts';
import type { Database, Sql, Statement } from './database/drivers.ts';

/** An advisory lock that nothing else uses; the same in every version of cellpass. */
const KEY_LOCK = 7_021_002;
/** The advisory lock of the scheduled rotation: one replica at a time holds it. */
export const ROTATION_LOCK = 7_021_003;
/** The channel of the triggers in migration 0004, and of cleared lockouts. */
export const KEY_CHANNEL = 'cellpass_keys';

type AllNull<R> = { readonly [C in keyof R]: null };

type AuthorityRow = {
  readonly ca_id: string;
  readonly ca_state: AuthorityState;
  readonly ca_certificate_pem: string;
  readonly ca_created_at: Date;
  readonly ca_not_after: Date;
};

/** Columns of a CA that may be null. */
type AuthorityDates = {
  readonly ca_encrypted_private_key: string | null;
  readonly ca_activated_at: Date | null;
  readonly ca_published_until: Date | null;
};

type KeyRow = {
  readonly kid: string;
  readonly thumbprint: string;
  readonly state: KeyState;
  readonly public_jwk: PublicJwk;
  readonly encrypted_private_key: string | null;
  readonly certificate_authority_id: string | null;
  readonly certificate_pem: string | null;
  readonly certificate_not_before: Date | null;
  readonly certificate_not_after: Date | null;
  readonly created_at: Date;
  readonly activated_at: Date | null;
  readonly retired_at: Date | null;
  readonly revoked_at: Date | null;
  readonly revocation_reason: string | null;
  readonly published_until: Date | null;
  readonly longest_token_seconds: number;
};

/** A CA without keys, a key without a CA, or a key with its CA. */
type KeySetRow = (AuthorityRow | AllNull<AuthorityRow>) & AuthorityDates & (KeyRow | AllNull<KeyRow>);

/** One statement, so that keys and CAs come from the same snapshot. */
const READ_KEY_SET: Statement = {
  name: 'read_key_set',
  text: `
SELECT a.id AS ca_id, a.state AS ca_state, a.certificate_pem AS ca_certificate_pem,
  a.encrypted_private_key AS ca_encrypted_private_key, a.created_at AS ca_created_at, a.activated_at AS ca_activated_at,
  a.published_until AS ca_published_until, a.not_after AS ca_not_after,
  k.kid, k.thumbprint, k.state, k.public_jwk, k.encrypted_private_key, k.certificate_authority_id, k.certificate_pem,
  k.certificate_not_before, k.certificate_not_after, k.created_at, k.activated_at, k.retired_at,
  k.revoked_at, k.revocation_reason, k.published_until, k.longest_token_seconds
FROM certificate_authorities a FULL JOIN signing_keys k ON k.certificate_authority_id = a.id
ORDER BY a.created_at, a.id, k.created_at, k.kid`,
};

const INSERT_AUTHORITY = `
INSERT INTO certificate_authorities (id, state, certificate_pem, encrypted_private_key, created_at, activated_at, published_until,
  not_after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, encrypted_private_key = EXCLUDED.encrypted_private_key,
  certificate_pem = EXCLUDED.certificate_pem, not_after = EXCLUDED.not_after, created_at = EXCLUDED.created_at,
  activated_at = EXCLUDED.activated_at, published_until = EXCLUDED.published_until`;

const INSERT_KEY = `
INSERT INTO signing_keys (kid, thumbprint, state, public_jwk, encrypted_private_key, certificate_authority_id, certificate_pem,
  certificate_not_before, certificate_not_after, created_at, activated_at, retired_at, revoked_at, revocation_reason,
  published_until, longest_token_seconds)
VALUES ($1, $2, $3, ($4::text)::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (kid) DO UPDATE SET state = EXCLUDED.state, encrypted_private_key = EXCLUDED.encrypted_private_key,
  certificate_authority_id = EXCLUDED.certificate_authority_id, certificate_pem = EXCLUDED.certificate_pem,
  certificate_not_before = EXCLUDED.certificate_not_before, certificate_not_after = EXCLUDED.certificate_not_after,
  created_at = EXCLUDED.created_at,
  activated_at = EXCLUDED.activated_at, retired_at = EXCLUDED.retired_at, revoked_at = EXCLUDED.revoked_at,
  revocation_reason = EXCLUDED.revocation_reason, published_until = EXCLUDED.published_until,
  longest_token_seconds = EXCLUDED.longest_token_seconds`;

const INSERT_EVENT = `
INSERT INTO audit_events (happened_at, actor, area, action, subject, reason) VALUES ($1, $2, 'keys', $3, $4, $5)`;

const READ_EVENTS = `
SELECT happened_at, actor, action, subject, reason FROM audit_events WHERE area = 'keys' ORDER BY id DESC LIMIT $1`;

type EventRow = {
  readonly happened_at: Date;
  readonly actor: string;
  readonly action: KeyAction;
  readonly subject: string | null;
  readonly reason: string | null;
};

/** Stores the key set in the own tables. */
export function createKeyStore(database: Database): KeyStore {
  return {
    readKeySet: () => readKeySet(database),
    updateKeySet: (change) =>
      database.transaction(async (sql) => {
        // Lock in a separate statement: the read then sees what the last holder of the lock
        // committed.
        await sql.query('SELECT pg_advisory_xact_lock($1)', [KEY_LOCK]);
        const current = await readKeySet(sql);
        const { set, events } = change(current);
        await saveChanges(sql, current, set);
        for (const event of events) await saveEvent(sql, event);
        return readKeySet(sql);
      }),
    readKeyEvents: async (limit) => {
      const rows = await database.query<EventRow>(READ_EVENTS, [limit]);
      return rows.map(({ happened_at: at, ...event }) => ({ at, ...event }));
    },
  };
}

/**
 * Replaces the whole key set: every key and CA is deleted. For keys that nothing can decrypt any more,
 * with the servers stopped.
 */
export async function replaceKeySet(
  database: Pick<Database, 'transaction'>,
  set: KeySet,
  event: KeyEvent,
): Promise<void> {
  await database.transaction(async (sql) => {
    await sql.query('SELECT pg_advisory_xact_lock($1)', [KEY_LOCK]);
    await sql.query('DELETE FROM signing_keys');
    await sql.query('DELETE FROM certificate_authorities');
    await saveChanges(sql, { authorities: [], keys: [] }, set);
    await saveEvent(sql, event);
  });
}

/** How many connections of running servers the database has; 0 behind a pooler, which hides them. */
export async function countListeners(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    `SELECT count(*) AS count FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'cellpass listener' AND pid <> pg_backend_pid()`,
  );
  return row?.count ?? 0;
}

async function readKeySet(sql: Sql): Promise<KeySet> {
  const rows = await sql.query<KeySetRow>(READ_KEY_SET);
  const authorities = new Map<string, StoredAuthority>();
  const keys: StoredKey[] = [];
  for (const row of rows) {
    if (row.ca_id !== null) authorities.set(row.ca_id, toAuthority(row));
    if (row.kid !== null) keys.push(toKey(row));
  }
  return { authorities: [...authorities.values()], keys: keys.sort(byAge) };
}

/** The rows are sorted by CA first, and an imported key has no CA. */
function byAge(a: StoredKey, b: StoredKey): number {
  const difference = a.createdAt.getTime() - b.createdAt.getTime();
  if (difference !== 0) return difference;
  return a.kid < b.kid ? -1 : 1;
}

async function saveChanges(sql: Sql, current: KeySet, next: KeySet): Promise<void> {
  for (const authority of changedEntries(current.authorities, next.authorities)) {
    await saveAuthority(sql, authority);
  }
  for (const key of changedEntries(current.keys, next.keys)) await saveKey(sql, key);
}

/**
 * Entries that become active come last: the database checks after each row that at most one is
 * active.
 */
function changedEntries<T extends StoredKey | StoredAuthority>(
  current: readonly T[],
  next: readonly T[],
): readonly T[] {
  const changed = next.filter((entry) => !current.includes(entry));
  return [
    ...changed.filter(({ state }) => state !== 'active'),
    ...changed.filter(({ state }) => state === 'active'),
  ];
}

async function saveAuthority(sql: Sql, authority: StoredAuthority): Promise<void> {
  await sql.query(INSERT_AUTHORITY, [
    authority.id,
    authority.state,
    authority.certificatePem,
    authority.encryptedPrivateKey,
    authority.createdAt,
    authority.activatedAt,
    authority.publishedUntil,
    authority.notAfter,
  ]);
}

async function saveEvent(sql: Sql, { at, actor, action, subject, reason }: KeyEvent): Promise<void> {
  await sql.query(INSERT_EVENT, [at, actor, action, subject, reason]);
}

async function saveKey(sql: Sql, key: StoredKey): Promise<void> {
  await sql.query(INSERT_KEY, [
    key.kid,
    key.thumbprint,
    key.state,
    JSON.stringify(key.publicJwk),
    key.encryptedPrivateKey,
    key.certificate?.authorityId ?? null,
    key.certificate?.pem ?? null,
    key.certificate?.notBefore ?? null,
    key.certificate?.notAfter ?? null,
    key.createdAt,
    key.activatedAt,
    key.retiredAt,
    key.revokedAt,
    key.revocationReason,
    key.publishedUntil,
    key.longestTokenSeconds,
  ]);
}

function toAuthority(row: AuthorityRow & AuthorityDates): StoredAuthority {
  return {
    id: row.ca_id,
    state: row.ca_state,
    certificatePem: row.ca_certificate_pem,
    encryptedPrivateKey: row.ca_encrypted_private_key,
    createdAt: row.ca_created_at,
    activatedAt: row.ca_activated_at,
    publishedUntil: row.ca_published_until,
    notAfter: row.ca_not_after,
  };
}

function toKey(row: KeyRow): StoredKey {
  const { kty, n, e } = row.public_jwk;
  return {
    kid: row.kid,
    thumbprint: row.thumbprint,
    state: row.state,
    publicJwk: { kty, n, e },
    encryptedPrivateKey: row.encrypted_private_key,
    certificate: toCertificate(row),
    createdAt: row.created_at,
    activatedAt: row.activated_at,
    retiredAt: row.retired_at,
    revokedAt: row.revoked_at,
    revocationReason: row.revocation_reason,
    publishedUntil: row.published_until,
    longestTokenSeconds: row.longest_token_seconds,
  };
}

function toCertificate(row: KeyRow): StoredKey['certificate'] {
  const { certificate_pem: pem, certificate_not_before: notBefore, certificate_not_after: notAfter } = row;
  if (pem === null || notBefore === null || notAfter === null) return null;
  return { authorityId: row.certificate_authority_id, pem, notBefore, notAfter };
}
