import { compactVerify } from 'jose';
import type { FederationSettings, IdTokenAlgorithm, IssuerSettings } from '../../config/federation.ts';
import { CellpassError, type Reason } from '../../errors.ts';
import type { IdTokenClaims } from './claims.ts';
import { audiencesOf, readIdToken, textOf, type UnverifiedIdToken } from './id-token.ts';
import type { IssuerKeys, VerificationKey } from './issuer-keys.ts';

/** An ID token whose signature, audience and times are right. */
export interface VerifiedIdToken {
  /** The name of the issuer in the settings. */
  readonly issuer: string;
  readonly claims: IdTokenClaims;
  readonly subject: string | null;
  readonly jti: string | null;
  readonly expiresAt: Date;
  /** What an identity of this issuer must pin. */
  readonly mustPin: readonly string[];
}

interface RefusedIdToken {
  readonly reason: Reason;
  /** The name of the issuer in the settings; null: it is a stranger's token. */
  readonly issuer: string | null;
}

/** Judges ID tokens. */
export interface IdTokenVerifier {
  /** @throws {CellpassError} `unavailable` when the issuer's keys are not known. */
  verify(text: string, now: Date): Promise<VerifiedIdToken | RefusedIdToken>;
}

export type IdTokenVerifierOptions = Pick<FederationSettings, 'issuers' | 'maxLifetimeSeconds'> & {
  readonly keys: Pick<IssuerKeys, 'find'>;
};

/**
 * The order is a promise: everything up to the known issuer costs neither a query nor a fetch, so
 * that strangers can't make this server work for their tokens.
 */
export function createIdTokenVerifier({
  issuers,
  maxLifetimeSeconds,
  keys,
}: IdTokenVerifierOptions): IdTokenVerifier {
  return {
    async verify(text, now) {
      const token = readIdToken(text);
      if (token === null) return { reason: 'id_token_malformed', issuer: null };
      const entries = issuers.filter(({ issuer }) => issuer === token.claims['iss']);
      const [first] = entries;
      if (first === undefined) return { reason: 'id_token_issuer', issuer: null };
      const audiences = audiencesOf(token.claims);
      const addressed = entries.filter(({ audience }) => audiences.includes(audience));
      const [candidate = first, ...others] = addressed.length === 0 ? entries : addressed;
      const signed = await findSigner(token, [candidate, ...others], keys);
      if ('reason' in signed) return signed;
      const refused = (reason: Reason): RefusedIdToken => ({ reason, issuer: signed.name });
      if (!audiences.includes(signed.audience)) return refused('id_token_audience');
      if (['sub', 'jti'].some((name) => !isRecordable(token.claims[name])))
        return refused('id_token_malformed');
      const times = readTimes(token.claims, now, maxLifetimeSeconds);
      if (typeof times === 'string') return refused(times);
      return {
        issuer: signed.name,
        claims: token.claims,
        subject: textOf(token.claims['sub']),
        jti: textOf(token.claims['jti']),
        expiresAt: times,
        mustPin: signed.mustPin,
      };
    },
  };
}

/**
 * The entry whose key signed the token: clusters may have one issuer, and differ in their keys. If
 * none did, what is wrong with the first entry is told.
 * @throws {CellpassError} `unavailable` if none signed it, and the keys of one of them are not known.
 */
async function findSigner(
  token: UnverifiedIdToken,
  entries: readonly [IssuerSettings, ...IssuerSettings[]],
  keys: Pick<IssuerKeys, 'find'>,
): Promise<IssuerSettings | RefusedIdToken> {
  let refused: RefusedIdToken | undefined;
  let unavailable: CellpassError | undefined;
  for (const entry of entries) {
    const reason = await whyNotSigned(token, entry, keys);
    if (reason === null) return entry;
    if (reason === 'no_keys') unavailable ??= noKeys(entry.name);
    else refused ??= { reason, issuer: entry.name };
  }
  if (unavailable === undefined && refused !== undefined) return refused;
  throw unavailable;
}

