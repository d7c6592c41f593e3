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

/**
 * The digest of an entry's secret; without one in the document the stored digest. Reports a new
 * token without a secret.
 */
export function digestFor(
  context: PlanContext,
  section: TokenSection,
  entry: TokenEntry,
  stored: { readonly token_digest: string } | null,
): string | undefined {
  const digest = secretDigest(entry) ?? stored?.token_digest;
  const isUnreadable = context.unreadable.entries.has(`${section}:${entry.at}`);
  if (digest === undefined && !context.assume && !isUnreadable) {
    context.report([section, entry.at], 'is a new token, so it needs token or token_sha256');
  }
  return digest;
}

/**
 * As `digestFor`, with the parts of the secret that lists show. A digest alone has no such parts.
 */
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

/** Digests of all secrets that were ever revoked. No document can make them valid again. */
export function revokedDigests({ tables }: PlanContext): ReadonlySet<string> {
  const tokens = [...tables.access_tokens.stored.values(), ...tables.deploy_tokens.stored.values()];
  return new Set([
    ...tables.revoked_secrets.rows.keys(),
    ...tokens.filter(({ revoked }) => revoked).map(({ token_digest }) => token_digest),
  ]);
}

/**
 * Stores revoked digests apart from their tokens, which may be removed, renamed or get another
 * secret.
 */
export function storeRevocations({ tables, now }: PlanContext): void {
  const tokens = [tables.access_tokens, tables.deploy_tokens].flatMap(({ stored, rows }) => [
    ...stored.values(),
    ...rows.values(),
  ]);
  for (const { revoked, token_digest } of tokens) {
    if (!revoked || tables.revoked_secrets.rows.has(token_digest)) continue;
    tables.revoked_secrets.rows.set(token_digest, { token_digest, revoked_at: now.toISOString() });
  }
}

/**
 * Reports a secret that two tokens have. `checkEntries` reports it already if both entries give the
 * secret.
 */
export function checkSecretsUnique(context: PlanContext): void {
  const owners = new Map<string, SecretOwner>();
  for (const section of TOKEN_SECTIONS) {
    const isGiven = givenSecrets(context, section);
    for (const { id, token_digest } of context.tables[section].rows.values()) {
      const owner = { section, id, isGiven: isGiven(id) };
      const other = owners.get(token_digest);
      owners.set(token_digest, owner);
      if (other !== undefined) reportShared(context, owner, other);
    }
  }
}

interface SecretOwner {
  readonly section: TokenSection;
  readonly id: number;
  /** Whether the document has the secret. */
  readonly isGiven: boolean;
}

function givenSecrets({ document, results }: PlanContext, section: TokenSection): (id: number) => boolean {
  const entries: readonly TokenEntry[] = document[section] ?? [];
  const places = new Set(entries.filter((entry) => secretDigest(entry) !== undefined).map(({ at }) => at));
  const { indexById } = results[section];
  return (id) => {
    const at = indexById.get(id);
    return at !== undefined && places.has(at);
  };
}

function reportShared(context: PlanContext, one: SecretOwner, other: SecretOwner): void {
  if (one.isGiven && other.isGiven) return;
  const [duplicate, owner] = one.isGiven ? [one, other] : [other, one];
  const at = context.results[duplicate.section].indexById.get(duplicate.id);
  const path: Path = at === undefined ? [duplicate.section] : [duplicate.section, at];
  context.report(path, `has the same secret as the ${NOUN[owner.section]} with id ${owner.id}`);
}
