import { TOKEN_FORM } from '../../authn/credential-kinds.ts';
import { withoutDot } from '../topology.ts';
import { quote } from './language.ts';
import { nameOf, type RouterCell, type RouterSettings } from './router.ts';

/** The backends of the registry router: where requests go. */

/** Longer than the most that `limits.password_seconds` allows, and than forwarding adds to it. */
const PASSWORD_TIMEOUT = '12s';
/** The most connections to one registry or issuer; further requests wait in its queue. */
const CONNECTIONS = 1000;

/**
 * Whether the router can send requests to `url`: HAProxy can't add a path per server, and compares
 * certificates with host names only.
 */
export function isReachable(url: string): boolean {
  return problemOf(url) === undefined;
}

/** Why the router can't use the URL; undefined: it can. */
export function problemOf(text: string): string | undefined {
  const url = new URL(text);
  if (url.pathname !== '/') return 'has a path, which the router can not add';
  if (!/^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/.test(url.hostname))
    return 'has a host that is neither a name nor an address';
  if (url.protocol === 'https:' && isAddress(url.hostname)) {
    return 'is https with an IP address, but HAProxy compares certificates with names only: use a host name';
  }
  return undefined;
}

/** Host and port, without the dot at the end of a name. */
function hostWithoutDot({ hostname, port }: URL): string {
  const name = withoutDot(hostname);
  return port === '' ? name : `${name}:${port}`;
}

function isAddress(hostname: string): boolean {
  return /^\[|^[0-9.]+$/.test(hostname);
}

/**
 * The backend of all issuers. Any issuer answers and forwards requests of other cells. The router
 * prefers the issuer of the first scope's cell, else the legacy cell's: that saves a hop, and a
 * hanging issuer delays only the clients of its own cell.
 */
export function issuers({ cells, caFile, followDns }: RouterSettings, namespacesName: string): string[] {
  const hosts = issuersByHost(cells);
  const namespace = 'urlp(scope),url_dec,field(2,:),lower,field(1,/)';
  return [
    '# Any issuer answers and forwards requests of other cells; the issuer of the first scope saves that hop.',
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
    '  # A password may wait for its turn to be hashed. A secret with the form of a token is no password;',
    '  # a POST may be a login whose secret is in its body.',
    `  http-request set-timeout server ${PASSWORD_TIMEOUT} if { method POST } or { http_auth_pass -m found } !{ http_auth_pass -m reg ${TOKEN_FORM.source} }`,
    ...hosts.flatMap(
      ([host, { id }]) => `  use-server ${host} if { var(txn.near) -m str ${nameOf({ id })} }`,
    ),
    '  # The name of each server is its Host header.',
    '  http-send-name-header Host',
    '  timeout server 3500ms',
    ...hosts.map(([host, { url }]) => `  server ${host} ${serverOf(url, { caFile, followDns })}`),
    '',
  ];
}

/** Server names can't contain brackets, and each must be unique. */
function issuersByHost(cells: readonly RouterCell[]): readonly (readonly [host: string, cell: RouterCell])[] {
  const reachable = cells.filter(({ url }) => isReachable(url));
  return [
    ...new Map(
      reachable.map((cell) => [hostWithoutDot(new URL(cell.url)).replace(/[[\]]/g, ''), cell] as const),
    ),
  ];
}

/** The backend of one cell's registry. */
export function registry(cell: RouterCell, { caFile, followDns }: RouterSettings): string[] {
  const host = hostWithoutDot(new URL(cell.registryUrl));
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

/** `init-addr none` lets HAProxy start, and serve other cells, if a host can't be resolved. */
function serverOf(text: string, { caFile, followDns }: Pick<RouterSettings, 'caFile' | 'followDns'>): string {
  const url = new URL(text);
  const isTls = url.protocol === 'https:';
  const port = url.port || (isTls ? '443' : '80');
  const name = url.hostname;
  const inCertificate = withoutDot(name);
  return [
    `${quote(`${name}:${port}`)} check maxconn ${CONNECTIONS} init-addr libc,none`,
    ...(followDns && !isAddress(name) ? ['resolvers dns'] : []),
    ...(isTls
      ? [
          `ssl verify required ca-file ${quote(caFile)} verifyhost ${inCertificate} sni str(${inCertificate}) check-sni ${inCertificate} alpn http/1.1 check-alpn http/1.1`,
        ]
      : []),
  ].join(' ');
}
