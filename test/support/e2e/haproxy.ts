import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, SignJWT } from 'jose';
import { stringify } from 'yaml';
import { createProgram } from '../../../src/cli/program.ts';
import type { Terminal } from '../../../src/terminal.ts';
import { freePort } from '../database/postgres.ts';
import { type Child, startChild, until } from '../processes/child.ts';

export const REALM = 'https://registry.example.com/jwt/auth';
export const SERVICE = 'container_registry';

/** A request that a server behind the router received. */
interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** The bytes of the body received so far. */
  bytes: number;
}

/**
 * A small issuer and a small registry, which answer with their own name and keep the requests they
 * receive.
 */
export interface FakeCell {
  readonly id: number;
  readonly issuer: FakeServer;
  readonly registry: FakeServer;
  /** The JWK Set that the issuer publishes; tests may change it. */
  published: KeyObject[];
  /** The issuer's `token-ca.pem`. */
  authorities: string;
  readonly key: KeyObject;
  sign(claims?: object, key?: KeyObject): Promise<string>;
  stop(): Promise<void>;
}

interface FakeServer {
  readonly port: number;
  readonly received: Received[];
  /** Closes every connection, and refuses new ones. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Accepts connections, and answers nothing. */
  freeze(frozen: boolean): void;
}

export function newKey(bits = 2048): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength: bits }).privateKey;
}

export async function startCell(id: number, key = newKey()): Promise<FakeCell> {
  const published = [key];
  const issuer = await startServer(async (path) => {
    if (path === '/readyz') return { status: 200, body: { status: 'ok' } };
    if (path === '/.well-known/token-ca.pem') return { status: 200, body: cell.authorities };
    if (path === '/.well-known/jwks.json') return { status: 200, body: await jwkSet(cell.published) };
    return { status: 200, body: { issuer: id } };
  });
  const registry = await startServer(async (_path, headers) => {
    if (headers.authorization !== undefined) return { status: 200, body: { registry: id } };
    return { status: 401, body: { registry: id }, challenge: `Bearer realm="${REALM}",service="${SERVICE}"` };
  });
  const cell: FakeCell = {
    id,
    key,
    published,
    authorities: '',
    issuer,
    registry,
    sign: (claims = {}, by = key) =>
      new SignJWT({ cell: `cell-${id}`, ...claims }).setProtectedHeader({ alg: 'RS256' }).sign(by),
    stop: async () => {
      await issuer.stop();
      await registry.stop();
    },
  };
  return cell;
}

/** The JWK Set with each key under two ids, as cellpass publishes it. */
async function jwkSet(keys: readonly KeyObject[]): Promise<object> {
  const entries = keys.map(async (key) => {
    const { kty, n, e } = await exportJWK(key);
    return ['a', 'b'].map((kid) => ({ kty, n, e, kid, alg: 'RS256', use: 'sig' }));
  });
  return { keys: (await Promise.all(entries)).flat() };
}

type Answer = (
  path: string,
  headers: IncomingHttpHeaders,
) => Promise<{ readonly status: number; readonly body: object | string; readonly challenge?: string }>;

