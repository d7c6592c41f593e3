import type { Context } from 'koa';
import { type Credentials, parseBasic, toCredentials, unauthorized } from '../../authn/basic.ts';
import type { Limits } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import { splitScopes } from '../../policy/scope.ts';
import { readBody } from '../body.ts';

/** A token request, from a GET or a POST. */
export interface TokenRequest {
  /** Null when it is missing or given twice: neither may become an audience. */
  readonly service: string | null;
  readonly scopes: readonly string[];
  readonly credentials: Credentials | null;
  /** Another cell forwarded this request. */
  readonly forwarded: boolean;
  /** Another cell removed credentials that this cell does not take. */
  readonly credentialsHeldBack: boolean;
  /** The unchanged form of a POST; null for a GET. */
  readonly form: Buffer | null;
}

/**
 * Set by a cell that forwards a request. A client that sends it only keeps its own request from
 * being forwarded.
 */
export const HOP_HEADER = 'Cellpass-Hop';
/**
 * Set in place of removed credentials. A client that sends it is anonymous, as it would be without
 * the header.
 */
export const HELD_BACK_HEADER = 'Cellpass-Credentials';
export const HELD_BACK = 'held-back';

/**
 * Reads a `GET` as distribution's token.md specifies it, and a `POST` as its oauth.md does.
 * @throws {CellpassError} `size`, `unauthorized` for credentials that do not parse,
 * `grant_type_unsupported`.
 */
export async function readTokenRequest(ctx: Context, limits: Limits): Promise<TokenRequest> {
  return ctx.method === 'POST' ? readForm(ctx, limits) : readQuery(ctx, limits);
}

function readQuery(ctx: Context, limits: Limits): TokenRequest {
  const query = new URLSearchParams(ctx.querystring);
  const scopes = readScopes(query, limits);
  const credentials = withinLimits(parseBasic(ctx.get('Authorization')), limits);
  return { service: readService(query), scopes, credentials, form: null, ...readHop(ctx, credentials) };
}

/** The hop headers. Credentials in the request count more than the header that replaces them. */
function readHop(
  ctx: Context,
  credentials: Credentials | null,
): Pick<TokenRequest, 'forwarded' | 'credentialsHeldBack'> {
  return {
    forwarded: ctx.get(HOP_HEADER) !== '',
    credentialsHeldBack: credentials === null && ctx.get(HELD_BACK_HEADER) === HELD_BACK,
  };
}

/**
 * An unsupported POST is answered 404, which every client understands as "use GET". An anonymous
 * 200 would be wrong.
 */
async function readForm(ctx: Context, limits: Limits): Promise<TokenRequest> {
  const body = await readBody(ctx.req, limits.bodyBytes);
  const isForm = ctx.is('application/x-www-form-urlencoded') !== false;
  const form = new URLSearchParams(isForm ? body.toString('utf8') : '');
  const grantType = form.get('grant_type');
  if (grantType !== 'password' && grantType !== 'refresh_token') {
    throw new CellpassError(
      'grant_type_unsupported',
      'POST takes a form with grant_type=password; use GET with Basic credentials otherwise',
    );
  }
  const scopes = readScopes(form, limits);
  // This server issues no refresh tokens, so none can be valid.
  if (grantType === 'refresh_token') throw unauthorized('refresh_token');
  const credentials = toCredentials(form.get('username') ?? '', form.get('password') ?? '');
  const hop = readHop(ctx, credentials);
  if (credentials === null && !hop.credentialsHeldBack) throw unauthorized('no_credentials');
  return {
    service: readService(form),
    scopes,
    credentials: withinLimits(credentials, limits),
    form: body,
    ...hop,
  };
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

function withinLimits(credentials: Credentials | null, limits: Limits): Credentials | null {
  if (credentials === null) return null;
  if (Buffer.byteLength(credentials.username) > limits.usernameBytes) {
    throw new CellpassError('size', `the user name is longer than ${limits.usernameBytes} bytes`);
  }
  if (Buffer.byteLength(credentials.password) > limits.passwordBytes) {
    throw new CellpassError('size', `the password is longer than ${limits.passwordBytes} bytes`);
  }
  return credentials;
}
