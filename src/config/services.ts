import type { Settings } from './settings.ts';

/** How tokens for one registry service look and live. */
export interface ServiceSettings {
  readonly name: string;
  /** Which id of the signing key the header names: distribution 2.8 and GitLab know libtrust's, distribution 3 the thumbprint. */
  readonly kid: 'libtrust' | 'thumbprint';
  /** Whether the header shows the certificate; a registry that trusts a `jwks` file alone refuses a token that does. */
  readonly x5c: boolean;
  readonly userClaim: boolean;
  readonly issuedAt: boolean;
  readonly tokenTtlSeconds: number;
  /** The life of tokens that grant a push, for uploads that take long. */
  readonly pushTtlSeconds: number;
  /** How long the same subject gets the same token for the same grant; 0: each request gets its own. */
  readonly tokenReuseSeconds: number;
}

/** In the order in which they are set. */
export function toServices({ services: byName, token_ttl_seconds }: Settings): readonly ServiceSettings[] {
  return Object.entries(byName).map(([name, service]) => toServiceSettings(name, service, token_ttl_seconds));
}

function toServiceSettings(
  name: string,
  given: Settings['services'][string],
  ttlSeconds: number,
): ServiceSettings {
  const tokenTtlSeconds = given.token_ttl_seconds ?? ttlSeconds;
  return {
    name,
    kid: given.kid,
    x5c: given.x5c,
    userClaim: given.user_claim,
    issuedAt: given.issued_at,
    tokenTtlSeconds,
    pushTtlSeconds: given.push_ttl_seconds ?? tokenTtlSeconds,
    tokenReuseSeconds: given.token_reuse_seconds,
  };
}
