import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, SignJWT } from 'jose';
import { stringify } from 'yaml';
import { createProgram } from '../../../src/cli/program.ts';
import { freePort } from '../postgres.ts';
import { type Child, startChild, until } from './child.ts';

export const REALM = 'https://registry.example.com/jwt/auth';
export const SERVICE = 'container_registry';

/** What a server behind the router was asked. */
export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** A small issuer and a small registry, which answer with their own name; what they were asked is kept. */
export interface FakeCell {
  readonly id: number;
  readonly issuer: FakeServer;
  readonly registry: FakeServer;
  /** What it publishes; tests may change it. */
  published: KeyObject[];
  readonly key: KeyObject;
  sign(claims?: object, key?: KeyObject): Promise<string>;
}

export interface FakeServer {
  readonly port: number;
  readonly received: Received[];
  /** Ends every connection, and refuses new ones. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Connections are taken, and nothing is answered. */
  freeze(frozen: boolean): void;
}

export function newKey(bits = 2048): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength: bits }).privateKey;
}

export async function startCell(id: number): Promise<FakeCell> {
  const key = newKey();
  const published = [key];
  const issuer = await startServer(async (path) => {
    if (path === '/readyz') return { status: 200, body: { status: 'ok' } };
    if (path === '/.well-known/jwks.json') return { status: 200, body: await jwkSet(cell.published) };
    return { status: 200, body: { issuer: id } };
  });
  const registry = await startServer(async (path, headers) => {
    if (headers.authorization !== undefined) return { status: 200, body: { registry: id } };
    return { status: path === '/v2/' ? 401 : 200, body: { registry: id } };
  });
  const cell: FakeCell = {
    id,
    key,
    published,
    issuer,
    registry,
    sign: (claims = {}, by = key) =>
      new SignJWT({ cell: `cell-${id}`, ...claims }).setProtectedHeader({ alg: 'RS256' }).sign(by),
  };
  return cell;
}

/** Every key under two ids, as cellpass publishes it. */
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
) => Promise<{ readonly status: number; readonly body: object }>;

async function startServer(answer: Answer): Promise<FakeServer> {
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  let frozen = false;
  let port = 0;
  let server: Server;
  const start = async (): Promise<void> => {
    server = createServer({ maxHeaderSize: 65_536 }, async (request, response) => {
      const { method = '', url = '', headers } = request;
      if (headers.host !== 'issuer' && method !== 'OPTIONS') received.push({ method, url, headers });
      if (frozen) return;
      request.resume();
      const { status, body } = await answer(url.split('?')[0]!, headers);
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
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

export interface RouterUse {
  readonly haproxy: string;
  readonly cells: readonly FakeCell[];
  /** Of the cell with this id. */
  readonly namespaces: Readonly<Record<number, readonly string[]>>;
  /** More of `cells haproxy`. */
  readonly options?: readonly string[];
}

export interface Router {
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  readonly child: Child;
  /** Runs `cells haproxy`; the outcome of `--json`. */
  write(...options: string[]): Promise<WriteOutcome>;
  /** New processes take over, as by `systemctl reload`. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

export interface WriteOutcome {
  readonly changed: boolean;
  readonly config: string;
  readonly cells: readonly { readonly id: number; readonly keys: number; readonly source: string }[];
  readonly warnings: readonly string[];
}

/** HAProxy before these cells, with what `cells haproxy` wrote. */
export async function startRouter({ haproxy, cells, namespaces, options = [] }: RouterUse): Promise<Router> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-router-'));
  const cellsFile = join(dir, 'cells.yaml');
  const port = await freePort();
  const topology = cells.map(({ id, issuer, registry }) => ({
    id,
    legacy: id === 1,
    url: `http://127.0.0.1:${issuer.port}`,
    registry_url: `http://127.0.0.1:${registry.port}`,
    namespaces: namespaces[id] ?? [],
  }));
  await writeFile(cellsFile, stringify({ cells: topology }));
  const output = join(dir, 'haproxy');
  const write = async (...more: string[]): Promise<WriteOutcome> => {
    const args = ['--output', output, '--bind', `127.0.0.1:${port}`, '--realm', REALM, '--json'];
    const environment = { CELLPASS_CELLS_FILE: cellsFile };
    return JSON.parse(await runCommand(['cells', 'haproxy', ...args, ...options, ...more], environment));
  };
  const { config } = await write('--check', haproxy);
  const child = startChild('haproxy', haproxy, ['-W', '-f', config]);
  const stop = async (): Promise<void> => {
    await child.stop();
    await rm(dir, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  await until(
    async () => {
      if (!child.running()) throw new Error(`HAProxy ended:\n${child.output()}`);
      return (await fetch(`${url}/v2/`).catch(() => undefined))?.status === 401 ? true : undefined;
    },
    () => `HAProxy is not ready:\n${child.output()}`,
  );
  const reload = async (): Promise<void> => {
    const before = child.output().length;
    child.signal('SIGUSR2');
    await until(
      () => (/Loading success|New worker/.test(child.output().slice(before)) ? true : undefined),
      () => `HAProxy did not reload:\n${child.output()}`,
    );
  };
  return { url, port, dir: output, child, write, reload, stop };
}

/** Runs a command in this process, and returns its stdout. */
export async function runCommand(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<string> {
  let printed = '';
  const program = createProgram(
    {
      environment,
      stdout: (text) => {
        printed += text;
      },
      stderr: () => undefined,
    },
    '0',
  );
  await program.parseAsync([...args], { from: 'user' });
  return printed;
}
