import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import request from 'supertest';
import { createMasterKey, type MasterKey } from '../../src/keys/master-key.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { createMemoryIssuer, type MemoryIssuer } from '../support/federation/issuer.ts';
import { type FederationFile, writeFederation } from '../support/federation/settings.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const PULL = 'repository:acme/api:pull';
const identity = (name: string, claims: object, issuer = 'ci') => ({
  name,
  issuer,
  account: 'bot',
  scopes: ['read_registry'],
  claims,
});
const DIRECTORY = {
  users: [{ username: 'bot', kind: 'service_account' }],
  groups: [{ path: 'acme' }],
  projects: [{ path: 'acme/api', members: [{ user: 'bot', role: 'reporter' }] }],
  federated_identities: [
    identity('job', { sub: 'job', repository_id: '1' }),
    identity('literal', { sub: 'repo:acme/*', repository_id: '2' }),
  ],
};

const json = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** What went wrong in other servers that take ID tokens. */
describe('login by ID tokens does not', () => {
  let issuer: MemoryIssuer;
  let file: FederationFile;
  let server: TestServer;
  let masterKey: MasterKey;
  let url: string;
  before(async () => {
    issuer = await createMemoryIssuer({ settings: { mustPin: ['repository_id'] } });
    file = writeFederation([issuer]);
    masterKey = await createMasterKey(randomBytes(32), 'the test key');
    url = await (await sharedPostgres()).createMigratedDatabase();
    server = await startTestServer({
      environment: file.environment,
      masterKey,
      openDatabase: async () => openPostgres(url),
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    await server.apply(DIRECTORY);
  });
  after(async () => {
    await server.close();
    file.remove();
  });
  const GOOD = { sub: 'job', repository_id: '1' };
  const status = async (text: string): Promise<number> =>
    (await server.ask({ as: ['oidc', text], scope: PULL })).status;
  const statusOf = async (claims: object, header: Record<string, unknown> = {}): Promise<number> =>
    status(await issuer.sign({ ...GOOD, ...claims }, header));
  const apply = (identities: readonly object[]) =>
    request(server.admin)
      .post('/admin/v1/directory')
      .type('application/yaml')
      .send(JSON.stringify({ version: 1, federated_identities: identities }));

  it('refuse a token that is right', async () => {
    assert.equal(await statusOf({}), 200);
  });

  it('forget to check the audience', async () => {
    for (const aud of [
      'https://other.example.com',
      undefined,
      null,
      [],
      {},
      true,
      ['x'],
      'container_registry',
    ])
      assert.equal(await statusOf({ aud }), 401, JSON.stringify(aud));
  });

  it('let a tenant name the issuer', async () => {
    const { body } = await apply([identity('mine', { repository_id: '1' }, 'evil')]).expect(422);
    assert.match(body.problems[0].message, /there is no issuer "evil"/);
    const evil = await createMemoryIssuer({ settings: { issuer: 'https://evil.example.com' } });
    assert.equal(await status(await evil.sign(GOOD)), 401);
    assert.equal(evil.fetches, 0);
  });

  it('take a shared issuer without a pin of its tenant', async () => {
    const { body } = await apply([identity('all', { sub: 'job' })]).expect(422);
    assert.match(body.problems[0].message, /must pin repository_id, because ci signs tokens of others, too/);
  });

  it('skip the check of an empty claim', async () => {
    for (const repository_id of ['', [], [''], null])
      await apply([identity('empty', { repository_id })]).expect(422);
    assert.equal(await statusOf({ repository_id: '' }), 401);
    assert.equal(await statusOf({ repository_id: undefined }), 401);
  });

  it('match by a name that another may take over', async () => {
    assert.equal(await statusOf({ repository: 'acme/api', repository_id: '999' }), 401);
  });

  it('match a fork, in which the claims of the project are those of the fork', async () => {
    assert.equal(await statusOf({ project_path: 'acme/api', repository_id: '4711' }), 401);
  });

  it('take the key from the header of the token', async () => {
    const other = await createMemoryIssuer({ settings: issuer.settings });
    const [jwk] = other.jwks.keys;
    for (const header of [
      { jwk },
      { jku: 'https://evil.example.com' },
      { x5c: ['MII'] },
      { x5u: 'https://evil.example.com' },
    ])
      assert.equal(await status(await other.sign(GOOD, header)), 401);
  });

  it('confuse algorithms', async () => {
    const [header = '', payload] = (await issuer.sign(GOOD)).split('.');
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString());
    assert.equal(await status(`${json({ alg: 'none', kid })}.${payload}.`), 401);
    assert.equal(await status(`${json({ alg: 'none', kid })}.${payload}.AA`), 401);
    const input = `${json({ alg: 'HS256', kid })}.${payload}`;
    const mac = createHmac('sha256', JSON.stringify(issuer.jwks.keys[0])).update(input).digest('base64url');
    assert.equal(await status(`${input}.${mac}`), 401);
  });

  it("take a token of this server's own, also where an issuer publishes its key", async () => {
    const { body } = await server.ask({ as: ['oidc', await issuer.sign(GOOD)], scope: PULL });
    assert.equal(await status(body.token), 401);
    issuer.published = { keys: [...issuer.jwks.keys, ...server.keyring.published().jwks.keys] };
    const strict = writeFederation([issuer]);
    const other = await startTestServer({
      environment: strict.environment,
      masterKey,
      openDatabase: async () => openPostgres(url),
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    // As an issuer would have to sign it: by the name of the issuer, but with the key of the server.
    const key = other.keyring.active();
    const [, payload] = (await issuer.sign(GOOD)).split('.');
    const input = `${json({ alg: 'RS256', kid: key.kid })}.${payload}`;
    const forged = `${input}.${key.sign(input).toString('base64url')}`;
    assert.equal((await other.ask({ as: ['oidc', forged], scope: PULL })).status, 401);
    assert.equal((await other.ask({ as: ['oidc', await issuer.sign(GOOD)], scope: PULL })).status, 200);
    issuer.published = issuer.jwks;
    await other.close();
    strict.remove();
  });

  it('fetch keys for each key id that somebody invents', async () => {
    const before = issuer.fetches;
    for (let i = 0; i < 50; i++) assert.equal(await statusOf({}, { kid: `invented-${i}` }), 401);
    assert.ok(issuer.fetches - before <= 1, String(issuer.fetches - before));
  });

  it('answer 401 while the issuer is away', async () => {
    const away = await createMemoryIssuer({ settings: { mustPin: ['sub'] } });
    away.published = null;
    const other = writeFederation([away]);
    const lonely = await startTestServer({
      environment: other.environment,
      fetchKeys: (entry) => away.fetchKeys(entry),
    });
    const answer = await lonely.ask({ as: ['oidc', await away.sign(GOOD)], scope: PULL });
    assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '30']);
    await lonely.close();
    other.remove();
  });

  it('read wildcards in a subject', async () => {
    assert.equal(await statusOf({ sub: 'repo:acme/api', repository_id: '2' }), 401);
    assert.equal(await statusOf({ sub: 'repo:acme/*', repository_id: '2' }), 200);
    assert.equal(await statusOf({ sub: '*' }), 401);
  });
});