async function startServer(answer: Answer): Promise<FakeServer> {
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  let frozen = false;
  let port = 0;
  let server: Server;
  const start = async (): Promise<void> => {
    server = createServer({ maxHeaderSize: 65_536 }, async (request, response) => {
      const { method = '', url = '', headers } = request;
      const asked: Received = { method, url, headers, bytes: 0 };
      // Health checks come without this header.
      if (headers['x-forwarded-for'] !== undefined) received.push(asked);
      if (frozen) return;
      for await (const chunk of request) asked.bytes += (chunk as Buffer).length;
      const { status, body, challenge } = await answer(url.split('?')[0]!, headers);
      if (challenge !== undefined) response.setHeader('WWW-Authenticate', challenge);
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  };
  await start();
  return {
    get port() {
      return port;
    },
    received,
    start,
    async stop() {
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    freeze(value) {
      frozen = value;
    },
  };
}

/** One cell of `cells.yaml`; the first is the legacy cell. */
export interface RoutedCell {
  readonly id: number;
  readonly url: string;
  readonly registry_url: string;
  readonly namespaces?: readonly string[];
}

export function routed({ id, issuer, registry }: FakeCell, ...namespaces: readonly string[]): RoutedCell {
  const [url, registry_url] = [issuer, registry].map(({ port }) => `http://127.0.0.1:${port}`) as [
    string,
    string,
  ];
  return { id, url, registry_url, namespaces };
}

export interface RouterUse {
  readonly haproxy: string;
  readonly cells: readonly RoutedCell[];
  /** Further options of `cells haproxy`. */
  readonly options?: readonly string[];
  /** Default: a free one. */
  readonly port?: number;
}

export interface Router {
  readonly url: string;
  readonly port: number;
  /** The folder that `cells haproxy` writes to. */
  readonly dir: string;
  readonly child: Child;
  /** Runs `cells haproxy --json`, and returns its output. */
  write(...options: string[]): Promise<WriteOutcome>;
  /** Reloads HAProxy as `systemctl reload` does. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

interface WriteOutcome {
  readonly changed: boolean;
  readonly config: string;
  readonly cells: readonly { readonly id: number; readonly keys: number; readonly source: string }[];
  readonly warnings: readonly string[];
}

/** Runs HAProxy in front of these cells, with the configuration that `cells haproxy` wrote. */
export async function startRouter({ haproxy, cells, options = [], ...use }: RouterUse): Promise<Router> {
  const port = use.port ?? (await freePort());
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-router-'));
  const remove = () => rm(dir, { recursive: true, force: true });
  try {
    const { output, write } = await prepareFolder(dir, { cells, port, options });
    const { config } = await write('--check', haproxy);
    const child = startChild('haproxy', haproxy, ['-W', '-f', config]);
    const loads = (): number => child.output().match(/Loading success/g)?.length ?? 0;
    const loaded = (times: number) =>
      until(
        () => {
          if (!child.running()) throw new Error(`HAProxy ended:\n${child.output()}`);
          return loads() >= times || undefined;
        },
        () => `HAProxy did not load its configuration:\n${child.output()}`,
      );
    const stop = async (): Promise<void> => {
      await child.stop();
      await remove();
    };
    await loaded(1);
    const reload = async (): Promise<void> => {
      const before = loads();
      child.signal('SIGUSR2');
      await loaded(before + 1);
    };
    return { url: `http://127.0.0.1:${port}`, port, dir: output, child, write, reload, stop };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function prepareFolder(
  dir: string,
  { cells, port, options }: { cells: readonly RoutedCell[]; port: number; options: readonly string[] },
): Promise<{ readonly output: string; write(...more: string[]): Promise<WriteOutcome> }> {
  const output = join(dir, 'haproxy');
  const cellsFile = join(dir, 'cells.yaml');
  const [legacy, ...others] = cells;
  await writeFile(cellsFile, stringify({ cells: [{ ...legacy, legacy: true }, ...others] }));
  const write = async (...more: string[]): Promise<WriteOutcome> => {
    const args = ['--output', output, '--bind', `127.0.0.1:${port}`, '--realm', REALM, '--json'];
    const environment = { CELLPASS_CELLS_FILE: cellsFile };
    return JSON.parse(await runCommand(['cells', 'haproxy', ...args, ...options, ...more], environment));
  };
  return { output, write };
}

export interface RawAnswer {
  readonly status: number;
  /** The headers, with names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/**
 * Sends exactly these bytes, where an HTTP client would correct them. The head must contain
 * `Connection: close`.
 */
export function sendRaw(port: number, text: string): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let received = '';
    socket
      .setEncoding('latin1')
      .on('data', (chunk: string) => {
        received += chunk;
      })
      .on('error', reject)
      .on('close', () => resolve(parseAnswer(received)));
  });
}

function parseAnswer(text: string): RawAnswer {
  const [head = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = lines.map(
    (line) => [line.split(':')[0]!.toLowerCase(), line.replace(/^[^:]*:\s*/, '')] as const,
  );
  return { status: Number(statusLine.split(' ')[1]), headers: new Map(headers), body };
}

/** Runs a command in this process, and returns its stdout. */
export async function runCommand(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  { stdout, stderr = () => undefined }: Partial<Pick<Terminal, 'stdout' | 'stderr'>> = {},
): Promise<string> {
  let printed = '';
  const keep = (text: string): void => {
    printed += text;
  };
  const program = createProgram({ environment, stdout: stdout ?? keep, stderr }, '0');
  await program.parseAsync([...args], { from: 'user' });
  return printed;
}
