import { failed, ok, type Verdict } from './finding.ts';

/** The parameters of a Bearer challenge; undefined where it names none. */
interface Challenge {
  readonly realm: string | undefined;
  readonly service: string | undefined;
}

/** `name="quoted \"text\""` or `name=token` (RFC 9110 §11.2). */
const PARAMETER = /([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi;

/**
 * Finds the Bearer challenge in a `WWW-Authenticate` header (RFC 9110 §11.6.1), which may hold
 * several challenges.
 */
export function parseChallenge(header: string): Challenge | undefined {
  const [, parameters] = /(?:^|,)\s*Bearer\s+(.*)$/i.exec(header) ?? [];
  if (parameters === undefined) return undefined;
  const values = new Map<string, string>();
  for (const [, name = '', quoted, token = ''] of parameters.matchAll(PARAMETER)) {
    const key = name.toLowerCase();
    // A second parameter of the same name belongs to the next challenge.
    if (!values.has(key)) values.set(key, quoted?.replace(/\\(.)/g, '$1') ?? token);
  }
  return { realm: values.get('realm'), service: values.get('service') };
}

/** The answer of a registry to a request without a token. */
export interface RegistryAnswer {
  readonly status: number;
  /** The header `WWW-Authenticate`. */
  readonly challenge: string | null;
}

/** What the challenge must name, and what to do when it names something else. */
export interface Expected {
  /** Null when the realm is unknown; then it is not compared. */
  readonly realm: string | null;
  /** The challenge must name one of them. */
  readonly services: readonly string[];
  /** What to do when the URL is not that of a registry. */
  readonly ifOther: string;
  /** What to do when the service is not among `services`. */
  readonly ifOtherService: string;
}

/**
 * Judges the settings of a registry, or of the router, by the answer to `GET /v2/` without a token.
 */
export function judgeChallenge(
  url: string,
  { status, challenge }: RegistryAnswer,
  expected: Expected,
): Verdict {
  if (status === 200) {
    return failed(
      `${url}/v2/ asks for no token, so every client may do everything: give it an "auth: token" section`,
    );
  }
  if (status !== 401) return failed(`${url}/v2/ answers ${status}, not 401: ${expected.ifOther}`);
  const found = parseChallenge(challenge ?? '');
  if (found === undefined) {
    return failed(
      `its challenge is ${challenge ?? 'missing'}, not "Bearer realm=…": give it an "auth: token" section`,
    );
  }
  if (expected.realm !== null && !isSameUrl(found.realm, expected.realm)) {
    return failed(
      `it sends clients to realm ${found.realm ?? '(none)'}, but cellpass is at ${expected.realm}: change its "auth.token.realm", or CELLPASS_PUBLIC_URL`,
    );
  }
  if (found.service === undefined || !expected.services.includes(found.service)) {
    return failed(
      `it asks for service ${found.service ?? '(none)'}, but is configured here as ${expected.services.join(' or ')}: ${expected.ifOtherService}`,
    );
  }
  return ok(`sends clients to ${found.realm ?? '(none)'} for ${found.service}`);
}

/** Whether two URLs are the same after normalization, for example without a default port. */
function isSameUrl(a: string | undefined, b: string): boolean {
  return a !== undefined && URL.canParse(a) && new URL(a).href === new URL(b).href;
}
