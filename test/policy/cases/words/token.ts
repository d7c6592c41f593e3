import { type Situation, TOKEN_KINDS, type TokenKind } from '../situation.ts';
import { NotUnderstood } from './phrases.ts';

/** Parses the columns `token_kind` and `token_scopes`. */

/** `password or api pat` is two kinds, and each becomes a separate scenario. */
export function tokenKinds(cell: string): readonly TokenKind[] {
  return cell.split(' or ').map((words) => {
    const word = words.trim().replace(/^(?:api )?(?:pat|personal_access_token)$/i, 'pat');
    const kind = TOKEN_KINDS.find((known) => known === word);
    if (kind === undefined) throw new NotUnderstood(words || 'an empty cell', 'token_kind');
    return kind;
  });
}

export function readToken(kind: TokenKind, scopes: string, { credential }: Situation): void {
  refuseWhatCannotBe(kind, credential);
  if (credential.named !== null && !credential.named.includes(kind))
    throw new NotUnderstood(`${kind} of such a principal`, 'token_kind');
  credential.kind = kind;
  credential.scopes = scopes
    .split(/[;,\s]+(?!scopes)/)
    .filter((scope) => scope !== '')
    .flatMap(scopesIn);
}

/**
 * The properties must be possible for this kind of credential; otherwise the row would test less
 * than it says.
 */
function refuseWhatCannotBe(
  kind: TokenKind,
  { revoked, expiresOn, botState }: Situation['credential'],
): void {
  const isBot = kind === 'project_access_token' || kind === 'group_access_token';
  const isToken = isBot || kind === 'pat' || kind === 'deploy_token';
  if (revoked && !isToken) throw new NotUnderstood(`revoked ${kind}`, 'principal');
  if (expiresOn !== null && !isToken && kind !== 'job_token')
    throw new NotUnderstood(`expired ${kind}`, 'principal');
  if (botState !== 'active' && !isBot) throw new NotUnderstood(`bot of a ${kind}`, 'principal');
}

/**
 * GitLab's token scopes. Only these, so that a typing error is not taken for a scope without
 * rights.
 */
const TOKEN_SCOPES: ReadonlySet<string> = new Set(
  `api read_api read_user read_repository write_repository read_registry write_registry read_virtual_registry
  write_virtual_registry read_package_registry write_package_registry create_runner manage_runner ai_features k8s_proxy
  self_rotate sudo admin_mode read_service_ping openid profile email read_observability write_observability`.split(
    /\s+/,
  ),
);

function scopesIn(word: string): readonly string[] {
  if (word === 'registry scopes') return ['read_registry', 'write_registry'];
  // A job token has no scopes to choose.
  if (word === 'ci' || word === 'none' || word === 'n/a') return [];
  if (!TOKEN_SCOPES.has(word)) throw new NotUnderstood(word, 'token_scopes');
  return [word];
}
