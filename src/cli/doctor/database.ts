import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { withDataDir } from '../../server/data-dir.ts';
import { openDatabase } from '../../server/open-database.ts';
import type { Database } from '../../store/database/drivers.ts';
import {
  hearsNotices,
  readCell,
  readDatabaseTime,
  readMajorVersion,
} from '../../store/database/inspection.ts';
import { pendingMigrations } from '../../store/database/migrate.ts';
import { PostgresStore } from '../../store/source/postgres.ts';
import { DATABASE_CLOCK, judgeClock } from './clocks.ts';
import { check, checkAndKeep, failed, named, ok, reasonOf, type Verdict, warning } from './finding.ts';
import { checkMasterKey, factsOf, type Kept, NO_KEYS } from './kept.ts';

const OLDEST_POSTGRESQL = 13;
const NOTICE_TIMEOUT_MS = 2000;
const NOTHING_STORED = { authorities: [], keys: [] };
const SILENT: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Opens the database as `serve` would, looks, and closes it. Nothing is made, migrated or claimed. */
export async function checkDatabase(config: Config, now: () => Date): Promise<Kept> {
  const { finding, value } = await checkAndKeep('database', async () => {
    if (config.databaseUrl === null && !hasEmbeddedDatabase(config)) {
      const verdict = ok('no embedded database yet: the first start makes it');
      return { verdict, value: await beforeFirstStart(config) };
    }
    const verdict = ok(config.databaseUrl === null ? 'the embedded database opens' : 'PostgreSQL answers');
    return { verdict, value: await withDatabase(config, (database) => inspect(database, config, now)) };
  });
  if (value === undefined) return { findings: [finding], keys: undefined, signingKeys: [] };
  return { ...value, findings: [finding, ...value.findings] };
}

/** Opening a folder without a database would make one. Throws `conflict` where it may not be looked at. */
function hasEmbeddedDatabase({ dataDir }: Config): boolean {
  try {
    return statSync(join(dataDir, 'pgdata', 'PG_VERSION'), { throwIfNoEntry: false }) !== undefined;
  } catch (cause) {
    const message = `CELLPASS_DATA_DIR: can't look into ${dataDir} (${reasonOf(cause)}): run this as the server's user`;
    throw new CellpassError('conflict', message, { cause });
  }
}

async function beforeFirstStart({ keysDir }: Config): Promise<Kept> {
  const { finding } = await checkAndKeep('master key', () => checkMasterKey(keysDir, NOTHING_STORED));
  return { findings: [finding], keys: NO_KEYS, signingKeys: [] };
}

async function withDatabase<T>(config: Config, work: (database: Database) => Promise<T>): Promise<T> {
  return withDataDir(config, async () => {
    const database = await openDatabase(config, SILENT);
    return work(database).finally(() => database.close());
  });
}

/** The checks of an open database; none of them throws. */
export async function inspect(database: Database, config: Config, now: () => Date): Promise<Kept> {
  const general = [
    await check('database version', async () => judgeVersion(await readMajorVersion(database))),
    await check('notifications', async () => judgeNotices(await hearsNotices(database, NOTICE_TIMEOUT_MS))),
    await check('database clock', async () =>
      judgeClock("the database's", await secondsAhead(() => readDatabaseTime(database), now), DATABASE_CLOCK),
    ),
  ];
  const { finding: migrations, value: pending } = await checkAndKeep('migrations', async () => {
    const names = await pendingMigrations(database);
    return { value: names, verdict: judgeMigrations(names, config.migrate) };
  });
  const findings = [...general, migrations];
  if (pending === undefined) return { findings, keys: undefined, signingKeys: [] };
  if (isEmpty(pending)) {
    const kept = await beforeFirstStart(config);
    return { ...kept, findings: [...findings, ...kept.findings] };
  }
  if (pending.length > 0) {
    const keys = named(
      'keys',
      warning('not looked at: their tables are of an older version, see "migrations"'),
    );
    return { findings: [...findings, keys], keys: undefined, signingKeys: [] };
  }
  const kept = await inspectKeys(database, config, now);
  return { ...kept, findings: [...findings, ...kept.findings] };
}

/** Not even the first migration was applied. */
function isEmpty(pending: readonly string[]): boolean {
  return pending.some((name) => name.startsWith('0001-'));
}

async function inspectKeys(database: Database, config: Config, now: () => Date): Promise<Kept> {
  const cell = await check('cell', async () => judgeCell(config.cell, await readCell(database)));
  const { finding, value: set } = await checkAndKeep('stored keys', async () => {
    const value = await new PostgresStore(database).readKeySet();
    return { value, verdict: ok(`${value.keys.length} in the database`) };
  });
  if (set === undefined) return { findings: [cell, finding], keys: undefined, signingKeys: [] };
  const masterKey = await checkAndKeep('master key', () => checkMasterKey(config.keysDir, set));
  return {
    findings: [cell, finding, masterKey.finding],
    keys: factsOf(set, config, now()),
    signingKeys: masterKey.value ?? [],
  };
}

/** Half of the way there and back is the database's; the rest is its clock. */
async function secondsAhead(ask: () => Promise<Date>, now: () => Date): Promise<number> {
  const before = now().getTime();
  const theirs = (await ask()).getTime();
  return (theirs - (before + now().getTime()) / 2) / 1000;
}

export function judgeVersion(major: number): Verdict {
  if (major >= OLDEST_POSTGRESQL) return ok(`PostgreSQL ${major}`);
  return failed(`PostgreSQL ${major} is too old: use ${OLDEST_POSTGRESQL} or later`);
}

export function judgeNotices(heard: boolean): Verdict {
  if (heard) return ok('a NOTIFY arrives');
  return warning(
    `no NOTIFY arrived in ${NOTICE_TIMEOUT_MS / 1000} s, so that servers hear of new keys only by polling: give CELLPASS_DATABASE_URL PostgreSQL itself, or a pooler in session mode`,
  );
}

export function judgeMigrations(pending: readonly string[], mayMigrate: boolean): Verdict {
  if (pending.length === 0) return ok('all are applied');
  const names = pending.join(', ');
  if (mayMigrate) return ok(`the next start applies ${names}`);
  return failed(`CELLPASS_MIGRATE is false, and ${names} are pending: run "cellpass migrate"`);
}

export function judgeCell(configured: number, stored: number | null): Verdict {
  if (stored === null || stored === configured) return ok(`${configured}`);
  return failed(
    `CELLPASS_CELL is ${configured}, but the database belongs to cell ${stored}: set CELLPASS_CELL=${stored}, or use this cell's own database`,
  );
}
