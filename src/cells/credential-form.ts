import type { Credentials } from '../authn/basic.ts';
import { mayBePassword, TOKEN_FORM } from '../authn/credential-kinds.ts';
import { audiencesOf, readIdToken } from '../authn/federation/id-token.ts';
import { parseBase36, printRouting, readRoutableToken } from './routable-token.ts';

/**
 * What the form of credentials says about their cell, before they are looked up.
 * - `none`: no credentials.
 * - `routable`: the token names a cell.
 * - `unroutable`: a password, or a token that names no cell, such as one of an older form.
 * - `id_token`: an ID token, whose audience names a cell. It proves nothing.
 * - `elsewhere`: the forwarding cell withholds them, because this cell doesn't accept their kind.
 * - `damaged`: a token with a wrong checksum, so no cell has issued it.
 */
export type CredentialForm =
  | { readonly kind: 'none' | 'unroutable' | 'elsewhere' | 'damaged' }
  | { readonly kind: 'routable'; readonly cell: bigint }
  | { readonly kind: 'id_token'; readonly audiences: readonly string[] };

const JOB_TOKEN_PREFIX = 'glcbt-';

/** Classifies the credentials by the form of the password. */
export function readCredentialForm(credentials: Credentials | null): CredentialForm {
  if (credentials === null) return { kind: 'none' };
  const { password } = credentials;
  const reading = readRoutableToken(password);
  switch (reading.kind) {
    case 'damaged':
      // A password may happen to look like a damaged token.
      return { kind: mayBePassword(credentials) ? 'unroutable' : 'damaged' };
    case 'opaque':
      return formOfIdToken(password) ?? named(cellOfJobJwt(password));
    case 'routable':
      return named(reading.routing.c);
  }
}

function formOfIdToken(password: string): CredentialForm | null {
  const token = readIdToken(password);
  return token && { kind: 'id_token', audiences: audiencesOf(token.claims) };
}

/** The parts of a secret that lists may show. Null: the secret has no such part. */
export interface ShowableParts {
  /** Such as `glpat-`. */
  readonly prefix: string | null;
  /** Such as `c:2,o:1,p:101`. */
  readonly routing: string | null;
}

/** Reads the prefix and, in a routable token, the routing. */
export function showableParts(secret: string): ShowableParts {
  const reading = readRoutableToken(secret);
  if (reading.kind === 'routable') {
    return { prefix: reading.prefix === '' ? null : reading.prefix, routing: printRouting(reading.routing) };
  }
  return { prefix: TOKEN_FORM.exec(secret)?.[0] ?? null, routing: null };
}

function named(cell: bigint | undefined): CredentialForm {
  return cell === undefined ? { kind: 'unroutable' } : { kind: 'routable', cell };
}

const JWT = /^[A-Za-z0-9_-]+\.(?<payload>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;
const BASE36 = /^[0-9a-z]{1,13}$/;

/**
 * A job token may be a JWT whose claim `c` names the cell. Its signature isn't verified here: like
 * any other token, it is looked up as a whole.
 */
function cellOfJobJwt(secret: string): bigint | undefined {
  if (!secret.startsWith(JOB_TOKEN_PREFIX)) return undefined;
  const payload = JWT.exec(secret.slice(JOB_TOKEN_PREFIX.length))?.groups?.['payload'];
  const cell = payload === undefined ? undefined : claimIn(Buffer.from(payload, 'base64url').toString(), 'c');
  return typeof cell === 'string' && BASE36.test(cell) ? parseBase36(cell) : undefined;
}

function claimIn(json: string, name: string): unknown {
  try {
    const claims: unknown = JSON.parse(json);
    return typeof claims === 'object' && claims !== null ? Reflect.get(claims, name) : undefined;
  } catch {
    return undefined;
  }
}
