import assert from 'node:assert/strict';
import pg from 'pg';
import { assertRefused, makeSite, type Site, saying } from '../support/processes/site.ts';

/** The advisory lock of migrations, which every version of cellpass takes. */
const MIGRATION_LOCK = 7_021_001;

describe('a start on a database that another process migrates, or a newer version has migrated', () => {
  let site: Site;
  let other: pg.Client;
  before(async () => {
    site = await makeSite('postgresql');
    other = new pg.Client(site.env['CELLPASS_DATABASE_URL']);
    await other.connect();
  });
  after(async () => {
    await other.end();
    await site.remove();
  });

  it('says that it waits, and ends on SIGTERM', async () => {
    await other.query(`SELECT pg_advisory_lock(${MIGRATION_LOCK})`);
    const starting = site.start();
    await saying(starting, 'another process is migrating the database');
    starting.signal('SIGTERM');
    assert.equal(await starting.ended, 0);
    assert.doesNotMatch(starting.output(), /"msg":"listening"/);
  });

  it('goes on when the other process is done', async () => {
    const starting = site.start();
    await saying(starting, 'another process is migrating the database');
    await other.query(`SELECT pg_advisory_unlock(${MIGRATION_LOCK})`);
    await saying(starting, '"msg":"listening"');
    starting.signal('SIGTERM');
    assert.equal(await starting.ended, 0);
  });

  it('of an older version goes on with a warning if the newer migrations only add', async () => {
    await other.query("INSERT INTO schema_migrations (name, adds_only) VALUES ('9998-more', true)");
    for (const CELLPASS_MIGRATE of ['true', 'false']) {
      const server = await site.serve({ CELLPASS_MIGRATE });
      assert.match(server.child.output(), /"migrations":\["9998-more"\],"msg":"a newer cellpass/);
      assert.equal(await server.stop(), 0);
    }
  });

  it('of an older version is refused if a newer migration changes more', async () => {
    await other.query("INSERT INTO schema_migrations (name) VALUES ('9999-changes')");
    for (const CELLPASS_MIGRATE of ['true', 'false']) {
      assertRefused(
        await site.run(['serve'], { env: { CELLPASS_MIGRATE } }),
        '9999-changes',
        'newer cellpass',
      );
    }
  });
});
