import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { freePort, startPostgres } from '../../support/database/postgres.ts';
import { runToEnd, until } from '../../support/processes/child.ts';

/**
 * The settings of the measured server, beside its addresses and folders; all others are the
 * defaults. Limits on failed attempts must be switched off here, or the measure would see the limit
 * instead of the check behind it.
 */
const SETTINGS = 'limits: {failed_attempts: 0}\n';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const CELLPASS = ['--import', 'tsx', join(import.meta.dirname, 'serve.ts')];

/** One request's line in the access log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** cellpass in its own process, on PostgreSQL. */
export interface TimedServer {
  readonly port: number;
  /** The access log so far, by request id. */
  readLog(): Promise<ReadonlyMap<string, LogLine>>;
  stop(): Promise<void>;
}

export async function startTimedServer(directory: object): Promise<TimedServer> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-timing-'));
  const logFile = join(dir, 'log');
  const port = await freePort();
  const postgres = await startPostgres();
  const databaseUrl = await postgres.createDatabase();
  await writeFile(join(dir, 'cellpass.yaml'), SETTINGS);
  const env = {
    CELLPASS_CONFIG: join(dir, 'cellpass.yaml'),
    CELLPASS_DATABASE_URL: databaseUrl,
    CELLPASS_DATA_DIR: join(dir, 'data'),
    CELLPASS_KEYS_DIR: join(dir, 'keys'),
    CELLPASS_LISTEN: `127.0.0.1:${port}`,
  };
  const child = startServing(env, logFile);
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    await end(child);
    process.off('exit', kill);
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await untilReady(port, child, logFile);
    await apply(directory, join(dir, 'directory.yaml'), env);
    await settle(databaseUrl);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, readLog: () => readLog(logFile), stop };
}

/** The server logs to a file, because this process has no time to read a pipe while it measures. */
function startServing(env: Readonly<Record<string, string>>, logFile: string): ChildProcess {
  const log = openSync(logFile, 'w');
  const child = spawn(process.execPath, [...CELLPASS, 'serve'], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

async function untilReady(port: number, child: ChildProcess, logFile: string): Promise<void> {
  await until(
    async () => {
      if (child.exitCode !== null) throw new Error(`cellpass ended:\n${await readFile(logFile, 'utf8')}`);
      const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
      return response?.ok ? true : undefined;
    },
    () => 'cellpass is not ready',
  );
}

async function apply(directory: object, file: string, env: Readonly<Record<string, string>>): Promise<void> {
  await writeFile(file, JSON.stringify(directory));
  const args = [...CELLPASS, 'directory', 'apply', '-f', file];
  const { code, stderr } = await runToEnd(process.execPath, args, { cwd: ROOT, env });
  if (code !== 0) throw new Error(`the directory was not applied: ${stderr}`);
}

/** Collects PostgreSQL's statistics now, so that query plans don't change during a measurement. */
async function settle(databaseUrl: string): Promise<void> {
  const database = openPostgres(databaseUrl);
  await database.execute('VACUUM ANALYZE');
  await database.close();
}

async function readLog(logFile: string): Promise<ReadonlyMap<string, LogLine>> {
  const lines = (await readFile(logFile, 'utf8')).split('\n').filter((line) => line.startsWith('{'));
  const parsed: LogLine[] = lines.map((line) => JSON.parse(line));
  return new Map(parsed.map((line) => [String(line['request_id']), line]));
}
