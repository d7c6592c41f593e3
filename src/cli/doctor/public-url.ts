import type { Config } from '../../config/load.ts';
import { isLoopback } from '../../config/loopback.ts';
import { describeFailure } from './connection.ts';
import { codeOf, failed, ok, reasonOf, type Verdict, warning } from './finding.ts';

type Address = Pick<Config, 'publicUrl' | 'listen' | 'tls'>;

const TIMEOUT_MS = 5000;
const REALM_PATH = '/jwt/auth';

/** The URL at which clients find cellpass; null when the system chooses a port at each start. */
export function publicUrlOf({ publicUrl, listen: { host, port }, tls }: Address): string | null {
  if (publicUrl !== null) return publicUrl;
  if (port === 0) return null;
  return `${tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The realm that registries name; null when the URL is unknown. */
export function realmOf(address: Address): string | null {
  const url = publicUrlOf(address);
  return url === null ? null : `${url}${REALM_PATH}`;
}

/** Judges the realm by the settings alone. */
export function judgePublicUrl(address: Address): Verdict {
  const { publicUrl, listen } = address;
  const url = publicUrlOf(address);
  if (publicUrl === null && !isLoopback(listen.host)) {
    return warning(
      `CELLPASS_PUBLIC_URL is not set, so registries would name ${url ?? listen.host}: set it to the https URL that clients use`,
    );
  }
  if (url === null) return ok('the system chooses a port at each start');
  if (new URL(url).protocol === 'http:' && !isLoopback(new URL(url).hostname)) {
    return warning(
      `passwords and tokens travel to ${url} unencrypted: make CELLPASS_PUBLIC_URL an https URL`,
    );
  }
  return ok(`the realm is ${url}${REALM_PATH}`);
}

/** Whether cellpass answers at `url`. */
export async function lookForCellpass(url: string): Promise<Verdict> {
  try {
    const response = await fetch(`${url}/healthz`, {
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return judgeHealth(url, response.status, await response.text());
  } catch (error) {
    if (codeOf(error) === 'ECONNREFUSED') {
      return warning(
        `no server answers there: start it with "cellpass serve", or correct CELLPASS_PUBLIC_URL (${url})`,
      );
    }
    const cause =
      describeFailure(error) ?? `${reasonOf(error)}; correct CELLPASS_PUBLIC_URL, DNS or the proxy`;
    return failed(`${url} can't be reached from here: ${cause}`);
  }
}

/**
 * Judges whether the cellpass at `url` is this cell's: it publishes the active key.
 * @throws {Error} when no answer comes.
 */
export async function comparePublishedKeys(url: string, activeKid: string): Promise<Verdict> {
  const response = await fetch(`${url}/.well-known/jwks.json`, {
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const isOurs = response.status === 200 && kidsIn(await response.json()).includes(activeKid);
  if (isOurs) return ok(`publishes the active key`);
  return failed(
    `${url}/.well-known/jwks.json doesn't list the active key ${activeKid}: another cellpass answers there, or a proxy caches an old answer; correct CELLPASS_PUBLIC_URL or CELLPASS_DATABASE_URL`,
  );
}

function kidsIn(jwks: unknown): readonly unknown[] {
  if (typeof jwks !== 'object' || jwks === null || !('keys' in jwks) || !Array.isArray(jwks.keys)) return [];
  return jwks.keys.map((key: unknown) =>
    typeof key === 'object' && key !== null && 'kid' in key ? key.kid : null,
  );
}

/** The answer of a proxy or of another server must not pass for an answer of cellpass. */
export function judgeHealth(url: string, status: number, body: string): Verdict {
  if (status === 200 && isHealth(body)) return ok(`cellpass answers at ${url}`);
  return failed(
    `${url}/healthz answers ${status}, which is not an answer of cellpass: let the proxy forward this path, or correct CELLPASS_PUBLIC_URL`,
  );
}

/** Whether a body is the answer of a healthy cellpass. */
export function isHealth(body: string): boolean {
  try {
    const health: unknown = JSON.parse(body);
    return typeof health === 'object' && health !== null && 'status' in health && health.status === 'ok';
  } catch {
    return false;
  }
}
