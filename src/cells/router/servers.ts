import { quote } from './language.ts';
import { nameOf, type RouterCell, type RouterSettings } from './router.ts';

/** The backends of the registry router: where requests go. */

/** Of one registry or issuer; over that, requests wait in its queue. */
const CONNECTIONS = 1000;

/** Whether the router can send requests to an issuer or registry at `url`: HAProxy has one path for all servers of a backend, and compares certificates with names only. */
export function isReachable(url: string): boolean {
  return problemOf(url) === undefined;
}

/** Why it can't; undefined: it can. */
export function problemOf(text: string): string | undefined {
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

/**
 * Any issuer answers, and passes on what belongs to another cell. A request goes to the one that is likely to answer it, by its first
 * scope, else to the legacy cell's: that saves a hop, and an issuer that is silent keeps nobody waiting but those of its own cell.
 */
export function issuers({ cells, caFile, followDns }: RouterSettings, namespacesName: string): string[] {
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

export function registry(cell: RouterCell, { caFile, followDns }: RouterSettings): string[] {
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