/** Null: the entry's issuer signed the token. */
async function whyNotSigned(
  token: UnverifiedIdToken,
  entry: IssuerSettings,
  keys: Pick<IssuerKeys, 'find'>,
): Promise<Reason | 'no_keys' | null> {
  const algorithm = readHeader(token, entry.algorithms);
  if (typeof algorithm === 'string') return algorithm;
  const found = await keys.find(entry.name, algorithm);
  if (found === 'none') return 'no_keys';
  if (found.length === 0) return 'id_token_key';
  return (await isSigned(token.text, algorithm.alg, found)) ? null : 'id_token_signature';
}

interface NamedAlgorithm {
  readonly alg: IdTokenAlgorithm;
  /** Undefined: the header names no key. */
  readonly kid: string | undefined;
}

/**
 * Headers that name a key, or demand an extension (RFC 7515 section 4.1.11, RFC 7797): the key is
 * always one of the issuer's set.
 */
const REFUSED_HEADERS = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64'] as const;

/** `alg` is one of the operator's list, never what the token likes. */
function readHeader(
  { header }: UnverifiedIdToken,
  algorithms: readonly IdTokenAlgorithm[],
): NamedAlgorithm | Reason {
  if (REFUSED_HEADERS.some((name) => Object.hasOwn(header, name))) return 'id_token_header';
  const alg = algorithms.find((one) => one === header['alg']);
  if (alg === undefined) return 'id_token_algorithm';
  if (!Object.hasOwn(header, 'kid')) return { alg, kid: undefined };
  const { kid } = header;
  return typeof kid === 'string' ? { alg, kid } : 'id_token_header';
}

async function isSigned(
  text: string,
  alg: IdTokenAlgorithm,
  keys: readonly VerificationKey[],
): Promise<boolean> {
  for (const key of keys) {
    try {
      await compactVerify(text, key, { algorithms: [alg] });
      return true;
    } catch {
      // Another key of the same id may have signed it.
    }
  }
  return false;
}

/** RFC 7519 section 4.1.7 and OpenID Connect Core section 2 know far shorter ones. */
const LONGEST_NAME = 1024;
/** Control characters, and halves of surrogate pairs, which the database can't store. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;

/** Records name the token by these claims: a text there must be one that can be recorded. */
function isRecordable(claim: unknown): boolean {
  return typeof claim !== 'string' || (claim.length <= LONGEST_NAME && !UNPRINTABLE.test(claim));
}

/** For `iat` and `nbf`, when the issuer's clock is a little fast. */
export const LEEWAY_SECONDS = 30;
/** A token that ends sooner is of no use to a client. */
const SHORTEST_LIFE_SECONDS = 5;

/** When the token ends, or what is wrong with its times. `exp` has no leeway. */
function readTimes(claims: IdTokenClaims, now: Date, maxLifetimeSeconds: number): Date | Reason {
  const { exp, iat, nbf } = claims;
  const seconds = now.getTime() / 1000;
  if (!isTime(exp) || !isTime(iat)) return 'id_token_times';
  if (nbf !== undefined && !isTime(nbf)) return 'id_token_times';
  if (exp <= seconds + SHORTEST_LIFE_SECONDS) return 'id_token_expired';
  if (exp - iat > maxLifetimeSeconds || exp <= iat) return 'id_token_life';
  const earliest = Math.max(iat, nbf ?? iat);
  return earliest > seconds + LEEWAY_SECONDS ? 'id_token_not_yet' : new Date(exp * 1000);
}

/** RFC 7519 section 2, NumericDate, within what a `Date` can hold. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < 8.64e12;
}

function noKeys(issuer: string): CellpassError {
  return new CellpassError('unavailable', `the keys of the issuer ${issuer} are not known; try again`, {
    reason: 'issuer_keys',
    retryAfterSeconds: 30,
  });
}
