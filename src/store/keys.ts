import type { KeySet, KeyState, KeyStore, PublicJwk, StoredAuthority, StoredKey } from '../keys/key-set.ts';
import type { Database, Sql, Statement } from './drivers.ts';

/** Any number that nothing else here locks; the same in every cellpass. */
const KEY_LOCK = 7_021_002;

type Nothing<R> = { readonly [C in keyof R]: null };

type AuthorityRow = {
  readonly ca_id: string;
  readonly ca_certificate_pem: string;
  readonly ca_encrypted_private_key: string;
  readonly ca_created_at: Date;
  readonly ca_not_after: Date;
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
  readonly published_until: Date | null;
};

/** A CA without keys, a key without a CA, or a key with its CA. */
type KeySetRow = (AuthorityRow | Nothing<AuthorityRow>) & (KeyRow | Nothing<KeyRow>);

/** One statement, so that keys and CAs are of the same moment. */
const READ_KEY_SET: Statement = {
  name: 'read_key_set',
  text: `
SELECT a.id AS ca_id, a.certificate_pem AS ca_certificate_pem, a.encrypted_private_key AS ca_encrypted_private_key,
  a.created_at AS ca_created_at, a.not_after AS ca_not_after,
  k.kid, k.thumbprint, k.state, k.public_jwk, k.encrypted_private_key, k.certificate_authority_id, k.certificate_pem,
  k.certificate_not_before, k.certificate_not_after, k.created_at, k.activated_at, k.retired_at, k.published_until
FROM certificate_authorities a FULL JOIN signing_keys k ON k.certificate_authority_id = a.id
ORDER BY a.created_at, a.id, k.created_at, k.kid`,
};

const INSERT_AUTHORITY = `
INSERT INTO certificate_authorities (id, certificate_pem, encrypted_private_key, created_at, not_after)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET certificate_pem = EXCLUDED.certificate_pem,
  encrypted_private_key = EXCLUDED.encrypted_private_key, not_after = EXCLUDED.not_after`;

const INSERT_KEY = `
INSERT INTO signing_keys (kid, thumbprint, state, public_jwk, encrypted_private_key, certificate_authority_id, certificate_pem,
  certificate_not_before, certificate_not_after, created_at, activated_at, retired_at, published_until)
VALUES ($1, $2, $3, ($4::text)::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (kid) DO UPDATE SET state = EXCLUDED.state, encrypted_private_key = EXCLUDED.encrypted_private_key,
  certificate_authority_id = EXCLUDED.certificate_authority_id, certificate_pem = EXCLUDED.certificate_pem,
  certificate_not_before = EXCLUDED.certificate_not_before, certificate_not_after = EXCLUDED.certificate_not_after,
  activated_at = EXCLUDED.activated_at, retired_at = EXCLUDED.retired_at, published_until = EXCLUDED.published_until`;

/** The keys in a database. */
export function createKeyStore(database: Database): KeyStore {
  return {
    readKeySet: () => readKeySet(database),
    updateKeySet: (change) =>
      database.transaction(async (sql) => {
        // A statement of its own before the read, which then sees what the last holder of the lock committed.
        await sql.query('SELECT pg_advisory_xact_lock($1)', [KEY_LOCK]);
        const current = await readKeySet(sql);
        await saveChanges(sql, current, change(current));
        return readKeySet(sql);
      }),
  };
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

/** Rows come by CA; an imported key has none. */
function byAge(a: StoredKey, b: StoredKey): number {
  const difference = a.createdAt.getTime() - b.createdAt.getTime();
  if (difference !== 0) return difference;
  return a.kid < b.kid ? -1 : 1;
}

/** The database checks its one active key at each row, so whatever leaves that state is saved before what enters it. */
async function saveChanges(sql: Sql, current: KeySet, next: KeySet): Promise<void> {
  for (const authority of next.authorities) {
    if (!current.authorities.includes(authority)) await saveAuthority(sql, authority);
  }
  const changed = next.keys.filter((key) => !current.keys.includes(key));
  const leaving = changed.filter(({ state }) => state !== 'active');
  const entering = changed.filter(({ state }) => state === 'active');
  for (const key of [...leaving, ...entering]) await saveKey(sql, key);
}

async function saveAuthority(sql: Sql, authority: StoredAuthority): Promise<void> {
  const { id, certificatePem, encryptedPrivateKey, createdAt, notAfter } = authority;
  await sql.query(INSERT_AUTHORITY, [id, certificatePem, encryptedPrivateKey, createdAt, notAfter]);
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
    key.publishedUntil,
  ]);
}

function toAuthority(row: AuthorityRow): StoredAuthority {
  return {
    id: row.ca_id,
    certificatePem: row.ca_certificate_pem,
    encryptedPrivateKey: row.ca_encrypted_private_key,
    createdAt: row.ca_created_at,
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
    publishedUntil: row.published_until,
  };
}

function toCertificate(row: KeyRow): StoredKey['certificate'] {
  const { certificate_pem: pem, certificate_not_before: notBefore, certificate_not_after: notAfter } = row;
  if (pem === null || notBefore === null || notAfter === null) return null;
  return { authorityId: row.certificate_authority_id, pem, notBefore, notAfter };
}
