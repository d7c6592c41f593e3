import { randomUUID } from 'node:crypto';
import type { SigningKey } from '../keys/signing-key.ts';
import { ANONYMOUS } from '../policy/subject.ts';
import { buildClaims } from '../token/claims.ts';
import { type HeaderSettings, signToken } from '../token/sign.ts';
import type { ProbeAnswer, ProbeOutcome, ProbeRegistries } from './probe.ts';

/** A registry that is asked what it thinks of a key. */
export interface Registry {
  readonly name: string;
  /** Its base URL, without a trailing slash. */
  readonly url: string;
  /** The service that it calls itself, with how tokens for it look. */
  readonly service: HeaderSettings & { readonly name: string };
  /** It stands before registries, and knows keys rather than CAs. */
  readonly isRouter?: boolean;
}

export interface CanaryOptions {
  /** As they are by the time of a probe. */
  readonly registries: () => readonly Registry[];
  readonly issuer: string;
  readonly cell: number;
  readonly now: () => Date;
  /** How long a registry may take; 5 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5000;
const LIFE_SECONDS = 60;

/**
 * Asks every registry, all at once, whether it takes a token that grants nothing and that `key` signed: `GET /v2/`, which a registry
 * answers with 200 or a challenge. One that lets in everybody tells nothing, and is no acceptance.
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
    const bare = await ask(registry, undefined, options);
    if (bare !== 401)
      return answer('unreachable', `GET ${registry.url}/v2/ without a token is ${bare}, not 401`);
    const status = await ask(registry, mintCanary(registry, key, options), options);
    if (status === 200) return answer('accepted', 'accepted');
    if (status === 401 || status === 403) return answer('refused', `not yet: ${whatItLacks(registry, key)}`);
    return answer('unreachable', `GET ${registry.url}/v2/ with a token is ${status}`);
  } catch (error) {
    return answer('unreachable', `${registry.url} does not answer (${reasonOf(error)})`);
  }
}

async function ask(
  { url }: Registry,
  token: string | undefined,
  { timeoutMs = TIMEOUT_MS }: CanaryOptions,
): Promise<number> {
  const response = await fetch(`${url}/v2/`, {
    headers: {
      // On a connection that was kept, an answer may come from a process that a reload has replaced.
      Connection: 'close',
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    // A registry that sends tokens elsewhere must not be given one.
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  });
  await response.body?.cancel();
  return response.status;
}

function mintCanary(registry: Registry, key: SigningKey, { issuer, cell, now }: CanaryOptions): string {
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

function whatItLacks({ service, isRouter = false }: Registry, key: SigningKey): string {
  if (isRouter) {
    return `it has no rule for the key ${key.kid} (or the registry behind it refuses it)`;
  }
  const issuer = key.certificate?.authorityId;
  const shown = service.x5c && key.x5c.length > 0;
  const byCertificate = issuer == null ? 'the imported certificate' : `the CA ${issuer}`;
  const byKid = `the key ${service.kid === 'libtrust' ? key.kid : key.thumbprint}`;
  return `its trust doesn't contain ${shown ? byCertificate : byKid} (or its issuer, service or clock is another)`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
