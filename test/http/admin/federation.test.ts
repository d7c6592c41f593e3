import assert from 'node:assert/strict';
import request from 'supertest';
import { createMemoryIssuer, type MemoryIssuer } from '../../support/federation/issuer.ts';
import { type FederationFile, writeFederation } from '../../support/federation/settings.ts';
import { type GitlabTestServer, startGitlabServer } from '../../support/gitlab/server.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PUSH = 'repository:acme/api:push';
const IDENTITIES = [
  {
    name: 'both',
    issuer: 'ci',
    account: 'release-bot',
    scopes: ['write_registry'],
    claims: { sub: 'both', ref: 'main' },
  },
  {
    name: 'other',
    issuer: 'ci',
    account: 'release-bot',
    scopes: ['write_registry'],
    claims: { sub: 'other', ref: ['main', 'next'], env: 'prod' },
  },
  {
    name: 'twice',
    issuer: 'ci',
    account: 'release-bot',
    scopes: ['write_registry'],
    claims: { sub: 'both', twice: 'x' },
  },
];
const PEOPLE = {
  users: [{ username: 'release-bot', id: 1, kind: 'service_account' }],
  groups: [{ path: 'acme', id: 10 }],
  projects: [{ path: 'acme/api', id: 100, members: [{ user: 'release-bot', role: 'developer' }] }],
};

interface Case {
  readonly server: TestServer;
  readonly issuer: MemoryIssuer;
}

/** The same for both kinds of directory. */
function describeQuestions(given: () => Case): void {
  const explain = async (claims: Record<string, unknown>, header: Record<string, unknown> = {}) => {
    const id_token = await given().issuer.sign(claims, header);
    const { body } = await request(given().server.admin)
      .post('/admin/v1/explain')
      .send({ id_token, scopes: [PUSH] })
      .expect(200);
    return body;
  };

  it('lists issuers with their keys, and identities in pages', async () => {
    const { server, issuer } = given();
    const { body } = await request(server.admin).get('/admin/v1/federation/issuers').expect(200);
    const [one] = body.issuers;
    assert.deepEqual([one.name, one.issuer, one.must_pin], ['ci', issuer.settings.issuer, ['sub']]);
    const first = await request(server.admin).get('/admin/v1/federation/identities').query({ limit: 1 });
    assert.deepEqual([first.body.identities[0].name, first.body.next], ['both', 'both']);
    const second = await request(server.admin)
      .get('/admin/v1/federation/identities')
      .query({ limit: 1, after: 'both' });
    assert.deepEqual([second.body.identities[0].name, second.body.next], ['other', 'other']);
    const last = await request(server.admin).get('/admin/v1/federation/identities').query({ after: 'other' });
    assert.deepEqual([last.body.identities[0].name, last.body.next], ['twice', null]);
    const { account, claims, revoked_at } = first.body.identities[0];
    assert.deepEqual([account, claims, revoked_at], ['release-bot', IDENTITIES[0]!.claims, null]);
  });

  it('explains an ID token as a login would end', async () => {
    const { server, issuer } = given();
    const body = await explain({ sub: 'both', ref: 'main' });
    assert.deepEqual(
      [body.id_token.issuer, body.id_token.verified, body.id_token.identity, body.id_token.matched],
      ['ci', true, 'both', ['ref', 'sub']],
    );
    assert.deepEqual(
      body.access.map(({ actions }: { actions: string[] }) => actions),
      [['push']],
    );
    const answer = await server.ask({
      as: ['oidc', await issuer.sign({ sub: 'both', ref: 'main' })],
      scope: PUSH,
    });
    assert.deepEqual((await server.verify(answer.body.token)).access, body.access);
  });

  it('names the nearest identity and the first claim that differs', async () => {
    const { id_token, refusal } = await explain({ sub: 'other', ref: 'next', env: 'test' });
    assert.equal(refusal.reason, 'identity_unknown');
    assert.deepEqual(id_token.nearest, { identity: 'other', claim: 'env', pinned: 'prod', actual: 'test' });
    const missing = await explain({ sub: 'both' });
    assert.deepEqual(missing.id_token.nearest, {
      identity: 'both',
      claim: 'ref',
      pinned: 'main',
      actual: null,
    });
    const list = await explain({ sub: 'other', env: 'prod', ref: 'x' });
    assert.equal(list.id_token.nearest.pinned, 'main or next');
  });

  it('names all identities that match, of which there must be one', async () => {
    const { refusal, id_token } = await explain({ sub: 'both', ref: 'main', twice: 'x' });
    assert.equal(refusal.reason, 'identity_ambiguous');
    assert.deepEqual([id_token.identity, ...id_token.also].sort(), ['both', 'twice']);
    assert.equal((await explain({ sub: 'both', ref: 'main' })).id_token.also, undefined);
  });

  it('says why an ID token is refused, also before an identity is looked for', async () => {
    const unsigned = await explain({ iss: 'https://evil.example.com' });
    assert.deepEqual(
      [unsigned.refusal.reason, unsigned.id_token.issuer, unsigned.id_token.verified],
      ['id_token_issuer', null, false],
    );
    assert.equal((await explain({}, { kid: 'x' })).refusal.reason, 'id_token_key');
    const { body } = await request(given().server.admin)
      .post('/admin/v1/explain')
      .send({ id_token: 'text', scopes: [] });
    assert.deepEqual([body.refusal.reason, body.id_token.alg], ['id_token_malformed', null]);
  });

  it('explains an identity by its name', async () => {
    const { server } = given();
    const ask = (as: string) =>
      request(server.admin)
        .post('/admin/v1/explain')
        .send({ as, scopes: [PUSH] });
    const { body } = await ask('identity:both').expect(200);
    assert.deepEqual([body.subject.name, body.access[0].actions], ['release-bot', ['push']]);
    await ask('identity:nobody').expect(404);
  });

  it('takes either a subject or an ID token', async () => {
    const { server } = given();
    const post = (body: object) =>
      request(server.admin)
        .post('/admin/v1/explain')
        .send({ scopes: [], ...body });
    await post({}).expect(422);
    await post({ as: 'anonymous', id_token: 'x' }).expect(422);
    await post({ id_token: 'x', token_scopes: ['api'] }).expect(422);
  });

  it('revokes an identity and restores it', async () => {
    const { server, issuer } = given();
    const ask = async () => {
      const text = await issuer.sign({ sub: 'both', ref: 'main' });
      return (await server.ask({ as: ['oidc', text], scope: PUSH })).status;
    };
    await request(server.admin).post('/admin/v1/federation/identities/both/revoke').expect(200);
    assert.equal(await ask(), 401);
    const { body } = await request(server.admin).get('/admin/v1/federation/identities');
    assert.notEqual(body.identities[0].revoked_at, null);
    assert.equal((await explain({ sub: 'both', ref: 'main' })).refusal.reason, 'identity_revoked');
    await request(server.admin).post('/admin/v1/federation/identities/both/restore').expect(200);
    assert.equal(await ask(), 200);
  });

  it('revokes one ID token', async () => {
    const { server, issuer } = given();
    const text = await issuer.sign({ sub: 'both', ref: 'main', jti: 'stolen' });
    await request(server.admin)
      .post('/admin/v1/federation/id-tokens/revoke')
      .send({ issuer: 'ci', jti: 'stolen' })
      .expect(200);
    assert.equal((await server.ask({ as: ['oidc', text], scope: PUSH })).status, 401);
  });
}

