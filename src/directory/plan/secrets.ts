import type { Path } from '../document/read.ts';
import { type StoredSecret, secretDigest, toStoredSecret } from '../document/secret.ts';
import type { Planning } from './planning.ts';

export type TokenSection = 'access_tokens' | 'deploy_tokens' | 'job_tokens';
const NOUN: Record<TokenSection, string> = {
  access_tokens: 'access token',
  deploy_tokens: 'deploy token',
  job_tokens: 'job token',
};

interface TokenEntry {
  readonly at: number;
  readonly token?: string | undefined;
  readonly token_sha256?: string | undefined;
}

/** A secret that the document leaves out stays as it is; a new token must have one. */
export function digestFor(
  planning: Planning,
  section: TokenSection,
  entry: TokenEntry,
  stored: { readonly token_digest: string } | null,
): string | undefined {
  const digest = secretDigest(entry) ?? stored?.token_digest;
  const isUnreadable = planning.unreadable.entries.has(`${section}:${entry.at}`);
  if (digest === undefined && !planning.assume && !isUnreadable) {
    planning.report([section, entry.at], 'is new: it needs token or token_sha256');
  }
  return digest;
}

/** The same with what a list may show of it, which a digest alone doesn't tell. */
export function secretFor(
  planning: Planning,
  section: TokenSection,
  entry: TokenEntry,
  stored: StoredSecret | null,
): StoredSecret | undefined {
  const token_digest = digestFor(planning, section, entry, stored);
  if (token_digest === undefined) return undefined;
  if (entry.token !== undefined) return toStoredSecret(entry.token);
  if (stored?.token_digest === token_digest) {
    return { token_digest, token_prefix: stored.token_prefix, token_routing: stored.token_routing };
  }
  return { token_digest, token_prefix: null, token_routing: null };
}

/** Digests that no document brings back to life: of secrets that were revoked, whatever token they were in. */
export function revokedDigests({ draft }: Planning): ReadonlySet<string> {
  const tokens = [...draft.access_tokens.stored.values(), ...draft.deploy_tokens.stored.values()];
  return new Set([
    ...draft.revoked_secrets.rows.keys(),
    ...tokens.filter(({ revoked }) => revoked).map(({ token_digest }) => token_digest),
  ]);
}

/** Remembers every revocation apart from its token, which may be removed, renamed or given another secret. */
export function rememberRevocations({ draft, now }: Planning): void {
  const tokens = [draft.access_tokens, draft.deploy_tokens].flatMap(({ stored, rows }) => [
    ...stored.values(),
    ...rows.values(),
  ]);
  for (const { revoked, token_digest } of tokens) {
    if (!revoked || draft.revoked_secrets.rows.has(token_digest)) continue;
    draft.revoked_secrets.rows.set(token_digest, { token_digest, revoked_at: now.toISOString() });
  }
}

/** A secret belongs to one token, of whatever kind. Two entries that both give it are found without what is stored. */
export function checkSecretsUnique(planning: Planning): void {
  const owners = new Map<string, { readonly section: TokenSection; readonly id: number }>();
  for (const section of ['access_tokens', 'deploy_tokens', 'job_tokens'] as const) {
    const given = placesWithSecret(planning.document[section] ?? []);
    for (const { id, token_digest } of planning.draft[section].rows.values()) {
      const other = owners.get(token_digest);
      owners.set(token_digest, { section, id });
      if (other === undefined) continue;
      reportShared(planning, { section, id, isGiven: isGiven(planning, section, id, given) }, other);
    }
  }
}

function placesWithSecret(entries: readonly TokenEntry[]): ReadonlySet<number> {
  return new Set(entries.filter((entry) => secretDigest(entry) !== undefined).map(({ at }) => at));
}

function isGiven(planning: Planning, section: TokenSection, id: number, given: ReadonlySet<number>): boolean {
  const at = planning.outcome[section].placeOf.get(id);
  return at !== undefined && given.has(at);
}

function reportShared(
  planning: Planning,
  one: { readonly section: TokenSection; readonly id: number; readonly isGiven: boolean },
  other: { readonly section: TokenSection; readonly id: number },
): void {
  const otherGiven = isGiven(
    planning,
    other.section,
    other.id,
    placesWithSecret(planning.document[other.section] ?? []),
  );
  if (one.isGiven && otherGiven) return;
  const [culprit, owner] = one.isGiven ? [one, other] : [other, one];
  const at = planning.outcome[culprit.section].placeOf.get(culprit.id);
  const path: Path = at === undefined ? [culprit.section] : [culprit.section, at];
  planning.report(path, `has the same secret as the ${NOUN[owner.section]} with id ${owner.id}`);
}
