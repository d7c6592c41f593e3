import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import request from 'supertest';
import type { KeyHistory, KeyList, KeyOutcome } from '../../../src/http/types.ts';
import { createMasterKey, type MasterKey } from '../../../src/keys/master-key.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { type Relay, startRelay } from '../../support/database/relay.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const START = new Date('2026-11-24T10:00:00Z');
const PROPAGATION_MS = 300_000;
const DAY_MS = 24 * 3_600_000;

/**
 * Resolves when `isTrue`, which is asked again whenever something may have changed; fails with
 * mocha's time-out.
 */
async function eventually(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('two replicas on one PostgreSQL', () => {
  let databaseUrl: string;
  let masterKey: MasterKey;
  let one: TestServer;
  let two: TestServer;
  let relay: Relay;
  /** How much time has passed for both, and all that their clocks say. */
  let passedMs: number;
  const pass = (ms: number): void => {
    passedMs += ms;
  };

  beforeEach(async () => {
    passedMs = 0;
    databaseUrl = await (await sharedPostgres()).createMigratedDatabase();
    relay = await startRelay(databaseUrl);
    masterKey = await createMasterKey(randomBytes(32), 'the test key');
    const common = {
      masterKey,
      now: () => new Date(START.getTime() + passedMs),
      monotonicMs: () => passedMs,
    };
    one = await startTestServer({ ...common, openDatabase: async () => openPostgres(databaseUrl) });
    two = await startTestServer({ ...common, openDatabase: async () => openPostgres(relay.url) });
  });

  afterEach(async () => {
    await relay.mend();
    await one.close();
    await two.close();
    await relay.close();
  });

  const post = (server: TestServer, path: string, body: object = {}) =>
    request(server.admin).post(`/admin/v1/${path}`).set('Cellpass-Actor', 'alice').send(body);
  const list = async (server: TestServer): Promise<KeyList> =>
    (await request(server.admin).get('/admin/v1/keys').expect(200)).body;
  const activeOf = (server: TestServer): string => server.keyring.active().kid;

  it('both use a new state within a second, keys, entity tag and signatures together', async () => {
    const staged: KeyOutcome = (await post(one, 'keys/stage').expect(200)).body;
    const startedAt = performance.now();
    await eventually(() => two.keyring.published().jwks.keys.length === 4);
    await post(one, 'keys/activate', { force: true }).expect(200);
    assert.equal(activeOf(one), staged.activated ?? staged.staged);
    await eventually(() => activeOf(two) === staged.staged);
    assert.ok(performance.now() - startedAt < 1000);
    const [mine, theirs] = [one.keyring.published(), two.keyring.published()];
    assert.deepEqual([mine.body, mine.etag], [theirs.body, theirs.etag]);
  });

  it('both take turns: of two admins who rotate at once one does it, the other is told so', async () => {
    await post(one, 'keys/stage').expect(200);
    const { keys } = await list(one);
    const pending = keys.find(({ state }) => state === 'pending')!.kid;
    const answers = await Promise.all([
      post(one, 'keys/rotate', { force: true }),
      post(two, 'keys/rotate', { force: true }),
    ]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409]);
    const refused = answers.find(({ status }) => status === 409)!;
    assert.match(refused.body.errors[0].message, /has been active since|changed the keys meanwhile/);
    const after = await list(two);
    assert.deepEqual(after.keys.map(({ state }) => state).sort(), ['active', 'pending', 'retired']);
    assert.equal(after.keys.find(({ state }) => state === 'active')!.kid, pending);
  });

  it('nothing is half done when PostgreSQL is lost in the middle of a rotation', async () => {
    await post(one, 'keys/stage').expect(200);
    await two.keyring.refresh();
    const before = await list(one);
    // The lock is held elsewhere, so the rotation stands in its transaction when the connection goes.
    const holder = openPostgres(databaseUrl);
    try {
      let rotation: Promise<{ status: number }> | undefined;
      await holder.transaction(async (sql) => {
        await sql.query('SELECT pg_advisory_xact_lock(7021002)');
        rotation = post(two, 'keys/rotate', { force: true }).then((answer) => answer);
        const waiting = async (): Promise<boolean> => {
          const [row] = await holder.query<{ n: number }>(
            "SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
          );
          return (row?.n ?? 0) > 0;
        };
        while (!(await waiting()));
        await relay.cut();
      });
      assert.equal((await rotation!).status, 503);
    } finally {
      await holder.close();
    }
    assert.deepEqual(await list(one), before);
    await relay.mend();
    await post(two, 'keys/rotate', { force: true }).expect(200);
  });

  it('a replica whose key set is older than 10 s signs nothing and answers 503, and is well again by itself', async () => {
    const scope = 'repository:a/b:pull';
    await relay.cut();
    pass(10_000);
    await two.ask({ scope }).expect(503);
    pass(1);
    assert.throws(() => activeOf(two), { code: 'unavailable' });
    const answer = await two.ask({ scope }).expect(503);
    assert.equal(answer.body.errors[0].code, 'UNAVAILABLE');
    assert.ok(Number(answer.headers['retry-after']) >= 1);
    await relay.mend();
    await two.keyring.refresh();
    await two.ask({ scope }).expect(403);
  });

  it('rotate by themselves, one of them: staged in time, active when due, the next one staged', async () => {
    const everySecond = async (): Promise<void> => {
      await Promise.all([one.schedule.tick(), two.schedule.tick()]);
      await Promise.all([one.keyring.refresh(), two.keyring.refresh()]);
    };
    const statesNow = async (): Promise<readonly string[]> =>
      (await list(one)).keys.map(({ state }) => state).sort();
    await everySecond();
    assert.deepEqual(await statesNow(), ['active']);
    // Nobody was there for ten days after it was due: it is made up for at once, and no key signs before its time.
    pass(40 * DAY_MS);
    await Promise.all([one.keyring.refresh(), two.keyring.refresh()]);
    await everySecond();
    assert.deepEqual(await statesNow(), ['active', 'pending']);
    pass(PROPAGATION_MS - 1);
    await everySecond();
    assert.deepEqual(await statesNow(), ['active', 'pending']);
    pass(1);
    await everySecond();
    assert.deepEqual(await statesNow(), ['active', 'pending', 'retired']);
    assert.equal(activeOf(one), activeOf(two));
    const { body } = await request(one.admin).get('/admin/v1/keys/history').expect(200);
    const events: KeyHistory['events'] = body.events;
    assert.deepEqual(
      events.map(({ actor, action }) => `${actor}: ${action}`),
      ['schedule: stage', 'schedule: activate', 'schedule: stage', 'cellpass serve: first_start'],
    );
  });

  it('keep who did what, when and why', async () => {
    const kid = activeOf(one);
    await post(one, 'keys/revoke', { kid, reason: 'the backup tape was lost' }).expect(200);
    const { body } = await request(two.admin).get('/admin/v1/keys/history').expect(200);
    const [activated, revoked]: KeyHistory['events'] = body.events;
    assert.deepEqual(revoked, {
      at: START.toISOString(),
      actor: 'admin socket (alice)',
      action: 'revoke',
      subject: kid,
      reason: 'the backup tape was lost',
    });
    assert.deepEqual([activated?.action, activated?.reason], ['activate', `${kid} was revoked`]);
  });

  it('stop publishing a revoked key at once, and say until when registries may take what it signed', async () => {
    const kid = activeOf(one);
    await post(one, 'keys/revoke', { kid, reason: 'a test' }).expect(200);
    await eventually(() => activeOf(two) !== kid);
    for (const server of [one, two]) {
      assert.ok(server.keyring.published().jwks.keys.every((jwk) => jwk.kid !== kid));
    }
    const revoked = (await list(two)).keys.find((key) => key.kid === kid)!;
    assert.equal(revoked.state, 'revoked');
    assert.equal(revoked.next.at, new Date(START.getTime() + 48 * 3_600_000).toISOString());
    assert.deepEqual(revoked.issued, {
      from: START.toISOString(),
      until: START.toISOString(),
      tokens_end_at: new Date(START.getTime() + 600_000).toISOString(),
    });
  });

  it('tell Prometheus of keys and of what expires', async () => {
    const { text } = await request(one.admin)
      .get('/metrics')
      .expect(200)
      .expect('Content-Type', /text\/plain/);
    const { authorities, keys } = await list(one);
    const seconds = (iso: string): number => new Date(iso).getTime() / 1000;
    const lines = [
      'cellpass_signing_keys{state="active"} 1',
      'cellpass_signing_keys{state="pending"} 0',
      `cellpass_active_key_activated_timestamp_seconds ${seconds(keys[0]!.activated_at!)}`,
      `cellpass_active_key_certificate_expiry_timestamp_seconds ${seconds(keys[0]!.certificate!.not_after)}`,
      `cellpass_ca_expiry_timestamp_seconds{id="${authorities[0]!.id}",state="active"} ${seconds(authorities[0]!.not_after)}`,
    ];
    for (const line of lines) assert.ok(text.split('\n').includes(line), line);
  });

  it('refuse what the state forbids, and what is no such key, in one line each', async () => {
    const kid = activeOf(one);
    const rows: [path: string, body: object, status: number, message: RegExp][] = [
      ['keys/activate', {}, 409, /no key is pending: make one with "cellpass keys stage"/],
      ['keys/activate', { kid }, 409, /has been active since .*: there is nothing to do/],
      ['keys/retire', { kid }, 409, /use "cellpass keys rotate" to replace it/],
      ['keys/retire', { kid: 'none' }, 404, /no key has the id none/],
      ['keys/revoke', { kid }, 422, /reason/],
      ['keys/import', { key_pem: 'none' }, 422, /is not a private key in PEM/],
      ['keys/rotate', { sooner: true }, 422, /sooner/],
      ['authorities/activate', {}, 409, /no CA is pending/],
      ['authorities/discard', {}, 409, /no CA is pending/],
    ];
    for (const [path, body, status, message] of rows) {
      const answer = await post(one, path, body).expect(status);
      assert.match(answer.body.errors[0].message, message, path);
    }
    await post(one, 'keys/stage').expect(200);
    const early = await post(two, 'keys/activate').expect(409);
    assert.match(
      early.body.errors[0].message,
      /may sign in 300 s: wait, as "cellpass keys rotate --wait" does/,
    );
    const plan: KeyOutcome = (await post(two, 'keys/rotate', { dry_run: true, force: true }).expect(200))
      .body;
    assert.match(plan.message, /^would make .* active \(by force\), and stage the next key/);
    assert.equal(activeOf(one), kid);
  });
});
