import { X509Certificate } from 'node:crypto';
import { createLocalJWKSet, decodeProtectedHeader, errors, type JSONWebKeySet, jwtVerify } from 'jose';
import type { AccessEntry } from '../../src/policy/grant.ts';
import type { Journal } from './journal.ts';
import { ISSUER, type Replica, SERVICE } from './world.ts';

interface Claims {
  readonly access: readonly AccessEntry[];
}

/**
 * Verifies every issued token as registries do: with the JWK Set, and with the certificate in its
 * header.
 */
export interface Issued {
  readonly verified: number;
  /** Undefined if the token did not verify; the journal then says so if it should have. */
  verify(token: string, by: Replica): Promise<Claims | undefined>;
  /** From now on the tokens of this key must not verify. */
  revokeKey(kid: string): void;
  /** Verifies all unexpired tokens again, with every replica's keys. */
  verifyAll(replicas: readonly Replica[]): Promise<number>;
}

const MARGIN_S = 10;
const MAX_KEPT = 20_000;

export function createIssued(journal: Journal): Issued {
  const kept: { readonly token: string; readonly kid: string; readonly exp: number }[] = [];
  const revoked = new Set<string>();
  let verified = 0;
  const check = async (token: string, jwks: JSONWebKeySet): Promise<Claims> => {
    const options = { issuer: ISSUER, audience: SERVICE, algorithms: ['RS256'] };
    const { payload } = await jwtVerify<Claims>(token, createLocalJWKSet(jwks), options);
    verified += 1;
    return payload;
  };
  return {
    get verified() {
      return verified;
    },
    async verify(token, by) {
      const { kid = '', x5c = [] } = decodeProtectedHeader(token);
      // A replica that is killed meanwhile does not answer; the last check verifies its tokens.
      const jwks = await fetchText(by, '/.well-known/jwks.json');
      const ca = await fetchText(by, '/.well-known/token-ca.pem');
      if (jwks === undefined || ca === undefined) return undefined;
      try {
        const claims = await check(token, JSON.parse(jwks));
        if (!showsLeafOf(x5c, ca))
          journal.violate('a token shows a certificate that the CA did not issue', { kid });
        if (kept.length < MAX_KEPT) kept.push({ token, kid, exp: Number((claims as { exp?: number }).exp) });
        return claims;
      } catch (error) {
        const isRevoked = revoked.has(kid) && error instanceof errors.JWKSNoMatchingKey;
        if (!isRevoked)
          journal.violate('a token does not verify', { kid, replica: by.name, error: String(error) });
        return undefined;
      }
    },
    revokeKey: (kid) => revoked.add(kid),
    async verifyAll(replicas) {
      let count = 0;
      for (const replica of replicas) {
        const jwks = await fetchText(replica, '/.well-known/jwks.json');
        if (jwks === undefined) {
          journal.violate('a replica shows no JWK Set', { replica: replica.name });
          continue;
        }
        const nowS = Date.now() / 1000;
        for (const { token, kid, exp } of kept) {
          if (revoked.has(kid) || exp < nowS + MARGIN_S) continue;
          count += 1;
          await check(token, JSON.parse(jwks)).catch((error: unknown) =>
            journal.violate('a token that was issued no longer verifies', {
              kid,
              replica: replica.name,
              error: String(error),
            }),
          );
        }
      }
      return count;
    },
  };
}

function showsLeafOf([leaf]: readonly string[], caPem: string): boolean {
  if (leaf === undefined) return false;
  const certificate = new X509Certificate(Buffer.from(leaf, 'base64'));
  const authorities = caPem.split(/(?<=-----END CERTIFICATE-----\n)/).filter((pem) => pem.trim() !== '');
  return authorities.some((pem) => certificate.verify(new X509Certificate(pem).publicKey));
}

async function fetchText({ url }: Replica, path: string): Promise<string | undefined> {
  try {
    const response = await fetch(url + path, { signal: AbortSignal.timeout(5000) });
    return response.ok ? await response.text() : undefined;
  } catch {
    return undefined;
  }
}
