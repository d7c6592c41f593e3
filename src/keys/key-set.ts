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
  /** A retired key leaves the JWK Set then; null while nobody knows. */
  readonly publishedUntil: Date | null;
}

export interface StoredAuthority {
  /** The subject key identifier, in hex. */
  readonly id: string;
  readonly certificatePem: string;
  readonly encryptedPrivateKey: string;
  readonly createdAt: Date;
  readonly notAfter: Date;
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
   * Runs `change` on the current set under the key lock and saves what it answers: new entries are added, changed ones replaced,
   * none is ever removed. `change` is pure, and throws to leave everything as it is. Returns the set as it is then.
   */
  updateKeySet(change: (current: KeySet) => KeySet): Promise<KeySet>;
}

/** The CA that issues certificates of new keys: the newest. */
export function issuingAuthority(set: KeySet): StoredAuthority | undefined {
  return set.authorities.at(-1);
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

/** One entry of `keys list --json`: the part of a key that anybody may see, times as ISO 8601. */
export interface KeyListing {
  readonly kid: string;
  readonly thumbprint: string;
  readonly state: KeyState;
  readonly created_at: string;
  readonly activated_at: string | null;
  readonly retired_at: string | null;
  readonly published_until: string | null;
}

/** What of a key `listKeys` shows. */
export type ListedKey = Pick<
  StoredKey,
  'kid' | 'thumbprint' | 'state' | 'createdAt' | 'activatedAt' | 'retiredAt' | 'publishedUntil'
>;

export function listKeys(keys: readonly ListedKey[]): { readonly keys: readonly KeyListing[] } {
  return { keys: keys.map(toKeyListing) };
}

export function toKeyListing(key: ListedKey): KeyListing {
  return {
    kid: key.kid,
    thumbprint: key.thumbprint,
    state: key.state,
    created_at: key.createdAt.toISOString(),
    activated_at: key.activatedAt?.toISOString() ?? null,
    retired_at: key.retiredAt?.toISOString() ?? null,
    published_until: key.publishedUntil?.toISOString() ?? null,
  };
}
