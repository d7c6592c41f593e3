import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config/load.ts';
import { isTrial } from '../../config/trial.ts';
import { CellpassError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { withDataDir } from '../../server/data-dir.ts';
import { warnOfExamples } from '../../server/example-credentials.ts';
import { openDatabase } from '../../server/open-database.ts';
import { readClocks } from '../../store/clocks.ts';
import type { Database } from '../../store/database/drivers.ts';
import {
  hearsNotices,
  readCell,
  readDatabaseTime,
  readMajorVersion,
} from '../../store/database/inspection.ts';
import { pendingMigrations } from '../../store/database/migrate.ts';
import { createKeyStore } from '../../store/keys.ts';
import { DATABASE_CLOCK, judgeClock, judgeReplicas } from './clocks.ts';
import {
  check,
  checkWithValue,
  type Finding,
  failed,
  named,
  ok,
  reasonOf,
  type Verdict,
  warning,
} from './finding.ts';
import { checkMasterKey, factsOf, NO_KEYS, type StoredState } from './stored-state.ts';

const OLDEST_POSTGRESQL = 13;
const NOTICE_TIMEOUT_MS = 2000;
const NOTHING_STORED = { authorities: [], keys: [] };
/** Findings say what a log would. */
export const SILENT: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * Opens the database as `serve` does, runs the checks, and closes it. Creates, migrates and claims
 * nothing.
 */
export async function checkDatabase(config: Config, now: () => Date): Promise<StoredState> {
  const { finding, value } = await checkWithValue('database', async () => {
    if (config.databaseUrl === null && !hasEmbeddedDatabase(config)) {
      const verdict = ok('no embedded database yet: the first start creates it');
      return { verdict, value: await beforeFirstStart(config) };
    }
    const verdict = ok(config.databaseUrl === null ? 'the embedded database opens' : 'PostgreSQL answers');
    return { verdict, value: await withDatabase(config, (database) => inspect(database, config, now)) };
  });
  if (value === undefined) return { findings: [finding], keys: undefined, signingKeys: [] };
  return { ...value, findings: [finding, ...value.findings] };
}

/**
 * Opening a folder without a database would create one.
 * @throws {CellpassError} `conflict` when this user may not read the folder.
 */
function hasEmbeddedDatabase({ dataDir }: Config): boolean {
  try {
    return statSync(join(dataDir, 'pgdata', 'PG_VERSION'), { throwIfNoEntry: false }) !== undefined;
  } catch (cause) {
    const message = `CELLPASS_DATA_DIR: can't read ${dataDir} (${reasonOf(cause)}): run this command as the user of the server`;
    throw new CellpassError('conflict', message, { cause });
  }
}

async function beforeFirstStart({ keysDir }: Config): Promise<StoredState> {
  const { finding } = await checkWithValue('master key', () => checkMasterKey(keysDir, NOTHING_STORED));
  return { findings: [finding], keys: NO_KEYS, signingKeys: [] };
}

async function withDatabase<T>(config: Config, work: (database: Database) => Promise<T>): Promise<T> {
  return withDataDir(config, async () => {
    const database = await openDatabase(config, SILENT);
    return work(database).finally(() => database.close());
  });
}

/** Runs the checks of an open database. Never throws. */
export async function inspect(database: Database, config: Config, now: () => Date): Promise<StoredState> {
  const general = [
    await check('database version', async () => judgeVersion(await readMajorVersion(database))),
    await check('notifications', () => checkNotices(database, config)),
    await check('database clock', async () =>
      judgeClock("the database's", await secondsAhead(() => readDatabaseTime(database), now), DATABASE_CLOCK),
    ),
  ];
  const { finding: migrations, value: pending } = await checkWithValue('migrations', async () => {
    const names = await pendingMigrations(database);
    return { value: names, verdict: judgeMigrations(names, config.migrate) };
  });
  const findings = [...general, migrations];
  if (pending === undefined) return { findings, keys: undefined, signingKeys: [] };
  if (isEmpty(pending)) {
    const stored = await beforeFirstStart(config);
    return { ...stored, findings: [...findings, ...stored.findings] };
  }
  if (pending.length > 0) {
    const keys = named(
      'keys',
      warning('not checked, because their tables are of an older version: see "migrations"'),
    );
    return { findings: [...findings, keys], keys: undefined, signingKeys: [] };
  }
  const clocks = await check('server clocks', async () => judgeReplicas(await readClocks(database)));
  const stored = await inspectKeys(database, config, now);
  return { ...stored, findings: [...findings, clocks, ...stored.findings] };
}

/** Whether not even the first migration was applied. */
function isEmpty(pending: readonly string[]): boolean {
  return pending.some((name) => name.startsWith('0001-'));
}

async function inspectKeys(database: Database, config: Config, now: () => Date): Promise<StoredState> {
  const cell = await check('cell', async () => judgeCell(config.cell, await readCell(database)));
  const { finding, value: set } = await checkWithValue('stored keys', async () => {
    const value = await createKeyStore(database).readKeySet();
    return { value, verdict: ok(`${value.keys.length} in the database`) };
  });
  if (set === undefined) return { findings: [cell, finding], keys: undefined, signingKeys: [] };
  const masterKey = await checkWithValue('master key', () => checkMasterKey(config.keysDir, set));
  const examples = await checkExamples(database, config);
  return {
    findings: [cell, finding, masterKey.finding, ...examples],
    keys: factsOf(set, config, now()),
    signingKeys: masterKey.value ?? [],
  };
}

/** A warning where the secrets of `examples/` are stored and clients of other machines know them. */
async function checkExamples(database: Database, config: Config): Promise<readonly Finding[]> {
  if (isTrial(config)) return [];
  return [
    await check('example credentials', async () => {
      const warningText = await warnOfExamples(database);
      return warningText === null ? ok('no token of examples/ is stored') : warning(warningText);
    }),
  ];
}

/**
 * How far the database's clock is ahead; half of the round trip counts as the way to the database.
 */
export async function secondsAhead(readTime: () => Promise<Date>, now: () => Date): Promise<number> {
  const before = now().getTime();
  const theirs = (await readTime()).getTime();
  return (theirs - (before + now().getTime()) / 2) / 1000;
}

export function judgeVersion(major: number): Verdict {
  if (major >= OLDEST_POSTGRESQL) return ok(`PostgreSQL ${major}`);
  return failed(`PostgreSQL ${major} is too old: use ${OLDEST_POSTGRESQL} or later`);
}

async function checkNotices(database: Database, config: Config): Promise<Verdict> {
  const { databaseUrl, databaseListenUrl, databasePreparedStatements } = config;
  if (databaseUrl !== null && databaseListenUrl === null && !databasePreparedStatements)
    return ok(
      'not used: servers poll each second; for NOTIFY past the pooler set CELLPASS_DATABASE_LISTEN_URL',
    );
  return judgeNotices(await hearsNotices(database, NOTICE_TIMEOUT_MS));
}

export function judgeNotices(heard: boolean): Verdict {
  if (heard) return ok('a NOTIFY arrives');
  return warning(
    `no NOTIFY arrived in ${NOTICE_TIMEOUT_MS / 1000} s, so servers learn of new keys only by polling: point CELLPASS_DATABASE_URL at PostgreSQL itself, or at a pooler in session mode, or set CELLPASS_DATABASE_LISTEN_URL`,
  );
}

export function judgeMigrations(pending: readonly string[], mayMigrate: boolean): Verdict {
  if (pending.length === 0) return ok('all migrations are applied');
  const names = pending.join(', ');
  if (mayMigrate) return ok(`the next start applies ${names}`);
  return failed(`CELLPASS_MIGRATE is false, and migrations are pending (${names}): run "cellpass migrate"`);
}

export function judgeCell(configured: number, stored: number | null): Verdict {
  if (stored === null || stored === configured) return ok(`this is cell ${configured}`);
  return failed(
    `CELLPASS_CELL is ${configured}, but the database belongs to cell ${stored}: set CELLPASS_CELL=${stored}, or use this cell's own database`,
  );
}
