import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createPlainServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json as readJson } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';

/** Which claims a service knows: one at a time (`older`), or several. */
type Generation = 'newest' | 'older';

/**
 * A stand-in for GitLab's Topology Service. Like gRPC-gateway it is strict: a field or a value that
 * its generation does not know is 400.
 */
export interface TopologyStandIn {
  readonly url: string;
  /** The bodies of questions, and the serial number of the client's certificate, if it shows one. */
  readonly asked: readonly { readonly body: unknown; readonly client: string | null }[];
  /** Addresses by top-level path; `redirects` are former paths. */
  readonly routes: Map<string, string>;
  readonly redirects: Map<string, string>;
  setGeneration(generation: Generation): void;
  close(): Promise<void>;
}

export interface StandInOptions {
  readonly generation?: Generation;
  /** By https, for clients with a certificate of `ca` alone. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

const CLAIMS = [
  'route',
  'organizationPath',
  'redirectRoute',
  'username',
  'email',
  'projectId',
  'namespaceId',
];
const NOT_FOUND = { code: 5, message: 'not found', details: [] };
const REFUSED = { code: 3, message: 'proto: unknown field', details: [] };

export async function startTopologyStandIn({
  generation: first = 'newest',
  tls,
}: StandInOptions = {}): Promise<TopologyStandIn> {
  const asked: { body: unknown; client: string | null }[] = [];
  const routes = new Map<string, string>();
  const redirects = new Map<string, string>();
  let generation = first;

  const addressOf = (claim: Readonly<Record<string, unknown>>): string | undefined =>
    routes.get(String(claim['route'])) ?? redirects.get(String(claim['redirectRoute']));
  const reply = (body: unknown): readonly [status: number, body: object] => {
    const claims = claimsOf(body, generation);
    if (claims === null) return [400, REFUSED];
    const at = claims.findIndex((claim) => addressOf(claim) !== undefined);
    const claim = claims[at];
    if (claim === undefined) return [404, NOT_FOUND];
    const proxy = { address: addressOf(claim) };
    return [200, { action: 'PROXY', proxy, ...(generation === 'newest' && { matchedClaim: claim }) }];
  };
  const listener: RequestListener = (request, response) => {
    void (async () => {
      const body: unknown = await readJson(request);
      asked.push({ body, client: serialOf(request) });
      const isQuestion = request.method === 'POST' && request.url === '/v1/classify';
      const [status, answer] = isQuestion ? reply(body) : [404, NOT_FOUND];
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
    })();
  };
  const server =
    tls === undefined
      ? createPlainServer(listener)
      : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    asked,
    routes,
    redirects,
    setGeneration: (next) => {
      generation = next;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function serialOf({ socket }: IncomingMessage): string | null {
  const certificate = (socket as Partial<TLSSocket>).getPeerCertificate?.();
  return certificate?.serialNumber ?? null;
}

type Claim = Readonly<Record<string, unknown>>;

/** Null: a field that this generation does not know. */
function claimsOf(body: unknown, generation: Generation): readonly Claim[] | null {
  if (!isRecord(body)) return null;
  const known = generation === 'newest' ? ['type', 'value', 'claims'] : ['type', 'value', 'claim'];
  if (Object.keys(body).some((name) => !known.includes(name))) return null;
  const claims = generation === 'newest' ? body['claims'] : [body['claim']];
  if (!Array.isArray(claims)) return null;
  const areKnown = claims.every(
    (claim) =>
      isRecord(claim) && Object.keys(claim).length === 1 && CLAIMS.includes(Object.keys(claim)[0] ?? ''),
  );
  return areKnown ? claims : null;
}

function isRecord(value: unknown): value is Claim {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A folder with a CA, and certificates of it that last a day. */
export interface TestCa {
  readonly dir: string;
  readonly caFile: string;
  /** Writes `NAME.crt` and `NAME.key`, over older ones of this name. */
  issue(name: string): { readonly certFile: string; readonly keyFile: string };
  remove(): void;
}

export function makeTestCa(): TestCa {
  const dir = mkdtempSync(join(tmpdir(), 'cellpass-ca-'));
  const file = (name: string): string => join(dir, name);
  const run = (...args: readonly string[]): void => {
    execFileSync('openssl', [...args], { stdio: 'ignore', cwd: dir });
  };
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  run(
    'req',
    '-x509',
    ...curve,
    '-days',
    '1',
    '-subj',
    '/CN=a test CA',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  );
  return {
    dir,
    caFile: file('ca.crt'),
    issue: (name) => {
      run(
        'req',
        ...curve,
        '-subj',
        `/CN=${name}`,
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.csr`,
      );
      run(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        'ca.crt',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-copy_extensions',
        'copy',
        '-days',
        '1',
        '-out',
        `${name}.crt`,
      );
      return { certFile: file(`${name}.crt`), keyFile: file(`${name}.key`) };
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** The files of a server certificate, as `startTopologyStandIn` takes them. */
export function serverTls(ca: TestCa): NonNullable<StandInOptions['tls']> {
  const { certFile, keyFile } = ca.issue('topology');
  return {
    ca: readFileSync(ca.caFile, 'utf8'),
    cert: readFileSync(certFile, 'utf8'),
    key: readFileSync(keyFile, 'utf8'),
  };
}
