import { createHash } from 'node:crypto';
import { CellpassError } from '../errors.ts';

/**
 * The registry router: a HAProxy (2.6 or later) that verifies tokens and sends every request to the registry of its cell.
 * This file only writes its configuration; docs/registry-router.md explains it.
 */

/** A public key of a cell, as its JWK Set lists it. */
export interface RouterKey {
  /** RFC 7638, base64url; it names the key's file. */
  readonly thumbprint: string;
  /** SubjectPublicKeyInfo, PEM. */
  readonly pem: string;
}

export interface RouterCell {
  readonly id: number;
  readonly legacy: boolean;
  /** Its issuer, less `/jwt/auth`. */
  readonly url: string;
  readonly registryUrl: string;
  /** Top-level groups and users in lower case. */
  readonly namespaces: readonly string[];
  /** Empty: none of its tokens is accepted. */
  readonly keys: readonly RouterKey[];
}

export interface RouterSettings {
  /** One of them is legacy. */
  readonly cells: readonly RouterCell[];
  /** `address:port`, as HAProxy's `bind` takes it. */
  readonly binds: readonly string[];
  /** PEM with certificate and private key; null: plain http. */
  readonly certificateFile: string | null;
  /** What the certificates of registries and issuers must be signed by; `@system-ca`: the system's. */
  readonly caFile: string;
  /** Where clients get tokens: it stands in the challenges. */
  readonly realm: string;
  readonly service: string;
  /** Whether to follow the addresses of hosts by DNS, rather than to look them up at each start. */
  readonly followDns: boolean;
}

/** The configuration, and the files that it names, by their names relative to it. */
export interface RouterFiles {
  readonly config: string;
  readonly files: ReadonlyMap<string, string>;
}

/** A token for 64 scopes is 25 KB; HAProxy's own 16 KB would refuse it. */
const BUFFER_BYTES = 65_536;
const RETRY_AFTER_SECONDS = 5;
/** Of one registry or issuer; over that, requests wait in its queue. */
const CONNECTIONS = 1000;
const NAME_BYTES = 255;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a line end would begin a line of its own
const CONTROL = /[\x00-\x1f\x7f]/;
const NAMESPACE = /^[a-z0-9._-]+$/;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/**
 * Values that come from files are written as literals, whatever they hold, and never as a part of HAProxy's language.
 * @throws {CellpassError} `invalid`, with every value that can't be used.
 */
export function writeRouter(settings: RouterSettings): RouterFiles {
  const problems = settings.cells.flatMap((cell) => problemsOf(cell));
  if (!settings.cells.some(({ url }) => isReachable(url))) {
    problems.push({ path: 'cells', message: 'no issuer has a url that the router can use' });
  }
  if (problems.length > 0) {
    const list = problems.map(({ path, message }) => `${path} ${message}`).join('; ');
    throw new CellpassError('invalid', `the router can't be written: ${list}`, { problems });
  }
  const namespaces = namespaceFile(settings.cells);
  const unavailable = unavailableFile();
  const keys = settings.cells.flatMap((cell) =>
    cell.keys.map((key) => [keyFile(cell, key), key.pem] as const),
  );
  const config = [
    ...globalSection(settings, unavailable.name),
    ...frontend(settings, namespaces.name),
    ...issuers(settings, namespaces.name),
    ...settings.cells.flatMap((cell) => registry(cell, settings)),
  ];
  return {
    config: `${config.join('\n')}\n`,
    files: new Map([
      ...keys,
      ...[namespaces, unavailable].map(({ name, content }) => [name, content] as const),
    ]),
  };
}

/** Whether the router can send requests to an issuer or registry at `url`: HAProxy has one path for all servers of a backend, and compares certificates with names only. */
export function isReachable(url: string): boolean {
  return problemOf(url) === undefined;
}

function problemsOf({ id, registryUrl, namespaces, keys }: RouterCell): { path: string; message: string }[] {
  const message = problemOf(registryUrl);
  return [
    ...(message === undefined ? [] : [{ path: `the registry_url of cell ${id}`, message }]),
    ...namespaces
      .filter((name) => !NAMESPACE.test(name))
      .map((name) => ({ path: `a namespace of cell ${id}`, message: `is none: ${JSON.stringify(name)}` })),
    ...keys
      .filter(({ thumbprint }) => !THUMBPRINT.test(thumbprint))
      .map(({ thumbprint }) => ({
        path: `a key of cell ${id}`,
        message: `has no thumbprint: ${JSON.stringify(thumbprint)}`,
      })),
  ];
}

