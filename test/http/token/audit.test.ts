import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { decodeJwt } from 'jose';
import { createMasterKey, type MasterKey } from '../../../src/keys/master-key.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { readMetrics } from '../../support/metrics.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PULL = 'repository:acme/site:pull';

describe('the audit record', () => {
  let server: TestServer;
  let url: string;
  const start = (environment: Record<string, string> = {}) =>
    startTestServer({ environment, masterKey, openDatabase: async () => openPostgres(url) });
  let masterKey: MasterKey;
  before(async () => {
    masterKey = await createMasterKey(randomBytes(32), 'the test key');
    url = await (await sharedPostgres()).createMigratedDatabase();
    server = await start();
    await server.apply(ACME);
  });
  after(() => server.close());

  it('has each token that was issued, and to whom, when the server has ended', async () => {
    const other = await start();
    const before = Date.now();
    const { body, headers } = await other.ask({ as: LOGIN.api, scope: PULL, ip: '203.0.113.7' });
    await other.ask({ scope: PULL });
    await other.ask({ as: ['alice', 'guessed'], scope: PULL });
    await other.close();
    const rows = await server.database.query<Record<string, unknown>>(
      'SELECT * FROM issued_tokens ORDER BY subject DESC',
    );
    const claims = decodeJwt(body.token);
    const [first, second, ...more] = rows;
    const { issued_at, expires_at, ...rest } = first!;
    assert.deepEqual(rest, {
      jti: claims.jti,
      kid: server.keyring.active().kid,
      subject: claims.sub,
      auth_type: 'personal_access_token',
      service: 'container_registry',
      access: ['acme/site:pull'],
      address: '203.0.113.7',
      request_id: headers['x-request-id'],
      cell: 1,
      tokens: 1,
      last_jti: null,
      last_issued_at: null,
      identity: null,
      identity_issuer: null,
      identity_subject: null,
      identity_jti: null,
      credential: 'access-1',
    });
    assert.equal((expires_at as Date).getTime() / 1000, claims.exp);
    assert.ok((issued_at as Date).getTime() >= before);
    assert.deepEqual([second?.['subject'], second?.['auth_type'], more], ['', 'none', []]);
  });

  it('shows in the metrics', async () => {
    const other = await start();
    await other.ask({ scope: PULL });
    const samples = await readMetrics(other.admin);
    const waiting = samples.get('cellpass_audit_waiting')!;
    assert.equal(waiting + samples.get('cellpass_audit_written_total')!, 1);
    assert.equal(samples.get('cellpass_audit_lost_total{reason="buffer_full"}'), 0);
    await other.close();
  });
});
