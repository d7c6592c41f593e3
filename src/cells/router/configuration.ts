import { createHash } from 'node:crypto';
import { CellpassError, type Problem } from '../../errors.ts';
import { frontend } from './frontend.ts';
import { errorBody, quote } from './language.ts';
import { keyFile, nameOf, type RouterCell, type RouterSettings } from './router.ts';
import { isReachable, issuers, problemOf, registry } from './servers.ts';
import { sourceTable } from './sources.ts';

/**
 * The registry router is a HAProxy (2.6 or later) that verifies tokens and sends each request to
 * the registry of its cell. This folder writes its configuration; docs/registry-router.md explains
 * it.
 */

/** The configuration and the files that it refers to, by path relative to the configuration. */
export interface RouterFiles {
  readonly config: string;
  readonly files: ReadonlyMap<string, string>;
}

/** A token for 64 scopes has 25 KB; HAProxy's default buffer of 16 KB would refuse it. */
const BUFFER_BYTES = 65_536;
const RETRY_AFTER_SECONDS = 5;
const NAMESPACE = /^[a-z0-9._-]+$/;
/** A token escapes other characters, and HAProxy reads only escapes of ASCII. */
const ASCII = /^[\x20-\x7e]+$/;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/**
 * Writes the configuration. Values are quoted as literals, so that they can't inject directives.
 * @throws {CellpassError} `invalid`, with every value that can't be used.
 */
export function writeRouter(settings: RouterSettings): RouterFiles {
  const problems = settings.cells.flatMap((cell) => problemsOf(cell));
  if (!settings.cells.some(({ url }) => isReachable(url))) {
    problems.push({ path: 'cells', message: 'have no url that the router can use' });
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
    ...sourceTable(),
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

function problemsOf({ id, registryUrl, issuer, namespaces, keys }: RouterCell): Problem[] {
  const message = problemOf(registryUrl);
  return [
    ...(message === undefined ? [] : [{ path: `the registry_url of cell ${id}`, message }]),
    ...(issuer === null || ASCII.test(issuer)
      ? []
      : [
          {
            path: `the issuer of cell ${id}`,
            message: `must be printable ASCII, because HAProxy reads nothing else in a token: ${JSON.stringify(issuer)}`,
          },
        ]),
    ...namespaces
      .filter((name) => !NAMESPACE.test(name))
      .map((name) => ({
        path: `a namespace of cell ${id}`,
        message: `is not a top-level group or user: ${JSON.stringify(name)}`,
      })),
    ...keys
      .filter(({ thumbprint }) => !THUMBPRINT.test(thumbprint))
      .map(({ thumbprint }) => ({
        path: `a key of cell ${id}`,
        message: `has an invalid thumbprint: ${JSON.stringify(thumbprint)}`,
      })),
  ];
}

function globalSection({ followDns }: RouterSettings, unavailableName: string): string[] {
  return [
    '# Written by "cellpass cells haproxy", which overwrites it. Put your additions in another file (haproxy -f this -f yours).',
    'global',
    '  # Paths are relative to this file.',
    '  default-path config',
    '  log stdout format raw daemon',
    '  maxconn 4096',
    `  tune.bufsize ${BUFFER_BYTES}`,
    '  ssl-default-bind-options ssl-min-ver TLSv1.2',
    '  ssl-default-server-options ssl-min-ver TLSv1.2',
    '  # After a reload, the old process may finish uploads for an hour.',
    '  hard-stop-after 1h',
    '',
    ...(followDns ? ['resolvers dns', '  parse-resolv-conf', '  hold nx 10s', ''] : []),
    'defaults',
    '  mode http',
    '  log global',
    "  log-format '%ci %HM %HPO %ST %B %b %Tr/%Ta %ts'",
    '  option dontlognull',
    '  # At a reload, close a connection only after an answer, so that no request is lost.',
    '  option idle-close-on-response',
    '  # Cut off clients that send the head of a request slowly; the body may take longer.',
    '  timeout http-request 10s',
    '  timeout http-keep-alive 60s',
    '  timeout client 5m',
    '  # A cell that is down costs 3 s: three attempts to connect, or the wait in the queue.',
    '  timeout connect 900ms',
    '  timeout queue 3s',
    '  timeout check 1s',
    '  retries 2',
    '  # A registry may take minutes to finish a large upload.',
    '  timeout server 10m',
    '  default-server inter 1s fastinter 500ms downinter 1s fall 2 rise 1',
    ...[500, 502, 503, 504].map((status) => `  errorfile ${status} ${quote(unavailableName)}`),
    '',
  ];
}

/**
 * Its name contains a digest of its content, so that a configuration never uses an outdated file.
 */
interface NamedFile {
  readonly name: string;
  readonly content: string;
}

function namespaceFile(cells: readonly RouterCell[]): NamedFile {
  const lines = cells.flatMap((cell) => cell.namespaces.map((name) => `${name} ${nameOf(cell)}\n`));
  return nameByContent('namespaces', 'map', lines.join(''));
}

/**
 * The answer of HAProxy if a cell is down or slow, in the form that registry clients understand:
 * they retry after 503, but not after 502 or 504.
 */
function unavailableFile(): NamedFile {
  const body = errorBody('UNAVAILABLE', 'the cell that answers this is down or slow; try again');
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
