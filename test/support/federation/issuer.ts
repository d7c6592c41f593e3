import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type { FetchKeys } from '../../../src/authn/federation/key-set.ts';
import type { IssuerSettings } from '../../../src/config/federation.ts';

/** An issuer in memory: signs ID tokens, and publishes its keys without a network. */
export interface MemoryIssuer {
  readonly settings: IssuerSettings;
  /** How often its keys were fetched. */
  readonly fetches: number;
  readonly fetchKeys: FetchKeys;
  /** What is published; null: nobody answers. */
  published: object | null;
  readonly jwks: { readonly keys: readonly object[] };
  /** With the times of a fresh token, unless `claims` has others; undefined leaves a claim out. */
  sign(claims?: Claims, header?: Record<string, unknown>): Promise<string>;
}

type Claims = Record<string, unknown>;

export interface MemoryIssuerOptions {
  readonly settings?: Partial<IssuerSettings>;
  readonly now?: () => Date;
  readonly algorithm?: 'RS256' | 'ES256';
}

export const AUDIENCE = 'https://registry.example.com';
const LIFE_SECONDS = 300;

export async function createMemoryIssuer({
  settings: given = {},
  now = () => new Date(),
  algorithm = 'RS256',
}: MemoryIssuerOptions = {}): Promise<MemoryIssuer> {
  const pair = await generateKeyPair(algorithm, { extractable: true });
  const kid = randomUUID();
  const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), kid, use: 'sig', alg: algorithm }] };
  const settings: IssuerSettings = {
    name: 'ci',
    issuer: 'https://ci.example.com',
    preset: null,
    audience: AUDIENCE,
    algorithms: ['RS256', 'ES256'],
    mustPin: ['sub'],
    keys: { jwksUri: 'https://ci.example.com/keys', fallbackUri: null, caFile: null },
    ...given,
  };
  let fetches = 0;
  const issuer = {
    settings,
    jwks,
    published: jwks as object | null,
    get fetches() {
      return fetches;
    },
    fetchKeys: async () => {
      fetches += 1;
      if (issuer.published === null) throw new Error('nobody answers');
      return issuer.published;
    },
    sign: (claims: Claims = {}, header: Record<string, unknown> = {}) => {
      const seconds = Math.floor(now().getTime() / 1000);
      const payload = {
        iss: settings.issuer,
        aud: settings.audience,
        sub: 'job-1',
        jti: randomUUID(),
        iat: seconds,
        exp: seconds + LIFE_SECONDS,
        ...claims,
      };
      const given = Object.entries(payload).filter(([, value]) => value !== undefined);
      const jwt = new SignJWT(Object.fromEntries(given) as JWTPayload);
      return jwt.setProtectedHeader({ alg: algorithm, kid, ...header }).sign(pair.privateKey);
    },
  };
  return issuer;
}
