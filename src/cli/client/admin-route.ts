import { userInfo } from 'node:os';
import { Option } from 'commander';
import { isAdminTokenSecret } from '../../authn/admin-token.ts';
import { httpUrl } from '../../config/http-url.ts';
import { loadConfig } from '../../config/load.ts';
import { isLoopback } from '../../config/loopback.ts';
import { secretOf } from '../../config/secret-files.ts';
import { CellpassError } from '../../errors.ts';
import { adminSocketPath } from '../../server/socket-path.ts';
import type { Terminal } from '../../terminal.ts';

/** The flags of every command that is a client of the admin API. */
export interface AdminFlags {
  readonly adminUrl?: string;
}

/** The flags of every command that prints an answer of the admin API. */
export interface JsonFlags extends AdminFlags {
  readonly json?: boolean;
}

/** The option for the admin API over TCP. */
export function adminUrlOption(): Option {
  return new Option(
    '--admin-url <url>',
    'use the admin API over TCP, with CELLPASS_ADMIN_TOKEN (default: CELLPASS_ADMIN_URL, or the socket in CELLPASS_DATA_DIR)',
  );
}

/** How to reach the admin API, and the credentials for it. */
export interface AdminRoute {
  readonly baseUrl: string;
  /** The name of the route in error messages. */
  readonly name: string;
  readonly connect: { readonly socketPath?: string };
  readonly headers: readonly [name: string, value: string][];
  /** What to do when no server answers. */
  readonly ifUnreachable: string;
}

/**
 * The socket in the data directory, or the URL of `--admin-url`; with that, no other setting is
 * read.
 * @throws {CellpassError} `invalid` for a URL to which the token must not be sent, and without a
 * token for it.
 */
export function routeToAdmin({ environment, stderr }: Terminal, flags: AdminFlags): AdminRoute {
  const adminUrl = flags.adminUrl ?? (environment['CELLPASS_ADMIN_URL'] || undefined);
  if (adminUrl === undefined) return overSocket(environment);
  const source = flags.adminUrl === undefined ? 'CELLPASS_ADMIN_URL' : '--admin-url';
  const route = overTcp(adminUrl, source, environment);
  if (new URL(route.baseUrl).protocol === 'http:') {
    stderr(
      `warning: ${route.baseUrl} is not encrypted: while the server is down, another user of this machine can listen there and get the admin token; use https, or the admin socket\n`,
    );
  }
  return route;
}

type Environment = Terminal['environment'];

function overSocket(environment: Environment): AdminRoute {
  const socketPath = adminSocketPath(loadConfig(environment));
  return {
    baseUrl: 'http://cellpass',
    name: socketPath,
    connect: { socketPath },
    headers: [['Cellpass-Actor', actorName(environment)]],
    ifUnreachable: 'start it with "cellpass serve", or set CELLPASS_DATA_DIR to its data directory',
  };
}

/** Where the URL comes from, for error messages. */
type UrlSource = '--admin-url' | 'CELLPASS_ADMIN_URL';

function overTcp(adminUrl: string, source: UrlSource, environment: Environment): AdminRoute {
  const baseUrl = readAdminUrl(adminUrl, source);
  return {
    baseUrl,
    name: baseUrl,
    connect: {},
    headers: [['Authorization', `Bearer ${readAdminToken(source, environment)}`]],
    ifUnreachable:
      'check that this is its CELLPASS_ADMIN_LISTEN, and that this machine trusts its certificate; for a CA of your own, set NODE_EXTRA_CA_CERTS to its certificate',
  };
}

function readAdminUrl(text: string, source: UrlSource): string {
  const { data, error } = httpUrl.safeParse(text);
  if (data === undefined) throw invalid(`${source}: ${error?.issues[0]?.message}`);
  const { protocol, hostname } = new URL(data);
  if (protocol === 'http:' && !isLoopback(hostname)) {
    throw invalid(`${source}: ${data} would send the admin token unencrypted: use https`);
  }
  return data;
}

/**
 * The token is no argument, because other users of the machine can see arguments; and no error
 * shows it.
 */
function readAdminToken(source: UrlSource, environment: Environment): string {
  const token = secretOf(environment, 'CELLPASS_ADMIN_TOKEN');
  if (token === undefined) {
    throw invalid(
      `${source} needs CELLPASS_ADMIN_TOKEN or CELLPASS_ADMIN_TOKEN_FILE: create a token with "cellpass admin-token create"`,
    );
  }
  if (!isAdminTokenSecret(token)) {
    throw invalid(
      'CELLPASS_ADMIN_TOKEN is not an admin token: admin tokens begin with cpat- and have 48 characters',
    );
  }
  return token;
}

function invalid(message: string): CellpassError {
  return new CellpassError('invalid', message);
}

/** The name of the user, for the history of changes: the person behind sudo, and the account. */
export function actorName(environment: Environment): string {
  const account = accountName();
  const person = environment['SUDO_USER'];
  return person === undefined ? account : `${person} as ${account}`;
}

/** The name of the account, or its number when the system knows no name for it. */
function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