function problemOf(text: string): string | undefined {
  const url = new URL(text);
  if (url.pathname !== '/') return 'has a path, and the router can not add one';
  if (!/^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/.test(url.hostname))
    return 'has a host that is no name or address';
  if (url.protocol === 'https:' && isAddress(url.hostname)) {
    return 'is https to an address, and HAProxy compares certificates with names only';
  }
  return undefined;
}

function isAddress(hostname: string): boolean {
  return /^\[|^[0-9.]+$/.test(hostname);
}

function globalSection({ followDns }: RouterSettings, unavailableName: string): string[] {
  return [
    '# Written by "cellpass cells haproxy", which writes it again; what you add belongs in a file of your own (haproxy -f this -f yours).',
    'global',
    '  # The files beside this one are named relative to it.',
    '  default-path config',
    '  log stdout format raw daemon',
    '  maxconn 4096',
    `  tune.bufsize ${BUFFER_BYTES}`,
    '  ssl-default-bind-options ssl-min-ver TLSv1.2',
    '  ssl-default-server-options ssl-min-ver TLSv1.2',
    '  # What a reload left behind: uploads may end, and then nothing waits any longer.',
    '  hard-stop-after 1h',
    '',
    ...(followDns ? ['resolvers dns', '  parse-resolv-conf', '  hold nx 10s', ''] : []),
    'defaults',
    '  mode http',
    '  log global',
    "  log-format '%ci %HM %HPO %ST %B %b %Tr/%Ta %ts'",
    '  option dontlognull',
    '  # A reload ends a connection with an answer that says so, and not while the next request is on its way.',
    '  option idle-close-on-response',
    '  # Whoever sends a request slowly is cut off; what follows its head may take its time.',
    '  timeout http-request 10s',
    '  timeout http-keep-alive 60s',
    '  timeout client 5m',
    '  # A cell that is away costs 3 s: three times connecting, or waiting for room.',
    '  timeout connect 900ms',
    '  timeout queue 3s',
    '  timeout check 1s',
    '  retries 2',
    '  # A registry may take minutes over the end of a large upload.',
    '  timeout server 10m',
    '  default-server inter 1s fastinter 500ms downinter 1s fall 2 rise 1',
    ...[500, 502, 503, 504].map((status) => `  errorfile ${status} ${quote(unavailableName)}`),
    '',
  ];
}

function frontend(settings: RouterSettings, namespacesName: string): string[] {
  const { cells, certificateFile, binds } = settings;
  const legacy = cells.find((cell) => cell.legacy);
  const tls = certificateFile === null ? '' : ` ssl crt ${quote(certificateFile)} alpn http/1.1`;
  // One protocol to think about: left to itself, HAProxy takes HTTP/2 without TLS, too.
  return [
    'frontend router',
    ...binds.map((bind) => `  bind ${quote(bind)} proto h1${tls}`),
    '',
    '  # Whom a request comes from, and how, is the word of this router alone.',
    ...['Forwarded', 'X-Real-IP', 'X-Forwarded-Port', 'X-Forwarded-Host'].map(
      (name) => `  http-request del-header ${name}`,
    ),
    '  http-request set-header X-Forwarded-For %[src]',
    `  http-request set-header X-Forwarded-Proto ${new URL(settings.realm).protocol === 'https:' ? 'https' : 'http'}`,
    '  http-request set-header X-Forwarded-Host %[req.hdr(host)] if { req.hdr(host) -m found }',
    '',
    '  acl for_issuer path /jwt/auth',
    '  acl for_issuer path_beg /.well-known/',
    '  acl for_registry path /v2',
    '  acl for_registry path_beg /v2/ /gitlab/v1/',
    '  http-request set-var(txn.path) path,url_dec',
    '  # A path that two programs may read in two ways.',
    `  acl ambiguous_path url -m sub ${quote('#')}`,
    `  acl ambiguous_path var(txn.path) -m sub ${quote('\\')}`,
    `  acl ambiguous_path var(txn.path) -m reg ${quote('//|/[.][.]?(/|$)|[[:cntrl:]]')}`,
    `  http-request return ${answer(400, 'NAME_INVALID', 'this path is ambiguous')} if ambiguous_path or !{ var(txn.path) -m found }`,
    `  http-request return ${answer(404, 'UNSUPPORTED', 'there is nothing at this path')} if !for_issuer !for_registry`,
    '  http-request allow if for_issuer',
    '',
    ...verification(settings),
    '',
    '  # Without a token: by the top-level namespace. Other credentials are for issuers, and no registry is shown them.',
    '  http-request del-header Authorization if !bearer',
    `  http-request set-var(txn.cell) ${quote(`var(txn.path),lower,field(3,/),map_str("${namespacesName}")`)} if !bearer { path_beg /v2/ }`,
    ...(legacy === undefined
      ? []
      : [`  http-request set-var(txn.cell) str(${nameOf(legacy)}) if !{ var(txn.cell) -m found }`]),
    '',
    '  use_backend issuers if for_issuer',
    '  use_backend registry-%[var(txn.cell)]',
    '',
  ];
}

/** Bearer tokens: their form, then a signature by a key of the cell that they name, then nothing else. */
function verification(settings: RouterSettings): string[] {
  const { cells } = settings;
  return [
    '  # One token in one header, so that the registry reads the one that is verified here.',
    '  acl authorized_twice req.fhdr_cnt(authorization) gt 1',
    '  acl bearer req.fhdr(authorization) -m beg -i bearer',
    `  acl well_formed req.fhdr(authorization) -m reg ${quote('^[Bb][Ee][Aa][Rr][Ee][Rr] [A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$')}`,
    '  http-request set-var(txn.token) req.fhdr(authorization),bytes(7) if bearer well_formed !authorized_twice',
    `  http-request set-var(txn.claimed) ${quote("var(txn.token),jwt_payload_query('$.cell')")} if ${acl("var(txn.token),jwt_header_query('$.alg') -m str RS256")}`,
    '  # One rule for each published key. The algorithm is not taken from the token; a token of one cell opens no other.',
    ...cells.flatMap((cell) => cell.keys.map((key) => verifyRule(cell, key))),
    ...refusal(settings),
  ];
}

function verifyRule(cell: RouterCell, key: RouterKey): string {
  const name = nameOf(cell);
  const verifies = quote(`var(txn.token),jwt_verify("RS256","${keyFile(cell, key)}")`);
  return `  http-request set-var(txn.cell) str(${name}) if !{ var(txn.cell) -m found } { var(txn.claimed) -m str ${name} } { ${verifies} -m int 1 }`;
}

/** The registry's own challenge, where it can be told from the path what the registry would ask for (distribution's token specification). */
function refusal({ realm, service }: RouterSettings): string[] {
  const challenge = `Bearer realm="${quotedString(realm, 'the realm')}",service="${quotedString(service, 'the service')}"`;
  const body = errorBody('UNAUTHORIZED', 'this token is not valid here; ask for a new one');
  return [
    `  acl names_repository path -m reg ${quote('^/v2/[a-z0-9][a-z0-9._/-]*/(manifests|blobs|tags|referrers)/')}`,
    `  http-request set-var(txn.repository) ${quote('path,regsub("^/v2/",""),regsub("/(manifests|blobs|tags|referrers)/.*$","")')} if names_repository`,
    '  http-request set-var(txn.actions) str(pull)',
    '  http-request set-var(txn.actions) \'str("pull,push")\' if { method POST PUT PATCH }',
    '  http-request set-var(txn.actions) str(delete) if { method DELETE }',
    `  http-request set-var-fmt(txn.scope) ${quote(',scope="repository:%[var(txn.repository)]:%[var(txn.actions)]"')} if { var(txn.repository) -m len le ${NAME_BYTES} }`,
    `  http-request return status 401 content-type application/json hdr WWW-Authenticate ${quote(`${literalFormat(challenge)}%[var(txn.scope)],error="invalid_token"`)} string ${quote(body)} if bearer !{ var(txn.cell) -m found } or authorized_twice`,
  ];
}

/**
 * Any issuer answers, and passes on what belongs to another cell. A request goes to the one that is likely to answer it, by its first
 * scope, else to the legacy cell's: that saves a hop, and an issuer that is silent keeps nobody waiting but those of its own cell.
 */
function issuers({ cells, caFile, followDns }: RouterSettings, namespacesName: string): string[] {
  const hosts = issuersByHost(cells);
  const namespace = 'urlp(scope),url_dec,field(2,:),lower,field(1,/)';
  return [
    '# Any issuer answers, and passes on what belongs to another cell; the one of the first scope needs not.',
    'backend issuers',
    '  balance roundrobin',
    '  option redispatch 1',
    '  retry-on conn-failure empty-response',
    '  option httpchk',
    '  http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host issuer',
    '  http-check expect status 200',
    `  http-request set-var(txn.near) ${quote(`${namespace},map_str("${namespacesName}")`)}`,
    ...cells
      .filter(({ legacy }) => legacy)
      .map((cell) => `  http-request set-var(txn.near) str(${nameOf(cell)}) if !{ var(txn.near) -m found }`),
    ...hosts.flatMap(
      ([host, { id }]) => `  use-server ${host} if { var(txn.near) -m str ${nameOf({ id })} }`,
    ),
    '  # The name of a server is the host that it is known by.',
    '  http-send-name-header Host',
    '  timeout server 3500ms',
    ...hosts.map(([host, { url }]) => `  server ${host} ${serverOf(url, { caFile, followDns })}`),
    '',
  ];
}

/** The names of servers hold no brackets, and each is given once. */
function issuersByHost(cells: readonly RouterCell[]): readonly (readonly [host: string, cell: RouterCell])[] {
  const reachable = cells.filter(({ url }) => isReachable(url));
  return [...new Map(reachable.map((cell) => [new URL(cell.url).host.replace(/[[\]]/g, ''), cell] as const))];
}

function registry(cell: RouterCell, { caFile, followDns }: RouterSettings): string[] {
  const host = new URL(cell.registryUrl).host;
  return [
    `backend registry-${nameOf(cell)}`,
    '  option httpchk',
    `  http-check send meth GET uri /v2/ ver HTTP/1.1 hdr Host ${quote(host)}`,
    '  http-check expect status 200,401',
    `  http-request set-header Host ${quote(host)}`,
    `  server registry ${serverOf(cell.registryUrl, { caFile, followDns })} on-marked-down shutdown-sessions`,
    '',
  ];
}

/** An address that can't be found when HAProxy starts keeps nobody else from being served. */
function serverOf(text: string, { caFile, followDns }: Pick<RouterSettings, 'caFile' | 'followDns'>): string {
  const url = new URL(text);
  const isTls = url.protocol === 'https:';
  const port = url.port || (isTls ? '443' : '80');
  const name = url.hostname;
  return [
    `${quote(`${name}:${port}`)} check maxconn ${CONNECTIONS} init-addr libc,none`,
    ...(followDns && !isAddress(name) ? ['resolvers dns'] : []),
    ...(isTls
      ? [
          `ssl verify required ca-file ${quote(caFile)} verifyhost ${name} sni str(${name}) check-sni ${name} alpn http/1.1 check-alpn http/1.1`,
        ]
      : []),
  ].join(' ');
}

/** As the `cell` claim names it. */
function nameOf({ id }: Pick<RouterCell, 'id'>): string {
  return `cell-${id}`;
}

function keyFile(cell: Pick<RouterCell, 'id'>, { thumbprint }: RouterKey): string {
  return `keys/${nameOf(cell)}-${thumbprint}.pem`;
}

/** Named by its content, so that a configuration never meets a file of another. */
interface NamedFile {
  readonly name: string;
  readonly content: string;
}

function namespaceFile(cells: readonly RouterCell[]): NamedFile {
  const lines = cells.flatMap((cell) => cell.namespaces.map((name) => `${name} ${nameOf(cell)}\n`));
  return nameByContent('namespaces', 'map', lines.join(''));
}

/**
 * What HAProxy answers in place of a server, in the form that clients of registries understand. A cell that is away or slow is to them no
 * failure of a gateway, but something to be tried again.
 */
function unavailableFile(): NamedFile {
  const body = errorBody('UNAVAILABLE', 'the cell that answers this is away or slow; try again');
  const head = [
    'HTTP/1.1 503 Service Unavailable',
    'Content-Type: application/json',
    'Cache-Control: no-store',
    `Retry-After: ${RETRY_AFTER_SECONDS}`,
    `Content-Length: ${body.length}`,
  ];
  return nameByContent('unavailable', 'http', `${head.join('\r\n')}\r\n\r\n${body}`);
}

const DIGEST_CHARACTERS = 16;

function nameByContent(name: string, extension: string, content: string): NamedFile {
  const digest = createHash('sha256').update(content).digest('hex').slice(0, DIGEST_CHARACTERS);
  return { name: `${name}-${digest}.${extension}`, content };
}

function answer(status: number, code: string, message: string): string {
  return `status ${status} content-type application/json string ${quote(errorBody(code, message))}`;
}

function errorBody(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message, detail: 'the registry router' }] });
}

function acl(expression: string): string {
  const [fetch = '', ...rest] = expression.split(' -m ');
  return `{ ${quote(fetch)} -m ${rest.join(' -m ')} }`;
}

/** One word of HAProxy's language: between single quotes nothing is special but their end. */
function quote(text: string): string {
  if (CONTROL.test(text)) {
    throw new CellpassError(
      'invalid',
      `${JSON.stringify(text)} holds a control character, which HAProxy's configuration can't`,
    );
  }
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** `%` begins a variable in a log format. */
function literalFormat(text: string): string {
  return text.replaceAll('%', '%%');
}

/** RFC 9110 §5.6.4. */
function quotedString(text: string, what: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) {
    throw new CellpassError('invalid', `${what} may hold printable ASCII characters only`);
  }
  return text.replace(/["\\]/g, '\\$&');
}
