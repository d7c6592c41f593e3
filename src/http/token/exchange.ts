import {
  type Authenticator,
  authenticate,
  countRefusedToken,
  verifyIdToken,
} from '../../authn/authenticate.ts';
import type { Credentials } from '../../authn/basic.ts';
import { questionOf } from '../../authn/credential-kinds.ts';
import { ID_TOKEN_USERNAME } from '../../authn/federation/id-token.ts';
import type { IdTokenVerifier, VerifiedIdToken } from '../../authn/federation/verify.ts';
import { knownCredential } from '../../authn/known-credential.ts';
import type { DirectorySource } from '../../authn/source.ts';
import type { Limits } from '../../config/load.ts';
import {
  EXCHANGE_REFUSALS,
  type ExchangedToken,
  type ProvenIdentity,
} from '../../directory/tokens/exchange.ts';
import { CellpassError, type Reason } from '../../errors.ts';
import type { ClockCheck } from '../../keys/clock-check.ts';
import type { UserSubject } from '../../policy/subject.ts';
import { toNetwork } from '../client-address.ts';
import type { RequestContext } from '../request-state.ts';
import type { TokenExchangeResponse } from '../types.ts';
import type { OutcomeDraft } from './outcome.ts';

/** Token exchange (RFC 8693): an ID token for an access token that outlives it. */

const ID_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:id_token';
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

export interface Exchange {
  readonly authenticator: Authenticator;
  readonly idTokens: IdTokenVerifier | null;
  readonly source: Pick<DirectorySource, 'ask'>;
  readonly clock: Pick<ClockCheck, 'assertRight'>;
  /**
   * Null: nothing is exchanged, because no issuer is configured, or because access tokens are made
   * elsewhere.
   */
  readonly exchange:
    | ((
        proven: ProvenIdentity,
        call: Pick<ExchangeCall, 'awaited'> & { readonly now: Date },
      ) => Promise<ExchangedToken>)
    | null;
}

/**
 * The ID token in the form of a POST, as credentials.
 * @throws {CellpassError} `grant_type_unsupported` where nothing is exchanged; `bad_exchange` for a
 *   wrong form, and `size`, which use up nothing.
 */
export function readExchange(
  { exchange }: Pick<Exchange, 'exchange'>,
  form: URLSearchParams,
  limits: Pick<Limits, 'passwordBytes'>,
): Credentials {
  if (exchange === null) {
    throw new CellpassError(
      'grant_type_unsupported',
      'this server exchanges no tokens: use the ID token as the password',
    );
  }
  // RFC 6749 section 3.2: none may be repeated, and one without a value counts as left out.
  const given = (name: string): string | null => {
    const [value = '', ...others] = form.getAll(name);
    if (others.length > 0) throw wrongForm(`${name} is given twice`);
    return value === '' ? null : value;
  };
  given('grant_type');
  if (given('subject_token_type') !== ID_TOKEN_TYPE)
    throw wrongForm(`subject_token_type must be ${ID_TOKEN_TYPE}`, 'subject_token_type');
  if ((given('requested_token_type') ?? ACCESS_TOKEN_TYPE) !== ACCESS_TOKEN_TYPE)
    throw wrongForm(`requested_token_type must be ${ACCESS_TOKEN_TYPE}, or missing`);
  if (given('actor_token') !== null) throw wrongForm('actor_token is not supported: leave it out');
  const password = given('subject_token');
  if (password === null) throw wrongForm('subject_token is missing');
  if (Buffer.byteLength(password) > limits.passwordBytes)
    throw new CellpassError('size', `the subject_token is longer than ${limits.passwordBytes} bytes`);
  return { username: ID_TOKEN_USERNAME, password };
}

function wrongForm(message: string, reason?: Reason): CellpassError {
  return new CellpassError('bad_exchange', message, reason === undefined ? {} : { reason });
}

/** What is exchanged, and for whom. */
interface ExchangeCall {
  readonly credentials: Credentials;
  /** Aborted when the client no longer waits. */
  readonly awaited: AbortSignal;
}

/**
 * Verifies the ID token and creates the access token.
 * @throws {CellpassError} as `authenticate`, and as `exchangeIdToken`, whose refusals are failed
 *   attempts, too; `unavailable` while this server's clock is wrong.
 */
export async function exchangeToken(
  { authenticator, idTokens, source, clock, exchange }: Exchange,
  { now, clientAddress }: RequestContext,
  outcome: OutcomeDraft,
  { credentials, awaited }: ExchangeCall,
): Promise<TokenExchangeResponse> {
  if (idTokens === null || exchange === null)
    throw new CellpassError('internal', 'nothing is exchanged here');
  // Before the ID token, because a wrong clock takes an expired one for valid.
  clock.assertRight();
  const when = { now, network: toNetwork(clientAddress) };
  const idToken = await verifyIdToken(idTokens, authenticator, credentials, when, (seen) => {
    outcome.idToken = seen;
  });
  const { credentials: records } = await source.ask(questionOf(credentials, idToken), []);
  outcome.knownCredential = knownCredential(records, idToken);
  const subject = await authenticate(authenticator, credentials, records, {
    ...when,
    idToken,
    clientGone: () => awaited,
  });
  outcome.subject = subject;
  if (subject.kind !== 'user') throw new CellpassError('internal', 'an ID token stands for a user');
  const { secret, endsAt } = await exchange(toProven(subject, idToken), { now, awaited }).catch(
    async (error: unknown) => {
      const reason = EXCHANGE_REFUSALS.find((one) => error instanceof CellpassError && error.reason === one);
      if (reason === undefined) throw error;
      throw await countRefusedToken(authenticator, credentials, when.network, reason);
    },
  );
  return {
    access_token: secret,
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: 'Basic',
    expires_in: Math.floor((endsAt.getTime() - now.getTime()) / 1000),
    username: subject.person.username,
  };
}

function toProven(subject: UserSubject, idToken: VerifiedIdToken): ProvenIdentity {
  const { identity, person, tokenScopes, identityEnds = null } = subject;
  if (identity === undefined) throw new CellpassError('internal', 'an ID token proves an identity');
  return { idToken, identity, userId: person.id, scopes: tokenScopes ?? [], identityEnds };
}

/** RFC 6749 section 5.2, and section 4.1.2.1 for the last. */
type OauthError = 'invalid_request' | 'unsupported_grant_type' | 'temporarily_unavailable';

/** The same error, whose body also has OAuth's members. */
export function withOauthError(error: unknown): unknown {
  if (!(error instanceof CellpassError)) return error;
  const oauthError = oauthErrorOf(error);
  return new CellpassError(error.code, error.message, { ...error.details, oauthError });
}

function oauthErrorOf({ code }: CellpassError): OauthError {
  if (code === 'grant_type_unsupported') return 'unsupported_grant_type';
  return code === 'unavailable' || code === 'too_many_failures'
    ? 'temporarily_unavailable'
    : 'invalid_request';
}
