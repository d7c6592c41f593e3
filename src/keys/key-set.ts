/** The keys of a cell as they are stored: plain data that rotation works on. Private halves are JWEs, see `master-key.ts`. */

/**
 * pending: published but not signing; active: signing; retired: published, private half gone; revoked: unpublished at once.
 */
export type KeyState = 'pending' | 'active' | 'retired' | 'revoked';

/** An RSA public key (RFC 7518 §6.3.1): base64url without leading zero octets. */
export interface PublicJwk {
  readonly kty: 'RSA';
  readonly n: string;
  readonly e: string;
}

/** A signing key's certificate: a leaf of our CA, or with `authorityId` null one that was imported with the key. */
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
  /** A retired key leaves the JWK Set then, a revoked one has left it; null while nobody knows. */
  readonly publishedUntil: Date | null;
  /** The longest life of a token that any process signs with it: retirement keeps the key published for that long. */
  readonly longestTokenSeconds: number;
}

/** pending: in the bundle, issuing nothing but leaves for canaries; active: issues leaves; retired: its private half is gone. */
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
  /** A retired CA leaves the exported bundle then. */
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
  | 'discard_ca';

/** One change for the audit record. */
export interface KeyEvent {
  readonly at: Date;
  /** Who, as far as the way in tells: a name that a command gave, or the schedule. */
  readonly actor: string;
  readonly action: KeyAction;
  /** A `kid`, or a CA's id; null where the whole set is meant. */
  readonly subject: string | null;
  readonly reason: string | null;
}

/** A new set, and what is to be said of the change. */
export interface KeyChange {
  readonly set: KeySet;
  readonly events: readonly KeyEvent[];
}

/** Both lists oldest first. */
export interface KeySet {
  readonly authorities: readonly StoredAuthority[];
  readonly keys: readonly StoredKey[];
}

/** Where key sets are kept; `store/keys.ts` satisfies it. */
export interface KeyStore {
  readKeySet(): Promise<KeySet>;
  /**
   * Runs `change` on the current set under the key lock and saves what it answers, with its events, in one transaction: new entries
   * are added, changed ones replaced, none is ever removed. `change` is pure, and throws to leave everything as it is. Returns the
   * set as it is then.
   */
  updateKeySet(change: (current: KeySet) => KeyChange): Promise<KeySet>;
  /** The newest first. */
  readKeyEvents(limit: number): Promise<readonly KeyEvent[]>;
}

/** The CA that issues certificates. */
export function issuingAuthority(set: KeySet): StoredAuthority | undefined {
  return set.authorities.find(({ state }) => state === 'active');
}

/** Whether the exported bundle holds the CA at `now`. */
export function isBundled({ publishedUntil, notAfter }: StoredAuthority, now: Date): boolean {
  return now < notAfter && (publishedUntil === null || now < publishedUntil);
}

/** Whether a verifier should know the key at `now`. */
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

/** Puts `next` in the place of the certificate `previousPem`. Of several that do so at once the first wins; the others change nothing. */
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
