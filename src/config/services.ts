import type { Settings } from './settings.ts';

/** The form and life of the tokens for one registry service. */
export interface ServiceSettings {
  readonly name: string;
  /**
   * The form of `kid` in the header: libtrust for distribution 2.8 and GitLab, the thumbprint for
   * distribution 3.
   */
  readonly kid: 'libtrust' | 'thumbprint';
  /**
   * Whether the header has the certificate. A registry that trusts only a `jwks` file refuses such
   * tokens.
   */
  readonly x5c: boolean;
  readonly userClaim: boolean;
  readonly issuedAt: boolean;
  readonly tokenTtlSeconds: number;
  /** The life of tokens that grant a push, for uploads that take long. */
  readonly pushTtlSeconds: number;
  /** Which of the two lives a setting of GitLab's database replaces; missing: neither. */
  readonly ttlOfDirectory?: { readonly token: boolean; readonly push: boolean };
  /**
   * Whether a granted `*` comes with `pull`, `push` and `delete`, for registries that compare
   * actions as words (Zot).
   */
  readonly expandStar: boolean;
  /** How long a token is reused for the same subject and the same access; 0: never. */
  readonly tokenReuseSeconds: number;
}

/** In the order of the settings. */
export function toServices({
  services: byName,
  token_ttl_seconds,
  gitlab,
}: Settings): readonly ServiceSettings[] {
  const defaults = { ttlSeconds: token_ttl_seconds, isOnGitlab: gitlab.database_url !== undefined };
  return Object.entries(byName).map(([name, service]) => toServiceSettings(name, service, defaults));
}

function toServiceSettings(
  name: string,
  given: Settings['services'][string],
  { ttlSeconds, isOnGitlab }: { readonly ttlSeconds: number; readonly isOnGitlab: boolean },
): ServiceSettings {
  const tokenTtlSeconds = given.token_ttl_seconds ?? ttlSeconds;
  const isOpen = given.token_ttl_seconds === undefined;
  return {
    name,
    kid: given.kid,
    x5c: given.x5c,
    userClaim: given.user_claim,
    issuedAt: given.issued_at,
    expandStar: given.expand_star,
    tokenTtlSeconds,
    pushTtlSeconds: given.push_ttl_seconds ?? tokenTtlSeconds,
    ...(isOnGitlab && {
      ttlOfDirectory: { token: isOpen, push: isOpen && given.push_ttl_seconds === undefined },
    }),
    tokenReuseSeconds: given.token_reuse_seconds,
  };
}
