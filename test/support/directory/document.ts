import assert from 'node:assert/strict';
import { type ApplyOptions, type ApplyResult, applyDirectory } from '../../../src/directory/apply.ts';
import { exportDirectory } from '../../../src/directory/export/directory.ts';
import { CellpassError, type Problem } from '../../../src/errors.ts';
import type { Database, Row } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { openTestPglite } from '../database/pglite.ts';
import { sharedPostgres } from '../database/postgres.ts';
import { emptyDirectory } from './empty.ts';

const NOW = new Date('2026-11-24T12:00:00Z');

/** An empty directory, filled by documents given as text or as the data they would hold. */
export interface TestDirectory {
  readonly database: Database;
  apply(document: string | object, options?: Partial<ApplyOptions>): Promise<ApplyResult>;
  /** The problems of a document; fails if there are none. */
  refusal(document: string | object, options?: Partial<ApplyOptions>): Promise<readonly Problem[]>;
  export(): Promise<string>;
  query(text: string): Promise<readonly Row[]>;
  /** How many passwords were hashed since the directory was emptied. */
  hashed(): number;
}

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', openPostgresInBerlin],
  ['PGlite', openTestPglite],
];

/** Opens a database in a time zone other than UTC, in which wrong dates and times show. */
async function openPostgresInBerlin(): Promise<Database> {
  const url = await (await sharedPostgres()).createMigratedDatabase();
  return openPostgres(`${url}?options=${encodeURIComponent('-c TimeZone=Europe/Berlin')}`);
}

/** Defines the same tests on both database drivers; each test starts with an empty directory. */
export function describeOnBoth(title: string, define: (directory: TestDirectory) => void): void {
  for (const [name, open] of DRIVERS) {
    describe(`${title}, on ${name}`, () => {
      let database: Database;
      let hashed = 0;
      before(async () => {
        database = await open();
      });
      beforeEach(async () => {
        hashed = 0;
        await emptyDirectory(database);
      });
      after(() => database.close());
      const passwords = {
        hash: async (password: string) => {
          hashed += 1;
          return `hash ${hashed} of ${password}`;
        },
        verify: async (hash: string | null, password: string) => hash?.endsWith(` of ${password}`) === true,
      };
      const apply: TestDirectory['apply'] = (document, options = {}) =>
        applyDirectory({ database, passwords, now: () => NOW }, toText(document), {
          prune: false,
          who: 'a test',
          ...options,
        });
      define({
        get database() {
          return database;
        },
        apply,
        refusal: (document, options) => problemsOf(apply(document, options)),
        export: () => exportDirectory(database),
        query: (text) => database.query(text),
        hashed: () => hashed,
      });
    });
  }
}

/** A document as JSON, which is YAML, too. */
function toText(document: string | object): string {
  return typeof document === 'string' ? document : JSON.stringify({ version: 1, ...document });
}

async function problemsOf(work: Promise<unknown>): Promise<readonly Problem[]> {
  const error = await work.then(
    () => assert.fail('the document was applied'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof CellpassError)) throw error;
  assert.equal(error.code, 'invalid');
  return error.details.problems ?? [];
}

/** The messages by path, for documents of one line. */
export function messages(problems: readonly Problem[]): Record<string, string> {
  return Object.fromEntries(problems.map(({ path, message }) => [path, message]));
}
