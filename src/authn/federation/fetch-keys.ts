import { Agent, request } from 'undici';
import type { IssuerSettings, KeyLocation } from '../../config/federation.ts';
import { readCertificates } from '../../config/pem-files.ts';
import { shortened } from '../../shortened.ts';
import type { FetchKeys } from './key-set.ts';

const TIMEOUT_MS = 3000;
const LONGEST_ANSWER_BYTES = 65_536;

/** A key set, and where and when it was found. */
export interface FetchedKeySet {
  readonly url: string;
  readonly document: unknown;
  /** The header `Date` of the answer; null: it has none. */
  readonly date: Date | null;
}

/** The key set alone. */
export const fetchKeys: FetchKeys = async (entry) => (await fetchKeySet(entry)).document;

/**
 * Fetches the key set of an issuer: https alone, without redirects, 64 KB and 3 s at most for each
 * document. OpenID Connect Discovery 1.0 section 4.
 * @throws {Error} that says which document was wrong and why.
 */
export async function fetchKeySet({
  issuer,
  keys,
}: Pick<IssuerSettings, 'issuer' | 'keys'>): Promise<FetchedKeySet> {
  // A new one for each fetch, which comes every ten minutes: a changed CA file counts at once.
  const agent = new Agent({
    maxResponseSize: LONGEST_ANSWER_BYTES,
    connect: {
      timeout: TIMEOUT_MS,
      ...(keys.caFile !== null && { ca: readCertificates(keys.caFile) }),
    },
  });
  try {
    const url = await locate(agent, issuer, keys);
    return { url, ...(await fetchJson(agent, url)) };
  } finally {
    await agent.destroy();
  }
}

async function locate(
  agent: Agent,
  issuer: string,
  { jwksUri, fallbackUri }: Pick<KeyLocation, 'jwksUri' | 'fallbackUri'>,
): Promise<string> {
  if (jwksUri !== null) return jwksUri;
  try {
    return await discover(agent, issuer);
  } catch (error) {
    if (fallbackUri === null || !(error instanceof UnusableDiscovery)) throw error;
    return fallbackUri;
  }
}

/** The issuer offers no discovery document that helps, but does not contradict the settings. */
class UnusableDiscovery extends Error {}

async function discover(agent: Agent, issuer: string): Promise<string> {
  const url = discoveryUrl(issuer);
  const { document } = await fetchJson(agent, url);
  const said = propertyOf(document, 'issuer');
  if (said !== issuer) throw new Error(`${url} is of another issuer than ${issuer}`);
  const uri = propertyOf(document, 'jwks_uri');
  if (typeof uri !== 'string' || !URL.canParse(uri)) throw new UnusableDiscovery(`${url} has no jwks_uri`);
  if (new URL(uri).origin !== new URL(issuer).origin)
    throw new UnusableDiscovery(
      shortened(
        `${url} names keys on another origin than the issuer's, ${new URL(uri).origin}: if that is right, set jwks_uri`,
      ),
    );
  return uri;
}

function discoveryUrl(issuer: IssuerSettings['issuer']): string {
  return `${issuer.replace(/\/+$/, '')}/.well-known/openid-configuration`;
}

async function fetchJson(agent: Agent, url: string): Promise<Pick<FetchedKeySet, 'document' | 'date'>> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { statusCode, headers, body } = await request(url, {
    dispatcher: agent,
    signal,
    headers: { Accept: 'application/json', 'User-Agent': 'cellpass' },
  });
  const text = await body.text();
  if (statusCode !== 200) throw new UnusableDiscovery(`${url} answered ${statusCode}`);
  const { date } = headers;
  try {
    return { document: JSON.parse(text), date: toDate(date) };
  } catch {
    throw new Error(`${url} answered no JSON`);
  }
}

/** Null: it is missing, or no date. */
function toDate(header: string | string[] | undefined): Date | null {
  const date = new Date(typeof header === 'string' ? header : '');
  return Number.isNaN(date.getTime()) ? null : date;
}

function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
