import { createHash } from 'node:crypto';
import { CellpassError, type Problem } from '../../errors.ts';
import { frontend } from './frontend.ts';
import { errorBody, quote } from './language.ts';
import { keyFile, nameOf, type RouterCell, type RouterSettings } from './router.ts';
import { isReachable, issuers, problemOf, registry } from './servers.ts';

/**
 * The registry router: a HAProxy (2.6 or later) that verifies tokens and sends every request to the registry of its cell.
 * These files only write its configuration; docs/registry-router.md explains it.
 */

/** The configuration, and the files that it names, by their names relative to it. */
export interface RouterFiles {
  readonly config: string;
  readonly files: ReadonlyMap<string, string>;
}

/** A token for 64 scopes is 25 KB; HAProxy's own 16 KB would refuse it. */
const BUFFER_BYTES = 65_536;
const RETRY_AFTER_SECONDS = 5;
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

function problemsOf({ id, registryUrl, namespaces, keys }: RouterCell): Problem[] {
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
