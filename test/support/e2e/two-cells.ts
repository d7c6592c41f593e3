import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort } from '../database/postgres.ts';
import { makeTestCa, serverTls, startTopologyStandIn } from '../topology/service.ts';
import { type Cellpass, ISSUER, startCellpass } from './cellpass.ts';
import type { Credentials } from './directory.ts';
import { type Haproxy, startHaproxy } from './haproxy-process.ts';
import { type Registry, startRegistry } from './registry.ts';

export type CellId = 1 | 2;

/** One cell: an issuer with its own database and keys, and a registry that trusts only its CA. */
export interface Cell {
  readonly id: CellId;
  readonly cellpass: Cellpass;
  /** The current registry process. */
  readonly registry: Registry;
  /** The folder in which the registry keeps its blobs. */
  readonly storage: string;
  haltRegistry(): Promise<void>;
  resumeRegistry(): Promise<void>;
}

/** The people who log in; their secrets are new in every run. */
export interface Visitors {
  /**
   * Alice has the same password in both cells, so only the kind of credential decides which cell
   * answers.
   */
  readonly password: Credentials;
  /** A deploy token that exists in both cells. */
  readonly deployToken: Credentials;
  /** Alice's personal access tokens, one created in each cell by `token create`. */
  readonly tokenOf: Readonly<Record<CellId, Credentials>>;
  /** An admin who exists in both cells. */
  readonly admin: Credentials;
}

/**
 * Two cells behind one host name: HAProxy, configured by `cells haproxy`, in front of two
 * registries and two issuers.
 */
export interface TwoCells {
  readonly cells: Readonly<Record<CellId, Cell>>;
  readonly visitors: Visitors;
  readonly router: Haproxy;
  /** The address that clients use: `localhost:port`. */
  readonly host: string;
  /** The URL at which clients ask for tokens, through the router. */
  readonly realm: string;
  /** A temporary folder. */
  readonly dir: string;
  /** Starts another registry, which trusts these certificates (PEM). */
  startRegistry(rootcertbundle: string): Promise<Registry>;
  /**
   * Runs `cells haproxy` in this cell, as an operator does when a key is staged; a reload must
   * follow.
   */
  writeRouter(by: CellId): Promise<void>;
  stop(): Promise<void>;
}

export interface Programs {
  readonly haproxy: string;
  readonly registry: string;
  /** True: each cell signs as another issuer, which `cells.yaml` names. */
  readonly hasOwnIssuers?: boolean;
  /** True: only a Topology Service knows which cell a group belongs to. */
  readonly hasTopologyService?: boolean;
}

const SCOPES = ['read_registry', 'write_registry'];
export const SERVICE = 'container_registry';
/** The top-level group of each cell. Each has a private project `app` and a public one `site`. */
export const GROUP: Readonly<Record<CellId, string>> = { 1: 'gitlab-org', 2: 'acme' };

