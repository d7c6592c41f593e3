import { hash } from 'node:crypto';
import { lowerCaseAscii } from '../../../ascii.ts';
import type { Unjudged } from '../../../authn/account.ts';
import type { RailsRules } from '../../../config/rails.ts';
import type { AskedScopes } from '../../../policy/scope.ts';

/** Why Rails answers a request in the place of cellpass. */
export type PassReason =
  | 'service'
  | 'observe'
  | 'namespace'
  | 'percent'
  | Unjudged
  | 'external_authorization'
  | 'first_push';

/** Who asks, as far as that decides who answers. */
export interface Asker {
  /** Null: the client showed no credentials. */
  readonly username: string | null;
  readonly network: string;
}

/** Whether the rules leave a request to Rails that cellpass could answer; null: they do not. */
export function whyLeftToRails(
  { serveNamespaces, servePercent }: RailsRules,
  asked: AskedScopes,
  asker: Asker,
): 'namespace' | 'percent' | null {
  if (serveNamespaces !== null && !liesIn(serveNamespaces, asked)) return 'namespace';
  return placeOf(asker) < servePercent ? null : 'percent';
}

/** A scope that can't be read may be about any group. */
function liesIn(namespaces: readonly string[], { scopes, dropped }: AskedScopes): boolean {
  const names = scopes.filter(({ type }) => type === 'repository').map(({ name }) => name);
  if (names.length === 0 || dropped.length > 0) return false;
  return names.every((name) => namespaces.includes(lowerCaseAscii(name.split('/', 1)[0] ?? '')));
}

const HEX = 16;
const DIGITS = 8;

/** Login names that are no account's: those of jobs, and of OAuth tokens. */
const SHARED_LOGINS: ReadonlySet<string> = new Set(['gitlab-ci-token', 'oauth2']);

/** From 0 to below 100: the same for one account, or one address without an account, for ever. */
function placeOf({ username, network }: Asker): number {
  const login = lowerCaseAscii(username ?? '');
  const isAccount = username !== null && !SHARED_LOGINS.has(login);
  const name = isAccount ? `account ${login}` : `address ${network}`;
  return (Number.parseInt(hash('sha256', name, 'hex').slice(0, DIGITS), HEX) / HEX ** DIGITS) * 100;
}
