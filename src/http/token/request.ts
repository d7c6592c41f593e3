import type { Context } from 'koa';
import { type Credentials, parseBasic, toCredentials, unauthorized } from '../../authn/basic.ts';
import type { Limits } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import { splitScopes } from '../../policy/scope.ts';
import { readBody } from '../body.ts';

/** What a client asks, whichever way it asks. */
export interface TokenRequest {
  /** Null where it is missing or named twice: neither may become an audience. */
  readonly service: string | null;
  readonly scopes: readonly string[];
  readonly credentials: Credentials | null;
  /** Another cell passed this on. */
  readonly forwarded: boolean;
  /** Another cell holds credentials back that this cell doesn't take. */
  readonly credentialsHeldBack: boolean;
  /** The form of a POST, as it came; null for a GET. */
  readonly form: Buffer | null;
}

/** Names the cells that a request came through. Whoever else sends it only keeps their request from being passed on. */
export const HOP_HEADER = 'Cellpass-Hop';
/** Stands for credentials that were held back. Whoever else sends it counts as nobody, as without it. */
export const HELD_BACK_HEADER = 'Cellpass-Credentials';
export const HELD_BACK = 'held-back';

/**
 * `GET` as in distribution's token.md, `POST` as in its oauth.md.
 * @throws {CellpassError} `size`, `unauthorized` for credentials that don't parse, `grant_type_unsupported`.
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

/** Credentials that are there count, whatever a header says. */
function readHop(
  ctx: Context,
  credentials: Credentials | null,
): Pick<TokenRequest, 'forwarded' | 'credentialsHeldBack'> {
  return {
    forwarded: ctx.get(HOP_HEADER) !== '',
    credentialsHeldBack: credentials === null && ctx.get(HELD_BACK_HEADER) === HELD_BACK,
  };
}

/** A POST that is not understood is a 404, which every client takes for "use GET"; it must never end as an anonymous 200. */
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
  // None is issued, so none can be right.
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