/** Starts everything. If one part fails, the parts that run already are stopped. */
export async function startTwoCells(programs: Programs): Promise<TwoCells> {
  const closers: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close();
  };
  try {
    return { ...(await setScene(programs, closers)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function setScene(
  { haproxy, registry, hasOwnIssuers = false, hasTopologyService = false }: Programs,
  closers: (() => Promise<void>)[],
): Promise<Omit<TwoCells, 'stop'>> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-two-cells-'));
  closers.push(() => rm(dir, { recursive: true, force: true }));
  const ports = await freePorts();
  const host = `localhost:${ports.router}`;
  const cellsFile = join(dir, 'cells.yaml');
  const issuerOf = (id: CellId): string => (hasOwnIssuers ? `${ISSUER}-${id}` : ISSUER);
  const service = hasTopologyService ? await startTopologyService(closers) : null;
  await writeFile(cellsFile, stringify(topology(ports, hasOwnIssuers ? issuerOf : null, service)));
  const people = makePeople();
  const newCell = async (id: CellId): Promise<Cell> => {
    const cellpass = await startCellpass({
      services: { [SERVICE]: {} },
      directory: directoryOf(id, people),
      publicUrl: `http://${host}`,
      port: ports.issuers[id],
      issuer: hasOwnIssuers ? null : ISSUER,
      settings: {
        cell: id,
        cells_file: cellsFile,
        trusted_proxies: ['127.0.0.0/8'],
        registries: [{ name: 'the registry', url: `http://localhost:${ports.registries[id]}` }],
        keys: { rotate_every_days: 0 },
      },
    });
    closers.push(() => cellpass.stop());
    const storage = join(dir, `storage-${id}`);
    const run = async () =>
      startRegistry({
        binary: registry,
        realm: `http://${host}/jwt/auth`,
        service: SERVICE,
        issuer: issuerOf(id),
        trust: { rootcertbundle: await cellpass.command('keys', 'export-ca') },
        storage,
        port: ports.registries[id],
      });
    let running = await run();
    closers.push(() => running.stop());
    return {
      id,
      cellpass,
      storage,
      get registry() {
        return running;
      },
      haltRegistry: () => running.stop(),
      resumeRegistry: async () => {
        running = await run();
      },
    };
  };
  const cells = { 1: await newCell(1), 2: await newCell(2) };
  const visitors: Visitors = {
    ...people,
    tokenOf: { 1: await createToken(cells[1], people), 2: await createToken(cells[2], people) },
  };
  const config = join(dir, 'router');
  const writeRouter = async (by: CellId) => {
    await cells[by].cellpass.command(
      ...['cells', 'haproxy', '--bind', `127.0.0.1:${ports.router}`, '--output', config],
    );
  };
  await writeRouter(1);
  const router = await startHaproxy({ haproxy, config: join(config, 'haproxy.cfg'), port: ports.router });
  closers.push(() => router.stop());
  return {
    cells,
    visitors,
    router,
    host,
    realm: `http://${host}/jwt/auth`,
    dir,
    writeRouter,
    async startRegistry(rootcertbundle) {
      const trust = { rootcertbundle };
      const more = await startRegistry({
        binary: registry,
        realm: `http://${host}/jwt/auth`,
        service: SERVICE,
        issuer: issuerOf(1),
        trust,
      });
      closers.push(() => more.stop());
      return more;
    },
  };
}

interface Ports {
  readonly router: number;
  readonly issuers: Readonly<Record<CellId, number>>;
  readonly registries: Readonly<Record<CellId, number>>;
}

async function freePorts(): Promise<Ports> {
  return {
    router: await freePort(),
    issuers: { 1: await freePort(), 2: await freePort() },
    registries: { 1: await freePort(), 2: await freePort() },
  };
}

function topology(
  { router, issuers, registries }: Ports,
  issuerOf: ((id: CellId) => string) | null,
  service: object | null,
): object {
  const cell = (id: CellId) => ({
    id,
    url: `http://localhost:${issuers[id]}`,
    registry_url: `http://localhost:${registries[id]}`,
    ...(service === null ? { namespaces: [GROUP[id]] } : { topology_address: gitlabHost(id) }),
    ...(issuerOf !== null && { issuer: issuerOf(id) }),
  });
  return {
    cells: [{ ...cell(1), legacy: true }, cell(2)],
    forwarding: true,
    router_url: `http://localhost:${router}`,
    ...(service !== null && { topology_service: service }),
  };
}

/** The host of the cell's Rails, by which the Topology Service names it. */
const gitlabHost = (id: CellId): string => `gitlab-${id}.example.com`;

/** Asks for a client certificate. @returns the section `topology_service` of `cells.yaml`. */
async function startTopologyService(closers: (() => Promise<void>)[]): Promise<object> {
  const ca = makeTestCa();
  closers.push(async () => ca.remove());
  const standIn = await startTopologyStandIn({ tls: serverTls(ca) });
  closers.push(() => standIn.close());
  for (const id of [1, 2] as const) standIn.routes.set(GROUP[id], `${gitlabHost(id)}:443`);
  const { certFile, keyFile } = ca.issue('cellpass');
  return { url: standIn.url, timeout_ms: 1000, ca_file: ca.caFile, cert_file: certFile, key_file: keyFile };
}

type People = Omit<Visitors, 'tokenOf'>;

function makePeople(): People {
  return {
    password: { username: 'alice', password: randomUUID() },
    deployToken: { username: 'deployer', password: `gldt-${randomBytes(20).toString('hex')}` },
    admin: { username: 'root', password: randomUUID() },
  };
}

async function createToken({ cellpass }: Cell, { password: { username } }: People): Promise<Credentials> {
  const kind = ['--kind', 'personal', '--user', username, '--scopes', SCOPES.join(',')];
  const printed = await cellpass.command('token', 'create', ...kind, '--name', 'laptop', '--json');
  const { token }: { token: string } = JSON.parse(printed);
  return { username, password: token };
}

/** The directory document (YAML) of one cell. */
function directoryOf(id: CellId, { password, deployToken, admin }: People): string {
  const group = GROUP[id];
  const members = [{ user: password.username, role: 'developer' }];
  return stringify({
    version: 1,
    users: [password, { ...admin, admin: true }],
    groups: [{ path: group }],
    projects: [
      { path: `${group}/app`, visibility: 'private', members },
      { path: `${group}/site`, visibility: 'public', members },
    ],
    deploy_tokens: [
      {
        username: deployToken.username,
        scopes: SCOPES,
        projects: [`${group}/app`, `${group}/site`],
        token: deployToken.password,
      },
    ],
  });
}
