import type { Context } from 'koa';
import { type Credentials, parseBasic, toCredentials, unauthorized } from '../../authn/basic.ts';
import type { Limits } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import { splitScopes } from '../../policy/scope.ts';
import { readBody } from '../body.ts';

/** A token request within the limits of sizes, whose credentials may still be none. */
export interface RawRequest {
  /** Null when it is missing or given twice: neither may become an audience. */
  readonly service: string | null;
  readonly scopes: readonly string[];
  /** Of a POST. */
  readonly grantType: string | null;
  /** Throws `unauthorized` for credentials that do not parse. */
  readonly credentials: () => Credentials | null;
  /** The parameters: of the query, or of the form of a POST. */
  readonly params: URLSearchParams;
  /** The unchanged body of a POST; null for a GET. */
  readonly form: Buffer | null;
  /** The values of the hop header: who sent this request on. */
  readonly hops: readonly string[];
  /** Another cell removed credentials, or a client says so. */
  readonly heldBack: boolean;
}

/** A token request, from a GET or a POST. */
export interface TokenRequest extends Pick<RawRequest, 'service' | 'scopes' | 'form'> {
  readonly credentials: Credentials | null;
  /** Another cell forwarded this request. */
  readonly forwarded: boolean;
  /** Another cell removed credentials that this cell does not take. */
  readonly credentialsHeldBack: boolean;
}

/** RFC 8693 section 2.1. */
export const EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';

/**
 * Set by a cell that forwards a request, and by one that passes it on to GitLab Rails. A client that
 * sends it only keeps its own request from being forwarded.
 */
export const HOP_HEADER = 'Cellpass-Hop';
/** The value of the hop header for Rails. */
export const RAILS_HOP = 'rails';
/**
 * Set in place of removed credentials. A client that sends it is anonymous, as it would be without
 * the header.
 */
export const HELD_BACK_HEADER = 'Cellpass-Credentials';
export const HELD_BACK = 'held-back';

/** @throws {CellpassError} `size`. */
export async function readRawRequest(ctx: Context, limits: Limits): Promise<RawRequest> {
  const form = ctx.method === 'POST' ? await readBody(ctx.req, limits.bodyBytes) : null;
  const params = new URLSearchParams(form === null ? ctx.querystring : formOf(ctx, form));
  const credentials = attempt(() =>
    form === null
      ? parseBasic(ctx.get('Authorization'))
      : toCredentials(params.get('username') ?? '', params.get('password') ?? ''),
  );
  // An exchange ignores its scopes, and has no user name and no password.
  const isExchange = form !== null && params.get('grant_type') === EXCHANGE_GRANT;
  if (credentials.value !== null && !isExchange) refuseTooLong(credentials.value, limits);
  const hops = ctx.get(HOP_HEADER);
  return {
    service: readService(params),
    scopes: isExchange ? [] : readScopes(params, limits),
    params,
    grantType: form === null ? null : params.get('grant_type'),
    credentials: () => {
      if (credentials.error !== undefined) throw credentials.error;
      return credentials.value;
    },
    form,
    hops: hops === '' ? [] : hops.split(',').map((hop) => hop.trim()),
    heldBack: ctx.get(HELD_BACK_HEADER) === HELD_BACK,
  };
}

function formOf(ctx: Context, body: Buffer): string {
  return ctx.is('application/x-www-form-urlencoded') === false ? '' : body.toString('utf8');
}

interface Attempted {
  readonly value: Credentials | null;
  readonly error?: unknown;
}

function attempt(read: () => Credentials | null): Attempted {
  try {
    return { value: read() };
  } catch (error) {
    return { value: null, error };
  }
}

/**
 * Reads a `GET` as distribution's token.md specifies it, and a `POST` as its oauth.md does. An
 * unsupported POST is answered 404, which every client understands as "use GET". An anonymous 200
 * would be wrong.
 * @throws {CellpassError} `unauthorized` for credentials that do not parse,
 * `grant_type_unsupported`.
 */
export function toTokenRequest(raw: RawRequest): TokenRequest {
  const { service, scopes, form, grantType } = raw;
  if (form !== null) {
    if (grantType !== 'password' && grantType !== 'refresh_token') {
      throw new CellpassError(
        'grant_type_unsupported',
        'POST takes a form with grant_type=password; use GET with Basic credentials otherwise',
      );
    }
    // This server issues no refresh tokens, so none can be valid.
    if (grantType === 'refresh_token') throw unauthorized('refresh_token');
  }
  const credentials = raw.credentials();
  // Credentials in the request count more than the header that replaces them.
  const credentialsHeldBack = credentials === null && raw.heldBack;
  if (form !== null && credentials === null && !credentialsHeldBack) throw unauthorized('no_credentials');
  return { service, scopes, credentials, form, forwarded: raw.hops.length > 0, credentialsHeldBack };
}

function readService(params: URLSearchParams): string | null {
  const [service, ...others] = new Set(params.getAll('service'));
  return service === undefined || others.length > 0 ? null : service;
}

function readScopes(params: URLSearchParams, limits: Limits): readonly string[] {
  const scopes = splitScopes(params.getAll('scope'));
  if (scopes.length > limits.scopes) {
    throw new CellpassError(
      'size',
      `more than ${limits.scopes} scopes in one request; ask for fewer at a time`,
    );
  }
  return scopes;
}

function refuseTooLong({ username, password }: Credentials, limits: Limits): void {
  if (Buffer.byteLength(username) > limits.usernameBytes) {
    throw new CellpassError('size', `the user name is longer than ${limits.usernameBytes} bytes`);
  }
  if (Buffer.byteLength(password) > limits.passwordBytes) {
    throw new CellpassError('size', `the password is longer than ${limits.passwordBytes} bytes`);
  }
}
