import assert from 'node:assert/strict';
import type { Sql } from '../../../src/store/database/drivers.ts';
import { allocateIds } from '../../../src/store/directory/ids.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const TAKEN = 3000;

describeOnBoth('allocating ids', (directory) => {
  /** New ids of job tokens, and how many statements they took. */
  async function allocate(count: number, above = 0): Promise<{ ids: readonly number[]; statements: number }> {
    let statements = 0;
    const ids = await directory.database.transaction((sql) => {
      const counting: Sql = {
        ...sql,
        query: (statement, params) => {
          statements += 1;
          return sql.query(statement, params);
        },
      };
      return allocateIds(counting, 'job_tokens', { above, count });
    });
    return { ids, statements };
  }

  /** Adds job tokens with given ids, as CI systems do, past the sequence. */
  async function take(from: number, to: number): Promise<void> {
    await directory.query(
      `INSERT INTO job_tokens (id, project_id, token_digest)
         SELECT n, (SELECT id FROM projects), sha256(n::text::bytea) FROM generate_series(${from}, ${to}) AS n`,
    );
  }

  beforeEach(async () => {
    await directory.apply({ groups: [{ path: 'g' }], projects: [{ path: 'g/p' }] });
    await directory.query('ALTER SEQUENCE job_tokens_id_seq RESTART');
  });

  it('gives the next ids of the sequence while these are free', async () => {
    assert.deepEqual((await allocate(2)).ids, [1, 2]);
    assert.deepEqual((await allocate(2)).ids, [3, 4]);
    assert.deepEqual((await allocate(0)).ids, []);
  });

  it('gives ids above the highest id of a document', async () => {
    assert.deepEqual((await allocate(2, 70)).ids, [71, 72]);
  });

  it('skips a few stored ids one by one', async () => {
    await take(2, 2);
    await take(4, 4);
    assert.deepEqual((await allocate(3)).ids, [1, 3, 5]);
  });

  it('jumps over stored ids in a few statements, however many there are', async () => {
    await take(2, TAKEN);
    const { ids, statements } = await allocate(3);
    assert.deepEqual(ids, [1, TAKEN + 1, TAKEN + 2]);
    assert.ok(statements <= 6, `${statements} statements`);
    assert.deepEqual((await allocate(1)).ids, [TAKEN + 3]);
  });

  it('never goes back, and never gives an id of bots and personal namespaces', async () => {
    await allocate(5);
    await take(6, 6);
    await take(1_000_000_000_000, 1_000_000_000_001);
    assert.deepEqual((await allocate(2)).ids, [7, 8]);
  });
});
