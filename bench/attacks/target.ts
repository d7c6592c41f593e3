import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startPostgres } from '../../test/support/database/postgres.ts';
import { makeTls } from '../../test/support/processes/tls.ts';
import { untilReady } from '../server.ts';

/** The server that is attacked: one process, on its own PostgreSQL. */
export interface Target {
  readonly port: number;
  readonly isTls: boolean;
  /** Bytes that PostgreSQL has written so far: tables and write-ahead log. */
  bytesWritten(): number;
}

export interface TargetOptions {
  /** The folder of a built checkout. */
  readonly root: string;
  readonly isTls: boolean;
  /** The URL of a Topology Service; null: one cell alone. */
  readonly topologyService: string | null;
}

export const PASSWORD = 'correct horse battery';
const DIRECTORY = {
  version: 1,
  users: ['alice', 'bob'].map((username) => ({ username, password: PASSWORD })),
  groups: [{ path: 'acme', members: [{ user: 'bob', role: 'developer' }] }],
  projects: [{ path: 'acme/app', visibility: 'public' }],
};

export async function withTarget(options: TargetOptions, attack: (target: Target) => Promise<void>) {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-attack-'));
  const postgres = await startPostgres();
  try {
    const port = await freePort();
    const databaseUrl = await postgres.createDatabase();
    const environment = await environmentOf(options, { dir, port, databaseUrl });
    const bin = join(options.root, 'bin/cellpass');
    const child = spawn(bin, ['serve'], { env: environment, stdio: 'ignore' });
    const exit = once(child, 'exit');
    try {
      await untilReady(`${options.isTls ? 'https' : 'http'}://127.0.0.1:${port}`);
      await writeFile(join(dir, 'directory.json'), JSON.stringify(DIRECTORY));
      run(bin, ['directory', 'apply', '-f', join(dir, 'directory.json')], environment);
      const bytesWritten = (): number => Number(run('psql', ['-Atqc', WRITTEN, databaseUrl], environment));
      await attack({ port, isTls: options.isTls, bytesWritten });
    } finally {
      child.kill('SIGTERM');
      await exit;
    }
  } finally {
    await postgres.stop();
    await rm(dir, { recursive: true });
  }
}

const WRITTEN = `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') + pg_database_size(current_database())`;

async function environmentOf(
  { isTls, topologyService }: TargetOptions,
  { dir, port, databaseUrl }: { readonly dir: string; readonly port: number; readonly databaseUrl: string },
): Promise<NodeJS.ProcessEnv> {
  const cells = join(dir, 'cells.yaml');
  const url = `http://127.0.0.1:${port}`;
  if (topologyService !== null) {
    const service = `topology_service: {url: "${topologyService}", timeout_ms: 1000}`;
    await writeFile(cells, `cells: [{id: 1, legacy: true, url: "${url}"}]\n${service}\n`);
  }
  return {
    PATH: process.env['PATH'],
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    CELLPASS_DATABASE_URL: databaseUrl,
    CELLPASS_DATA_DIR: dir,
    CELLPASS_KEYS_DIR: join(dir, 'keys'),
    CELLPASS_LISTEN: `127.0.0.1:${port}`,
    CELLPASS_LOG_LEVEL: 'error',
    ...(topologyService !== null && { CELLPASS_CELLS_FILE: cells, CELLPASS_CELL: '1' }),
    ...(isTls && (await makeTls({ dir } as Parameters<typeof makeTls>[0], 'localhost'))),
  };
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr } = spawnSync(command, [...args], { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}
