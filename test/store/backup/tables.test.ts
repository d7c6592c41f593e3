import assert from 'node:assert/strict';
import { BACKED_UP, LEFT_OUT } from '../../../src/store/backup/tables.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';

describe('the tables of a backup', () => {
  it('are all tables of the database but those that are left out on purpose', async () => {
    const database = openPostgres(await (await sharedPostgres()).createMigratedDatabase());
    try {
      const rows = await database.query<{ name: string }>(
        `SELECT relname::text AS name FROM pg_class
         WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`,
      );
      const expected = [...BACKED_UP.map(({ name }) => name), ...Object.keys(LEFT_OUT)];
      const stored = rows.map(({ name }) => name).filter((name) => !/^issued_tokens_/.test(name));
      assert.deepEqual(
        stored.sort(),
        expected.sort(),
        'put each new table into BACKED_UP or LEFT_OUT of src/store/backup/tables.ts',
      );
    } finally {
      await database.close();
    }
  });

  it('come after the tables that they refer to', async () => {
    const database = openPostgres(await (await sharedPostgres()).createMigratedDatabase());
    try {
      const rows = await database.query<{ child: string; parent: string }>(
        `SELECT conrelid::regclass::text AS child, confrelid::regclass::text AS parent FROM pg_constraint
         WHERE contype = 'f' AND conrelid <> confrelid`,
      );
      const names = BACKED_UP.map(({ name }) => name);
      for (const { child, parent } of rows.filter((row) => names.includes(row.child)))
        assert.ok(
          names.indexOf(parent) < names.indexOf(child) && names.includes(parent),
          `${child} refers to ${parent}`,
        );
    } finally {
      await database.close();
    }
  });
});
