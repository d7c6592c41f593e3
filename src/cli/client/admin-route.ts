import { userInfo } from 'node:os';
import { Option } from 'commander';
import { isAdminTokenSecret } from '../../authn/admin-token.ts';
import { loadConfig } from '../../config/load.ts';
import { isLoopback } from '../../config/loopback.ts';
import { httpUrl } from '../../config/settings.ts';
import { CellpassError } from '../../errors.ts';
import { adminSocketPath } from '../../server/socket-path.ts';
import type { Terminal } from '../../terminal.ts';

/** What every command takes that is a client of the admin API. */
export interface AdminFlags {
  readonly adminUrl?: string;
}

/** Of a command that prints data. */
export interface JsonFlags extends AdminFlags {
  readonly json?: boolean;
}

export function adminUrlOption(): Option {
  return new Option(
    '--admin-url <url>',
    'the admin API over TCP, with CELLPASS_ADMIN_TOKEN (default: the socket in CELLPASS_DATA_DIR)',
  );
}

/** How to get to the admin API, and as whom. */
export interface AdminRoute {
  readonly baseUrl: string;
  /** What errors call it. */
  readonly name: string;
  readonly connect: { readonly socketPath?: string };
  readonly headers: readonly [name: string, value: string][];
  /** What to do when nobody answers there. */
  readonly ifUnreachable: string;
}

/**
 * The socket in the data directory, or where `--admin-url` says; then no other setting is read.
 * @throws {CellpassError} `invalid` for a URL over which the token must not be sent, and without a token for it.
 */
export function routeToAdmin({ environment }: Terminal, { adminUrl }: AdminFlags): AdminRoute {
  return adminUrl === undefined ? overSocket(environment) : overTcp(adminUrl, environment);
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

function overTcp(adminUrl: string, environment: Environment): AdminRoute {
  const baseUrl = readAdminUrl(adminUrl);
  return {
    baseUrl,
    name: baseUrl,
    connect: {},
    headers: [['Authorization', `Bearer ${readAdminToken(environment)}`]],
    ifUnreachable:
      'is that its CELLPASS_ADMIN_LISTEN, and its certificate one that this machine trusts? NODE_EXTRA_CA_CERTS names a CA of your own',
  };
}

function readAdminUrl(text: string): string {
  const { data, error } = httpUrl.safeParse(text);
  if (data === undefined) throw invalid(`--admin-url: ${error?.issues[0]?.message}`);
  const { protocol, hostname } = new URL(data);
  if (protocol === 'http:' && !isLoopback(hostname)) {
    throw invalid(`--admin-url: ${data} would send the admin token in the clear: use https`);
  }
  return data;
}

/** Never an argument, which everybody on the machine could see; and nothing of it in an error. */
function readAdminToken(environment: Environment): string {
  const token = environment['CELLPASS_ADMIN_TOKEN']?.trim() ?? '';
  if (token === '') {
    throw invalid('--admin-url needs CELLPASS_ADMIN_TOKEN: "cellpass admin-token create" makes one');
  }
  if (!isAdminTokenSecret(token)) {
    throw invalid('CELLPASS_ADMIN_TOKEN is not an admin token: they begin with cpat- and have 48 characters');
  }
  return token;
}

function invalid(message: string): CellpassError {
  return new CellpassError('invalid', message);
}

/** Who types, for the audit record: the person behind sudo, and the account. */
function actorName(environment: Environment): string {
  const account = accountName();
  const person = environment['SUDO_USER'];
  return person === undefined ? account : `${person} as ${account}`;
}

/** An account without an entry in the system's list has no name. */
function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
