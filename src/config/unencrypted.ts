import { readDatabaseUrl } from './database-url.ts';
import type { Config } from './load.ts';
import { isLoopback } from './loopback.ts';

/** Connections that leave this machine in clear text, where others can read and change them. */

/** Whether requests to a URL leave this machine without TLS. */
export function isUnencrypted(text: string): boolean {
  const { protocol, hostname } = new URL(text);
  return protocol === 'http:' && !isLoopback(hostname);
}

type Connections = Pick<Config, 'databaseUrl' | 'databaseListenUrl' | 'registries'> &
  Partial<Pick<Config, 'gitlab' | 'rails'>>;

/** A sentence about each setting that lets secrets leave this machine in clear text. */
export function warnOfUnencrypted({
  databaseUrl,
  databaseListenUrl,
  registries,
  gitlab = null,
  rails = null,
}: Connections): readonly string[] {
  return [
    ...warnOfDatabase('CELLPASS_DATABASE_URL', databaseUrl),
    ...warnOfDatabase('CELLPASS_DATABASE_LISTEN_URL', databaseListenUrl),
    ...warnOfDatabase('CELLPASS_GITLAB_DATABASE_URL', gitlab?.databaseUrl ?? null),
    ...warnOfDatabase('CELLPASS_GITLAB_CI_DATABASE_URL', gitlab?.ciDatabaseUrl ?? null),
    ...warnOfDatabase('CELLPASS_GITLAB_WRITE_DATABASE_URL', gitlab?.writeDatabaseUrl ?? null),
    ...(rails !== null && isUnencrypted(rails.url)
      ? [
          `CELLPASS_GITLAB_RAILS_URL: Rails is asked at ${rails.url} without TLS, so others on the network can read the credentials that go there: give it an https URL`,
        ]
      : []),
    ...registries
      .filter(({ url, insecure }) => !insecure && isUnencrypted(url))
      .map(
        ({ name, url }) =>
          `registries: ${name} is asked at ${url} without TLS, so others on the network can read its tokens and forge its answers: give it an https URL, or say insecure: true there`,
      ),
  ];
}

function warnOfDatabase(setting: string, url: string | null): readonly string[] {
  const host = url === null ? null : unencryptedHost(url);
  if (host === null) return [];
  return [
    `${setting}: the connection to ${host} has no TLS, so others on the network can read the password and change answers: add sslmode=verify-full to the URL`,
  ];
}

/** The first host beyond this machine that is reached without TLS; null: there is none. */
function unencryptedHost(url: string): string | null {
  const read = readDatabaseUrl(url);
  if ('problem' in read || hasTls(url)) return null;
  return read.hosts.find(({ name }) => !isThisMachine(name))?.name ?? null;
}

/** The folder of a Unix socket, the driver's default, or a loopback address. */
function isThisMachine(host: string): boolean {
  return host === '' || host.startsWith('/') || isLoopback(host);
}

/** As the driver decides (pg-connection-string); the last value of a parameter counts. */
function hasTls(url: string): boolean {
  const [, query = ''] = /\?([^#]*)/.exec(url) ?? [];
  const given: Readonly<Record<string, string>> = Object.fromEntries(new URLSearchParams(query));
  if (given['sslmode'] === 'disable') return false;
  if (['sslmode', 'sslrootcert', 'sslcert', 'sslkey'].some((name) => given[name])) return true;
  if (given['ssl'] !== undefined) return ['true', '1', 'no-verify'].includes(given['ssl']);
  return given['sslnegotiation'] === 'direct';
}