describe('questions about ID tokens, on the own directory', () => {
  let issuer: MemoryIssuer;
  let file: FederationFile;
  let server: TestServer;
  before(async () => {
    issuer = await createMemoryIssuer();
    file = writeFederation([issuer]);
    server = await startTestServer({
      environment: file.environment,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    await server.apply({ ...PEOPLE, federated_identities: IDENTITIES });
  });
  after(async () => {
    await server.close();
    file.remove();
  });
  describeQuestions(() => ({ server, issuer }));

  it('name an identity that pins less than its issuer demands now', async () => {
    await server.database.query(
      `UPDATE federated_identities SET claims = '{"env": "prod"}' WHERE name = 'other'`,
    );
    const id_token = await issuer.sign({ sub: 'other', env: 'prod' });
    const { body } = await request(server.admin)
      .post('/admin/v1/explain')
      .send({ id_token, scopes: [PUSH] });
    assert.equal(body.refusal.reason, 'identity_unknown');
    assert.deepEqual(body.id_token.nearest, { identity: 'other', claim: 'sub', pinned: '', actual: 'other' });
    await server.apply({ ...PEOPLE, federated_identities: IDENTITIES });
  });
});

describe("questions about ID tokens, on a GitLab's database", () => {
  let issuer: MemoryIssuer;
  let file: FederationFile;
  let server: GitlabTestServer;
  before(async () => {
    issuer = await createMemoryIssuer();
    const missing = { ...IDENTITIES[0], name: 'ghost', account: 'ghost', claims: { sub: 'ghost' } };
    const mail = {
      ...IDENTITIES[0],
      name: 'by-mail',
      account: 'dev@example.com',
      claims: { sub: 'by-mail' },
    };
    file = writeFederation([issuer], { federation: { identities: IDENTITIES } });
    ghosts = writeFederation([issuer], { federation: { identities: [missing, mail] } });
    server = await startGitlabServer({
      environment: file.environment,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    await server.apply({
      ...PEOPLE,
      users: [...PEOPLE.users, { username: 'dev', id: 2, email: 'dev@example.com' }],
    });
  });
  let ghosts: FederationFile;
  after(async () => {
    await server.close();
    file.remove();
    ghosts.remove();
  });
  describeQuestions(() => ({ server, issuer }));

  it('exchanges nothing: GitLab makes the tokens of its users', async () => {
    await request(server.app)
      .post('/jwt/auth')
      .type('form')
      .send({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        subject_token: await issuer.sign({ sub: 'both', ref: 'main' }),
      })
      .expect(404);
  });

  it('takes an account by its name alone', async () => {
    const other = await startTestServer({
      environment: { ...server.environment, ...ghosts.environment },
      gitlab: server.databases,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    for (const sub of ['ghost', 'by-mail'])
      assert.equal((await other.ask({ as: ['oidc', await issuer.sign({ sub })], scope: PUSH })).status, 401);
    await other.close();
  });

  it('stops taking a user whom GitLab blocks, from the next request on', async () => {
    const text = await issuer.sign({ sub: 'both', ref: 'main' });
    const ask = async () => (await server.ask({ as: ['oidc', text], scope: PUSH })).status;
    assert.equal(await ask(), 200);
    await server.world.query("UPDATE users SET state = 'blocked' WHERE username = 'release-bot'");
    await server.copy();
    assert.equal(await ask(), 401);
    await server.world.query("UPDATE users SET state = 'active' WHERE username = 'release-bot'");
    await server.copy();
  });
});
