import { randomUUID } from 'node:crypto';
import type { RegistryTrust } from '../config/load.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { ANONYMOUS } from '../policy/subject.ts';
import { buildClaims } from '../token/claims.ts';
import { type HeaderSettings, signToken } from '../token/sign.ts';

/**
 * Canary tokens: tokens that grant nothing, which cellpass sends to registries to find out whether
 * they trust a key before it signs for clients.
 */

/** What a registry answered to a canary token. */
export type ProbeOutcome = 'accepted' | 'refused' | 'unreachable';

export interface ProbeAnswer {
  readonly registry: string;
  readonly outcome: ProbeOutcome;
  /** The reason, for the admin. */
  readonly because: string;
}

/**
 * Sends each configured registry a canary token that `key` signed. No registries: an empty list.
 */
export type ProbeRegistries = (key: SigningKey) => Promise<readonly ProbeAnswer[]>;

/** A registry that cellpass sends canary tokens to. */
export interface Registry {
  readonly name: string;
  /** The base URL, without a trailing slash. */
  readonly url: string;
  /**
   * The service that the registry names in its challenges, with the header settings of its tokens.
   */
  readonly service: HeaderSettings & { readonly name: string };
  /** What the operator says that it trusts; null or missing: what its tokens show. */
  readonly trusts?: RegistryTrust | null;
  /** It is the registry router, which knows keys but no CAs. */
  readonly isRouter?: boolean;
}

export interface CanaryOptions {
  /** The registries at the time of a probe. */
  readonly registries: () => readonly Registry[];
  readonly issuer: string;
  readonly cell: number;
  readonly now: () => Date;
  /** How long a registry may take; default 5 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5000;
const LIFE_SECONDS = 60;

/**
 * Creates a function that sends `GET /v2/` to all registries at once, first without and then with a
 * canary token; a registry answers 200 or a challenge. A registry that answers 200 without a token
 * accepts everybody, so its answer doesn't count as acceptance.
 */
export function createProbe(options: CanaryOptions): ProbeRegistries {
  return (key) => Promise.all(options.registries().map((registry) => probe(registry, key, options)));
}

async function probe(registry: Registry, key: SigningKey, options: CanaryOptions): Promise<ProbeAnswer> {
  const answer = (outcome: ProbeOutcome, because: string): ProbeAnswer => ({
    registry: registry.name,
    outcome,
    because,
  });
  try {
    const bare = await requestStatus(registry, undefined, options);
    if (bare !== 401)
      return answer('unreachable', `GET ${registry.url}/v2/ without a token answered ${bare}, not 401`);
    const status = await requestStatus(registry, signCanary(registry, key, options), options);
    if (status === 200) return answer('accepted', 'accepted');
    if (status === 401 || status === 403) return answer('refused', `not yet: ${missingTrust(registry, key)}`);
    return answer('unreachable', `GET ${registry.url}/v2/ with a token answered ${status}`);
  } catch (error) {
    return answer('unreachable', `${registry.url} does not answer (${reasonOf(error)})`);
  }
}

async function requestStatus(
  { url }: Registry,
  token: string | undefined,
  { timeoutMs = TIMEOUT_MS }: CanaryOptions,
): Promise<number> {
  const response = await fetch(`${url}/v2/`, {
    headers: {
      // A kept-alive connection may lead to an old process of a registry that was reloaded.
      Connection: 'close',
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    // Never send the token to another host.
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  });
  await response.body?.cancel();
  return response.status;
}

function signCanary(registry: Registry, key: SigningKey, { issuer, cell, now }: CanaryOptions): string {
  const claims = buildClaims({
    issuer,
    service: registry.service.name,
    cell,
    subject: ANONYMOUS,
    access: [],
    now: now(),
    ttlSeconds: LIFE_SECONDS,
    validUntil: null,
    tokenId: randomUUID(),
  });
  return signToken(claims, key, registry.service);
}

function missingTrust({ service, trusts, isRouter = false }: Registry, key: SigningKey): string {
  if (isRouter) {
    return `it has no rule for the key ${key.kid}, or the registry behind it refuses the key`;
  }
  if (trusts === 'key') {
    return `it trusts one key, and reads it at its start: give it the output of "cellpass keys export-cert ${key.kid}", restart it, and run "cellpass keys rotate --force" at once`;
  }
  const issuer = key.certificate?.authorityId;
  const shown = trusts === 'ca' || (trusts !== 'jwks' && service.x5c && key.x5c.length > 0);
  const byCertificate = issuer == null ? 'the imported certificate' : `the CA ${issuer}`;
  const byKid = `the key ${service.kid === 'libtrust' ? key.kid : key.thumbprint}`;
  return `its trust doesn't contain ${shown ? byCertificate : byKid}, or its issuer, service or clock differs`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
