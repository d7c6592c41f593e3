/**
 * Values of settings as people may see them. Any text may hold a secret, such as a password in a URL
 * that should have none, so that every text is masked, not only that of settings which are known to
 * hold a secret.
 */

const MASK = '***';

/** Text that is a secret as a whole: a key or certificate in PEM, a token of cellpass or of GitLab. */
const SECRETS = /-----BEGIN |(?:^|[^A-Za-z0-9])(?:cpat|gl[a-z]{2,8}|GR1348941)-?[A-Za-z0-9_.-]{16,}/;
const URL_FORM = /^([a-z][a-z0-9+.-]*:\/\/)([\s\S]*)$/i;
/** Of a PostgreSQL URL (libpq), and none that can hold a secret. */
const PLAIN_PARAMETERS: ReadonlySet<string> = new Set([
  'application_name',
  'connect_timeout',
  'dbname',
  'host',
  'keepalives',
  'port',
  'ssl',
  'sslcert',
  'sslkey',
  'sslmode',
  'sslnegotiation',
  'sslrootcert',
  'target_session_attrs',
  'user',
]);

/** A value with each secret in it replaced by `***`, at any depth; keys of mappings, too. */
export function masked(value: unknown): unknown {
  if (typeof value === 'string') return maskText(value);
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [maskText(key), masked(inner)]));
}

/** A text that holds nothing but a secret; null where it is not set. */
export function maskedWhole(value: string | undefined): string | null {
  return value === undefined ? null : MASK;
}

function maskText(text: string): string {
  if (SECRETS.test(text)) return MASK;
  const [, scheme, rest] = URL_FORM.exec(text) ?? [];
  return scheme === undefined || rest === undefined ? text : `${scheme}${maskUrl(scheme, rest)}`;
}

/**
 * The user of a database without the password, hosts, path and harmless parameters. Everything
 * before the last "@" counts as the user, because a password may hold "/", "?" and "#" by mistake.
 */
function maskUrl(scheme: string, rest: string): string {
  const at = rest.lastIndexOf('@') + 1;
  const [user = '', ...password] = rest.slice(0, Math.max(0, at - 1)).split(':');
  // The user of an https URL may be a token, too.
  const name = /^postgres/i.test(scheme) ? user : MASK;
  const credentials = at === 0 ? '' : `${name}${password.length === 0 ? '' : `:${MASK}`}@`;
  const [, place = '', query, fragment] = /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(rest.slice(at)) ?? [];
  const parameters = query === undefined ? '' : `?${query.split('&').map(maskParameter).join('&')}`;
  return `${credentials}${place}${parameters}${fragment === undefined ? '' : `#${MASK}`}`;
}

function maskParameter(parameter: string): string {
  const [name = '', value] = parameter.split('=');
  if (PLAIN_PARAMETERS.has(name.toLowerCase())) return parameter;
  return value === undefined ? MASK : `${name}=${MASK}`;
}
