/** What a Bearer challenge names. */
export interface Challenge {
  readonly realm: string | undefined;
  readonly service: string | undefined;
}

/** `name="quoted \"text\""` or `name=token` (RFC 9110 §11.2). */
const PARAMETER = /([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi;

/** The Bearer challenge of a `WWW-Authenticate` header (RFC 9110 §11.6.1), which may stand among others; undefined without one. */
export function parseChallenge(header: string): Challenge | undefined {
  const [, parameters] = /(?:^|,)\s*Bearer\s+(.*)$/i.exec(header) ?? [];
  if (parameters === undefined) return undefined;
  const values = new Map<string, string>();
  for (const [, name = '', quoted, token = ''] of parameters.matchAll(PARAMETER)) {
    const key = name.toLowerCase();
    // A second one of the same name belongs to the next challenge.
    if (!values.has(key)) values.set(key, quoted?.replace(/\\(.)/g, '$1') ?? token);
  }
  return { realm: values.get('realm'), service: values.get('service') };
}
