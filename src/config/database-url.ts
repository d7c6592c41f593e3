import { z } from 'zod';

/** PostgreSQL URLs, as libpq reads them: one or more hosts, tried in their order. */

export interface DatabaseHost {
  /**
   * A name, an IP address without brackets, or the folder of a Unix socket; empty: the driver's
   * default.
   */
  readonly name: string;
  readonly port: number;
}

export interface DatabaseUrl {
  /** At least one. */
  readonly hosts: readonly DatabaseHost[];
  /** The same URL with the first host only, because the driver takes one host. */
  readonly firstHostUrl: string;
  /** The hosts and the database, without user and password: `db1:5432,db2:5432/cellpass`. */
  readonly label: string;
  /** Whether `target_session_attrs` asks for a server that takes changes. */
  readonly asksForPrimary: boolean;
}

const DEFAULT_PORT = 5432;
const FORM = /^(postgres(?:ql)?:\/\/)([^/?#]*)([^?#]*)(?:\?([^#]*))?$/;
const HINT = 'must be a PostgreSQL URL such as postgresql://user@host/database';
/** cellpass writes, so each of these means: the first host that takes changes. */
const ACCEPTED_TARGETS: ReadonlySet<string> = new Set(['any', 'primary', 'read-write']);
/** Parameters of libpq that would lead to another server, and that the driver would ignore. */
const REFUSED_PARAMETERS = ['hostaddr', 'load_balance_hosts', 'service'] as const;

/** @returns the parts of the URL, or what is wrong with it, without any part of its password. */
export function readDatabaseUrl(text: string): DatabaseUrl | { readonly problem: string } {
  const match = FORM.exec(text);
  if (match === null) return { problem: HINT };
  const [, scheme = '', authority = '', path = '', query = ''] = match;
  const parameters = new URLSearchParams(query);
  const problem = problemOf(parameters);
  if (problem !== null) return { problem };
  const at = authority.lastIndexOf('@') + 1;
  const hosts = readHosts(authority.slice(at), parameters);
  if (typeof hosts === 'string') return { problem: hosts };
  const [first = { name: '', port: DEFAULT_PORT }] = hosts;
  const firstHostUrl =
    hosts.length === 1 ? text : urlOf(`${scheme}${authority.slice(0, at)}`, first, { path, parameters });
  // An empty host between "@" and "/" is valid for the driver, but not for URL.
  if (!URL.canParse(firstHostUrl.replace('@/', '@host/'))) return { problem: HINT };
  const target = parameters.get('target_session_attrs') ?? 'any';
  return {
    hosts,
    firstHostUrl,
    label: `${hosts.map(hostLabel).join(',')}${path}`,
    asksForPrimary: target !== 'any',
  };
}

/** For a schema: the text, if it is a PostgreSQL URL. */
export function toDatabaseUrl(text: string, context: z.core.$RefinementCtx): string {
  const read = readDatabaseUrl(text);
  if (!('problem' in read)) return text;
  context.issues.push({ code: 'custom', input: text, message: read.problem });
  return z.NEVER;
}

/** `db1:5432`, `[::1]:5432`, or the folder of a Unix socket. */
export function hostLabel({ name, port }: DatabaseHost): string {
  if (name === '') return '';
  if (name.startsWith('/')) return name;
  return `${name.includes(':') ? `[${name}]` : name}:${port}`;
}

function problemOf(parameters: URLSearchParams): string | null {
  const target = parameters.get('target_session_attrs');
  if (target !== null && !ACCEPTED_TARGETS.has(target)) {
    return `target_session_attrs=${target} is not possible: cellpass writes to the database, so use read-write or leave it out`;
  }
  const refused = REFUSED_PARAMETERS.find((name) => parameters.has(name));
  return refused === undefined ? null : `the parameter ${refused} is not supported: leave it out`;
}

/** The hosts of the parameter `host`, else those before the path; a text says what is wrong. */
function readHosts(authority: string, parameters: URLSearchParams): readonly DatabaseHost[] | string {
  const given = parameters.get('host');
  const hosts = given === null ? authority.split(',').map(readHost) : readHostList(given, parameters);
  const wrong = hosts.some((host) => host === null);
  const known = hosts.filter((host) => host !== null);
  if (wrong || known.length === 0) return `${HINT}, or several hosts such as host1:5432,host2:5432`;
  if (known.length > 1 && known.some(({ name }) => name === '')) return 'one of the hosts has no name';
  return known;
}

/** `name`, `name:port`, `[IPv6 address]:port`; the folder of a Unix socket is percent-encoded. */
function readHost(text: string): DatabaseHost | null {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:[\]]*))(?::(\d*))?$/.exec(text);
  if (match === null) return null;
  return toHost(match[1] ?? decodeHost(match[2] ?? ''), match[3]);
}

/** One port is for all hosts, else each host has its own, as in libpq. */
function readHostList(hosts: string, parameters: URLSearchParams): readonly (DatabaseHost | null)[] {
  const ports = (parameters.get('port') ?? '').split(',');
  return hosts.split(',').map((name, at) => toHost(name, ports.length === 1 ? ports[0] : ports[at]));
}

function toHost(name: string | null, port = ''): DatabaseHost | null {
  const number = port === '' ? DEFAULT_PORT : Number(port);
  const isPort = Number.isInteger(number) && number > 0 && number <= 65_535;
  return name !== null && isPort ? { name, port: number } : null;
}

function decodeHost(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function urlOf(
  start: string,
  { name, port }: DatabaseHost,
  { path, parameters }: { readonly path: string; readonly parameters: URLSearchParams },
): string {
  const rest = new URLSearchParams(parameters);
  for (const parameter of ['host', 'port', 'target_session_attrs']) rest.delete(parameter);
  const isFolder = name.startsWith('/');
  if (isFolder) rest.set('host', name);
  if (isFolder) rest.set('port', String(port));
  const host = isFolder ? 'localhost' : hostLabel({ name, port });
  const query = rest.toString();
  return `${start}${host}${path}${query === '' ? '' : `?${query}`}`;
}
