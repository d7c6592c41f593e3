import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort, sharedPostgres } from '../database/postgres.ts';
import { makeGitlab } from '../gitlab/server.ts';
import { type Child, runToEnd, startChild, until } from '../processes/child.ts';

const BIN = join(import.meta.dirname, '../../../bin/cellpass');
export const ISSUER = 'cellpass-e2e';

/** The settings of one service, as in the configuration file. */
export interface ServiceSettings {
  readonly kid?: 'libtrust' | 'thumbprint';
  readonly x5c?: boolean;
}

export interface CellpassOptions {
  readonly services: Readonly<Record<string, ServiceSettings>>;
  /** The directory document (YAML). */
  readonly directory: string;
  /** True: the directory is the database of a GitLab that has what the document says. */
  readonly onGitlab?: boolean;
  /** The section `gitlab` of the settings, for a GitLab that is there already. */
  readonly gitlab?: object;
  /** Further settings for the configuration file. */
  readonly settings?: object;
  /** The URL at which clients reach cellpass; default: the process itself. */
  readonly publicUrl?: string;
  /** The port of the first process; default: a free one. */
  readonly port?: number;
  /** `CELLPASS_ISSUER`; null: not set; default: `ISSUER`. */
  readonly issuer?: string | null;
}

/** A cellpass process with its own database, keys and admin socket. */
export interface Cellpass {
  readonly url: string;
  readonly realm: string;
  /** The current process. */
  readonly child: Child;
  readonly databaseUrl: string;
  /** The folder of its `master.key`. */
  readonly keysDir: string;
  /** Runs a command of the CLI and returns its stdout; throws if it fails. */
  command(...args: string[]): Promise<string>;
  /** The published JWK Set, as text. */
  jwks(): Promise<string>;
  /**
   * Starts another process on the same database with the same master key, but its own data
   * directory.
   */
  replica(): Promise<Cellpass>;
  /** Ends the process, and keeps its data. */
  halt(): Promise<void>;
  /** Writes other settings into the configuration file, and has the process read it again. */
  reconfigure(settings: object): Promise<void>;
  /** Starts a new process at the same address; call it after `halt`. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

export async function startCellpass(options: CellpassOptions): Promise<Cellpass> {
  const databaseUrl = await (await sharedPostgres()).createDatabase();
  if (options.onGitlab || options.gitlab !== undefined)
    return startProcess(await withGitlab(options), { databaseUrl, masterKeyFile: undefined });
  const cellpass = await startProcess(options, { databaseUrl, masterKeyFile: undefined });
  try {
    await applyDirectory(cellpass, options.directory);
    return cellpass;
  } catch (error) {
    await cellpass.stop();
    throw error;
  }
}

/** The same options, with a GitLab that has the directory. */
async function withGitlab(options: CellpassOptions): Promise<CellpassOptions> {
  const gitlab = options.gitlab ?? (await makeGitlab(options.directory));
  return { ...options, settings: { ...options.settings, gitlab } };
}

async function applyDirectory({ command }: Cellpass, directory: string): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-directory-'));
  try {
    const file = join(dir, 'directory.yaml');
    await writeFile(file, directory);
    await command('directory', 'apply', '-f', file);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

interface Shared {
  readonly databaseUrl: string;
  /** The settings of the first replica; undefined: this is the first. */
  readonly masterKeyFile: string | undefined;
}

async function startProcess(options: CellpassOptions, shared: Shared): Promise<Cellpass> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-e2e-'));
  // Use the name, not the address: crane refuses a realm on a loopback address other than the
  // registry's.
  const port = (shared.masterKeyFile === undefined ? options.port : undefined) ?? (await freePort());
  const url = `http://localhost:${port}`;
  const publicUrl = options.publicUrl ?? url;
  const env = await environment(dir, port, { ...options, publicUrl }, shared);
  const run = (): Child => startChild('cellpass', BIN, ['serve'], { env, cwd: dir });
  let child = run();
  const resume = async () => {
    if (!child.running()) child = run();
    await ready(url, child);
  };
  const halt = () => child.stop();
  const stop = async () => {
    await halt();
    await rm(dir, { recursive: true, force: true });
  };
  const command = async (...args: string[]) => {
    const { code, stdout, stderr } = await runToEnd(BIN, args, { env, cwd: dir });
    if (code !== 0) throw new Error(`cellpass ${args.join(' ')}: exit ${code}\n${stderr}${child.output()}`);
    return stdout;
  };
  try {
    await resume();
  } catch (error) {
    await stop();
    throw error;
  }
  const keysDir = join(dir, 'keys');
  return {
    url,
    realm: `${publicUrl}/jwt/auth`,
    get child() {
      return child;
    },
    databaseUrl: shared.databaseUrl,
    keysDir,
    command,
    jwks: async () => (await fetch(`${url}/.well-known/jwks.json`)).text(),
    replica: () => startProcess(options, { ...shared, masterKeyFile: join(keysDir, 'master.key') }),
    halt,
    reconfigure: async (settings) => {
      await writeSettings(dir, { ...options, settings });
      const before = child.output().length;
      child.signal('SIGHUP');
      await until(
        () => (child.output().slice(before).includes('reloaded the rules') ? true : undefined),
        () => `the rules were not reloaded:\n${child.output()}`,
      );
    },
    resume,
    stop,
  };
}

async function environment(
  dir: string,
  port: number,
  { services, settings, publicUrl, issuer = ISSUER }: CellpassOptions & { readonly publicUrl: string },
  { databaseUrl, masterKeyFile }: Shared,
): Promise<Record<string, string>> {
  const config = await writeSettings(dir, { services, ...(settings && { settings }) });
  await mkdir(join(dir, 'keys'));
  if (masterKeyFile !== undefined) await copyFile(masterKeyFile, join(dir, 'keys', 'master.key'));
  return {
    HOME: dir,
    CELLPASS_CONFIG: config,
    CELLPASS_DATABASE_URL: databaseUrl,
    CELLPASS_DATA_DIR: join(dir, 'data'),
    CELLPASS_KEYS_DIR: join(dir, 'keys'),
    CELLPASS_LISTEN: `127.0.0.1:${port}`,
    CELLPASS_PUBLIC_URL: publicUrl,
    ...(issuer !== null && { CELLPASS_ISSUER: issuer }),
  };
}

async function writeSettings(
  dir: string,
  { services, settings }: Pick<CellpassOptions, 'services' | 'settings'>,
): Promise<string> {
  const config = join(dir, 'cellpass.yaml');
  await writeFile(config, stringify({ services, ...settings }));
  return config;
}

async function ready(url: string, child: Child): Promise<void> {
  await until(
    async () => {
      if (!child.running()) throw new Error(`cellpass ended:\n${child.output()}`);
      const response = await fetch(`${url}/readyz`).catch(() => undefined);
      return response?.ok ? true : undefined;
    },
    () => `cellpass is not ready:\n${child.output()}`,
    60_000,
  );
}
