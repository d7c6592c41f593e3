import type { Path } from '../../config/yaml.ts';
import { type StoredSecret, secretDigest, toStoredSecret } from '../document/secret.ts';
import { TOKEN_SECTIONS, type TokenSection } from '../document/sections.ts';
import type { PlanContext } from './context.ts';

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
  context: PlanContext,
  section: TokenSection,
  entry: TokenEntry,
  stored: { readonly token_digest: string } | null,
): string | undefined {
  const digest = secretDigest(entry) ?? stored?.token_digest;
  const isUnreadable = context.unreadable.entries.has(`${section}:${entry.at}`);
  if (digest === undefined && !context.assume && !isUnreadable) {
    context.report([section, entry.at], 'is new: it needs token or token_sha256');
  }
  return digest;
}

/** The same with what a list may show of it, which a digest alone doesn't tell. */
export function secretFor(
  context: PlanContext,
  section: TokenSection,
  entry: TokenEntry,
  stored: StoredSecret | null,
): StoredSecret | undefined {
  const token_digest = digestFor(context, section, entry, stored);
  if (token_digest === undefined) return undefined;
  if (entry.token !== undefined) return toStoredSecret(entry.token);
  if (stored?.token_digest === token_digest) {
    return { token_digest, token_prefix: stored.token_prefix, token_routing: stored.token_routing };
  }
  return { token_digest, token_prefix: null, token_routing: null };
}

/** Digests that no document brings back to life: of secrets that were revoked, whatever token they were in. */
export function revokedDigests({ tables }: PlanContext): ReadonlySet<string> {
  const tokens = [...tables.access_tokens.stored.values(), ...tables.deploy_tokens.stored.values()];
  return new Set([
    ...tables.revoked_secrets.rows.keys(),
    ...tokens.filter(({ revoked }) => revoked).map(({ token_digest }) => token_digest),
  ]);
}

/** Remembers every revocation apart from its token, which may be removed, renamed or given another secret. */
export function rememberRevocations({ tables, now }: PlanContext): void {
  const tokens = [tables.access_tokens, tables.deploy_tokens].flatMap(({ stored, rows }) => [
    ...stored.values(),
    ...rows.values(),
  ]);
  for (const { revoked, token_digest } of tokens) {
    if (!revoked || tables.revoked_secrets.rows.has(token_digest)) continue;
    tables.revoked_secrets.rows.set(token_digest, { token_digest, revoked_at: now.toISOString() });
  }
}

/** A secret belongs to one token, of whatever kind. Two entries that both give it are found without what is stored. */
export function checkSecretsUnique(context: PlanContext): void {
  const owners = new Map<string, { readonly section: TokenSection; readonly id: number }>();
  for (const section of TOKEN_SECTIONS) {
    const given = placesWithSecret(context.document[section] ?? []);
    for (const { id, token_digest } of context.tables[section].rows.values()) {
      const other = owners.get(token_digest);
      owners.set(token_digest, { section, id });
      if (other === undefined) continue;
      reportShared(context, { section, id, isGiven: isGiven(context, section, id, given) }, other);
    }
  }
}

function placesWithSecret(entries: readonly TokenEntry[]): ReadonlySet<number> {
  return new Set(entries.filter((entry) => secretDigest(entry) !== undefined).map(({ at }) => at));
}

function isGiven(
  context: PlanContext,
  section: TokenSection,
  id: number,
  given: ReadonlySet<number>,
): boolean {
  const at = context.results[section].indexById.get(id);
  return at !== undefined && given.has(at);
}

function reportShared(
  context: PlanContext,
  one: { readonly section: TokenSection; readonly id: number; readonly isGiven: boolean },
  other: { readonly section: TokenSection; readonly id: number },
): void {
  const otherGiven = isGiven(
    context,
    other.section,
    other.id,
    placesWithSecret(context.document[other.section] ?? []),
  );
  if (one.isGiven && otherGiven) return;
  const [culprit, owner] = one.isGiven ? [one, other] : [other, one];
  const at = context.results[culprit.section].indexById.get(culprit.id);
  const path: Path = at === undefined ? [culprit.section] : [culprit.section, at];
  context.report(path, `has the same secret as the ${NOUN[owner.section]} with id ${owner.id}`);
}
