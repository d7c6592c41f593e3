import type { CredentialRecords } from '../../authn/account.ts';
import { questionOf } from '../../authn/credential-kinds.ts';
import { claimText, countMatches, firstMismatch } from '../../authn/federation/claims.ts';
import { ID_TOKEN_USERNAME, readIdToken, textOf } from '../../authn/federation/id-token.ts';
import { fromIdToken, matches } from '../../authn/federation/identity.ts';
import type { IdTokenVerifier, VerifiedIdToken } from '../../authn/federation/verify.ts';
import type { DirectorySource } from '../../authn/source.ts';
import type { SubjectOrReason } from '../../authn/to-subject.ts';
import { type ClaimPins, missingPins, pinOf } from '../../config/federated-claims.ts';
import { CellpassError } from '../../errors.ts';
import { dialectOf } from '../../policy/dialect.ts';
import type { ExplainedIdToken } from '../types.ts';

/** What explaining an ID token needs. */
export interface IdTokenResource {
  readonly source: Pick<DirectorySource, 'ask'>;
  /** Null: the settings name no issuer. */
  readonly idTokens: IdTokenVerifier | null;
  /** The claims that each identity of an issuer pins, by name. */
  claimsOfIssuer(issuer: string): Promise<ReadonlyMap<string, ClaimPins>>;
}

/** So many identities that match, too, are named. */
const MOST_NAMED = 20;

interface ReadIdToken {
  readonly subject: SubjectOrReason;
  readonly records: CredentialRecords | null;
  readonly explained: ExplainedIdToken;
}

/**
 * Whom an ID token stands for, as at a login, and how it was read. Nothing is counted.
 * @throws {CellpassError} `conflict` where no issuer is configured; `unavailable` as at a login.
 */
export async function explainIdToken(
  { source, idTokens, claimsOfIssuer }: IdTokenResource,
  text: string,
  now: Date,
): Promise<ReadIdToken> {
  if (idTokens === null) {
    throw new CellpassError(
      'conflict',
      'no issuer of ID tokens is configured: name one under federation in the file of CELLPASS_CONFIG',
    );
  }
  const read = readIdToken(text);
  const common = {
    alg: textOf(read?.header['alg']),
    kid: textOf(read?.header['kid']),
    claims: { ...read?.claims },
  };
  const unmatched = { identity: null, matched: [], nearest: null };
  const verdict = await idTokens.verify(text, now);
  if ('reason' in verdict) {
    const explained = { ...common, ...unmatched, issuer: verdict.issuer, verified: false };
    return { subject: verdict.reason, records: null, explained };
  }
  const credentials = { username: ID_TOKEN_USERNAME, password: text };
  const { credentials: records } = await source.ask(questionOf(credentials, verdict), []);
  const found = records.idToken ?? { identities: [], revoked: false };
  const reading = { now, dialect: dialectOf(records), username: ID_TOKEN_USERNAME };
  const [match, ...others] = found.identities.filter((one) => matches(one, verdict));
  const explained = {
    ...common,
    ...unmatched,
    issuer: verdict.issuer,
    verified: true,
    ...(match === undefined
      ? { nearest: findNearest(await claimsOfIssuer(verdict.issuer), verdict) }
      : { identity: match.name, matched: Object.keys(match.claims).sort() }),
    ...(others.length > 0 && { also: others.slice(0, MOST_NAMED).map(({ name }) => name) }),
  };
  return { subject: fromIdToken(verdict, found, reading), records, explained };
}

/** The identity with the most claims that match; of several, the first by name. */
function findNearest(
  identities: ReadonlyMap<string, ClaimPins>,
  { claims, mustPin }: VerifiedIdToken,
): ExplainedIdToken['nearest'] {
  const [nearest] = [...identities].toSorted(
    ([, a], [, b]) => countMatches(b, claims) - countMatches(a, claims),
  );
  if (nearest === undefined) return null;
  const [identity, pins] = nearest;
  // Where all is equal, the issuer demands more than it did when the identity was applied.
  const claim = firstMismatch(pins, claims) ?? missingPins(pins, mustPin)[0];
  if (claim === undefined) return null;
  return { identity, claim, pinned: printPin(pinOf(pins, claim)), actual: claimText(claims, claim) };
}

function printPin(pin: ClaimPins[string] | undefined): string {
  if (typeof pin === 'string') return pin;
  if (pin === undefined) return '';
  return 'prefix' in pin ? `${pin.prefix}…` : pin.join(' or ');
}
