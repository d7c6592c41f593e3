import { CellpassError } from '../errors.ts';

/**
 * The keys of a cell as the database stores them: plain data, with private halves encrypted as JWEs
 * (see `master-key.ts`).
 */

/**
 * - `pending`: published but not signing;
 * - `active`: signing;
 * - `retired`: published, private half deleted;
 * - `revoked`: removed from the JWK Set at once.
 */
export type KeyState = 'pending' | 'active' | 'retired' | 'revoked';

/** An RSA public key (RFC 7518 §6.3.1): base64url without leading zero octets. */
export interface PublicJwk {
  readonly kty: 'RSA';
  readonly n: string;
  readonly e: string;
}

/** A signing key's certificate: a leaf of our CA, or an imported one (`authorityId` null). */
export interface KeyCertificate {
  readonly authorityId: string | null;
  readonly pem: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface StoredKey {
  /** The libtrust id, see `jwks.ts`. */
  readonly kid: string;
  /** RFC 7638, SHA-256. */
  readonly thumbprint: string;
  readonly state: KeyState;
  readonly publicJwk: PublicJwk;
  /** Compact JWE of the PKCS #8 DER; null as soon as the key is retired or revoked. */
  readonly encryptedPrivateKey: string | null;
  readonly certificate: KeyCertificate | null;
  readonly createdAt: Date;
  readonly activatedAt: Date | null;
  readonly retiredAt: Date | null;
  readonly revokedAt: Date | null;
  readonly revocationReason: string | null;
  /** When a retired key leaves the JWK Set, or a revoked key left it; null in the other states. */
  readonly publishedUntil: Date | null;
  /**
   * The longest life of a token that any process signs with it: retirement publishes it that long.
   */
  readonly longestTokenSeconds: number;
}

/**
 * - `pending`: in the exported bundle; issues leaves for canary tokens only;
 * - `active`: issues the leaves of all keys;
 * - `retired`: private half deleted.
 */
export type AuthorityState = 'pending' | 'active' | 'retired';

export interface StoredAuthority {
  /** The subject key identifier, in hex. */
  readonly id: string;
  readonly state: AuthorityState;
  readonly certificatePem: string;
  /** Compact JWE of the PKCS #8 DER; null as soon as the CA is retired. */
  readonly encryptedPrivateKey: string | null;
  readonly createdAt: Date;
  readonly activatedAt: Date | null;
  /** When a retired CA leaves the exported bundle. */
  readonly publishedUntil: Date | null;
  readonly notAfter: Date;
}

export type KeyAction =
  | 'first_start'
  | 'stage'
  | 'activate'
  | 'retire'
  | 'revoke'
  | 'import'
  | 'rewrap'
  | 'stage_ca'
  | 'activate_ca'
  | 'import_ca'
  | 'discard_ca'
  | 'reset';

/** One entry of the audit record of keys. */
export interface KeyEvent {
  readonly at: Date;
  /** The admin's name as the command or token gives it, or `schedule`. */
  readonly actor: string;
  readonly action: KeyAction;
  /** A `kid` or a CA's id; null: the whole set. */
  readonly subject: string | null;
  readonly reason: string | null;
}

/** The changed set, and the audit entries of the change. */
export interface KeyChange {
  readonly set: KeySet;
  readonly events: readonly KeyEvent[];
}

/** Both lists oldest first. */
export interface KeySet {
  readonly authorities: readonly StoredAuthority[];
  readonly keys: readonly StoredKey[];
}

/** Stores the key set; `store/keys.ts` implements it. */
export interface KeyStore {
  readKeySet(): Promise<KeySet>;
  /**
   * Runs `change` on the current set under the key lock, then saves the new set and its events in
   * one transaction: it adds new entries, replaces changed ones, and never removes any. `change` is
   * pure; if it throws, nothing changes. Returns the set after the transaction.
   */
  updateKeySet(change: (current: KeySet) => KeyChange): Promise<KeySet>;
  /** At most `limit` entries, newest first. */
  readKeyEvents(limit: number): Promise<readonly KeyEvent[]>;
}

/** The key that signs, in a stored set or in a listing of it; undefined before the first start. */
export function activeKey<K extends { readonly state: KeyState }>(set: {
  readonly keys: readonly K[];
}): K | undefined {
  return set.keys.find(({ state }) => state === 'active');
}

/** The key that will sign next. At most one key is pending. */
export function pendingKey(set: KeySet): StoredKey | undefined {
  return set.keys.find(({ state }) => state === 'pending');
}

/** Finds a key by its libtrust id or its thumbprint. Throws `not_found`. */
export function findKey(set: KeySet, id: string): StoredKey {
  const key = set.keys.find(({ kid, thumbprint }) => kid === id || thumbprint === id);
  if (key !== undefined) return key;
  throw new CellpassError('not_found', `no key has the id ${id}: see "cellpass keys list"`);
}

/** The CA that issues certificates. */
export function issuingAuthority(set: KeySet): StoredAuthority | undefined {
  return set.authorities.find(({ state }) => state === 'active');
}

/** The CA that will issue certificates next. At most one CA is pending. */
export function pendingAuthority(set: KeySet): StoredAuthority | undefined {
  return set.authorities.find(({ state }) => state === 'pending');
}

/** Another admin or replica changed the key set between a command's read and its write. */
export function keysChanged(): CellpassError {
  return new CellpassError('conflict', 'another command changed the keys meanwhile: try again');
}

/** A new entry in the state `pending`; verifiers can fetch the key from `createdAt` on. */
export function newKey(
  key: Pick<
    StoredKey,
    | 'kid'
    | 'thumbprint'
    | 'publicJwk'
    | 'encryptedPrivateKey'
    | 'certificate'
    | 'createdAt'
    | 'longestTokenSeconds'
  >,
): StoredKey {
  return {
    ...key,
    state: 'pending',
    activatedAt: null,
    retiredAt: null,
    revokedAt: null,
    revocationReason: null,
    publishedUntil: null,
  };
}

/** A new entry in the state `pending`. */
export function newAuthority(
  authority: Pick<
    StoredAuthority,
    'id' | 'certificatePem' | 'encryptedPrivateKey' | 'createdAt' | 'notAfter'
  >,
): StoredAuthority {
  return { ...authority, state: 'pending', activatedAt: null, publishedUntil: null };
}

/** Whether the exported bundle contains the CA at `now`. */
export function isBundled({ publishedUntil, notAfter }: StoredAuthority, now: Date): boolean {
  return now < notAfter && (publishedUntil === null || now < publishedUntil);
}

/** Whether the JWK Set contains the key at `now`. */
export function isPublished(key: StoredKey, now: Date): boolean {
  switch (key.state) {
    case 'pending':
    case 'active':
      return true;
    case 'retired':
      return key.publishedUntil === null || now < key.publishedUntil;
    case 'revoked':
      return false;
  }
}

/**
 * Replaces the certificate `previousPem` of the key `kid` by `next`. If several processes do so at
 * once, the first one wins and the others change nothing.
 */
export function replaceCertificate(
  set: KeySet,
  kid: string,
  previousPem: string,
  next: KeyCertificate,
): KeySet {
  const keys = set.keys.map((key) =>
    key.kid === kid && key.encryptedPrivateKey !== null && key.certificate?.pem === previousPem
      ? { ...key, certificate: next }
      : key,
  );
  return { ...set, keys };
}
