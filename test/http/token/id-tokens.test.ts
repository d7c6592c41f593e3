import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import request from 'supertest';
import { createMasterKey, type MasterKey } from '../../../src/keys/master-key.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { createMemoryIssuer, type MemoryIssuer } from '../../support/federation/issuer.ts';
import { type FederationFile, writeFederation } from '../../support/federation/settings.ts';
import { readMetrics } from '../../support/metrics.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PULL = 'repository:acme/api:pull';
const PUSH = 'repository:acme/api:pull,push';

const DIRECTORY = {
  users: [
    { username: 'alice', password: 'correct horse battery' },
    { username: 'release-bot', kind: 'service_account' },
    { username: 'gone-bot', kind: 'service_account', state: 'blocked' },
  ],
  groups: [{ path: 'acme' }],
  projects: [
    { path: 'acme/api', members: [{ user: 'release-bot', role: 'developer' }] },
    {
      path: 'acme/web',
      members: [{ user: 'release-bot', role: 'developer' }],
      protected_repositories: [{ pattern: 'acme/web/prod*', minimum_role_for_push: 'owner' }],
    },
  ],
  federated_identities: [
    identity(
      'release',
      { sub: 'release' },
      { account: 'release-bot', scopes: ['read_registry', 'write_registry'] },
    ),
    identity('reader', { sub: 'reader' }, { account: 'release-bot', scopes: ['read_registry'] }),
    identity('bot', { sub: 'bot' }, { project: 'acme/web', role: 'developer', scopes: ['read_registry'] }),
    identity('blocked', { sub: 'blocked' }, { account: 'gone-bot' }),
    identity('expired', { sub: 'expired' }, { account: 'release-bot', expires_at: '2020-01-01' }),
    identity('wide', { sub: ['both', 'wide'] }, { account: 'release-bot' }),
    identity('narrow', { sub: 'both', ref: 'main' }, { account: 'release-bot' }),
    identity('revoked', { sub: 'revoked' }, { account: 'release-bot' }),
  ],
};

function identity(name: string, claims: object, more: object): object {
  return { name, issuer: 'ci', claims, scopes: ['read_registry'], ...more };
}

describe('an ID token as the password', () => {
  let issuer: MemoryIssuer;
  let file: FederationFile;
  let server: TestServer;
  let masterKey: MasterKey;
  let url: string;
  before(async () => {
    issuer = await createMemoryIssuer();
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
    await request(server.admin).post('/admin/v1/federation/identities/revoked/revoke').expect(200);
  });
  after(async () => {
    await server.close();
    file.remove();
  });
  const ask = async (claims: Record<string, unknown>, scope = PULL, username = 'oidc') =>
    server.ask({ as: [username, await issuer.sign(claims)], scope });
  const lastLine = () => server.log.filter((line) => line['path'] === '/jwt/auth').at(-1)!;

  it('gets what its identity may have, in the name of the account', async () => {
    const { body, status } = await ask({ sub: 'release' }, PUSH);
    assert.equal(status, 200);
    const claims = await server.verify(body.token);
    assert.equal(claims.sub, 'release-bot');
    assert.equal(claims.auth_type, 'personal_access_token');
    assert.deepEqual(
      claims.access.map(({ actions }) => actions),
      [['pull', 'push']],
    );
  });

  it('gets no more than the scopes of its identity allow', async () => {
    const { body } = await ask({ sub: 'reader' }, PUSH);
    const claims = await server.verify(body.token);
    assert.deepEqual(
      claims.access.map(({ actions }) => actions),
      [['pull']],
    );
  });

  it('gets what the role of its bot allows, there and nowhere else', async () => {
    const { body } = await ask({ sub: 'bot' }, `repository:acme/web:pull ${PULL}`);
    const claims = await server.verify(body.token);
    assert.match(String(claims.sub), /^project_\d+_bot_[0-9a-f]{32}$/);
    assert.deepEqual(
      claims.access.map(({ name }) => name),
      ['acme/web'],
    );
  });

  it('is subject to protected repositories', async () => {
    const { status, body } = await ask({ sub: 'release' }, 'repository:acme/web/prod:push');
    assert.deepEqual([status, body.errors[0].code], [403, 'DENIED']);
  });

  it('gets a token that ends with it', async () => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const { body } = await ask({ sub: 'release', exp });
    assert.equal((await server.verify(body.token)).exp, exp);
  });

  it('may come several times, by GET and by POST', async () => {
    const text = await issuer.sign({ sub: 'release', jti: 'again' });
    for (let i = 0; i < 3; i++)
      assert.equal((await server.ask({ as: ['oidc', text], scope: PULL })).status, 200);
    const form = { grant_type: 'password', service: 'container_registry', username: 'oidc', password: text };
    await request(server.app).post('/jwt/auth').type('form').send(form).expect(200);
  });

  const names: [username: string, status: number, reason?: string][] = [
    ['oidc', 200],
    ['OIDC', 200],
    ['release-bot', 200],
    ['Release-Bot', 200],
    ['alice', 401, 'identity_username'],
    ['', 401, 'identity_username'],
    ['gitlab-ci-token', 401, 'identity_username'],
  ];
  for (const [username, status, reason] of names) {
    it(`with the user name "${username}": ${status}`, async () => {
      const answer = await ask({ sub: 'release' }, PULL, username);
      assert.equal(answer.status, status);
      if (reason !== undefined) assert.equal(lastLine()['reason'], reason);
    });
  }

  const refused: [what: string, claims: Record<string, unknown>, reason: string][] = [
    ['of a subject that nobody pinned', { sub: 'stranger' }, 'identity_unknown'],
    ['of a subject with a wildcard', { sub: '*' }, 'identity_unknown'],
    ['that lacks a pinned claim', { sub: undefined }, 'identity_unknown'],
    ['that matches two identities', { sub: 'both', ref: 'main' }, 'identity_ambiguous'],
    ['of an identity that expired', { sub: 'expired' }, 'identity_expired'],
    ['of an identity that is revoked', { sub: 'revoked' }, 'identity_revoked'],
    ['of a blocked account', { sub: 'blocked' }, 'account_blocked'],
    ['for another audience', { sub: 'release', aud: 'https://other.example.com' }, 'id_token_audience'],
    [
      'of an issuer that is not configured',
      { sub: 'release', iss: 'https://evil.example.com' },
      'id_token_issuer',
    ],
    ['that ended', { sub: 'release', exp: 1 }, 'id_token_expired'],
  ];
  for (const [what, claims, reason] of refused) {
    it(`${what} is refused like a wrong password, and the reason is in the log`, async () => {
      const { status, body } = await ask(claims);
      assert.deepEqual([status, body.errors[0].message], [401, 'invalid username or password']);
      assert.equal(lastLine()['reason'], reason);
    });
  }

  it('that matches two identities by one only is accepted', async () => {
    assert.equal((await ask({ sub: 'both' })).status, 200);
  });

  it('of no form of a JWT is refused before anything is asked, whatever the password of the account', async () => {
    for (const password of ['correct horse battery', 'a.b.c', 'eyJhbGciOiJub25lIn0.e30.']) {
      const answer = await server.ask({ as: ['oidc', password], scope: PULL });
      assert.deepEqual([answer.status, lastLine()['reason']], [401, 'id_token_malformed']);
    }
  });

  it("of this server's own is refused", async () => {
    const { body } = await ask({ sub: 'release' });
    const answer = await server.ask({ as: ['oidc', body.token], scope: PULL });
    assert.equal(answer.status, 401);
  });

  it('leaves passwords and access tokens as they are', async () => {
    assert.equal((await server.ask({ as: ['alice', 'correct horse battery'] })).status, 200);
    const { body } = await request(server.admin)
      .post('/admin/v1/tokens')
      .send({ kind: 'personal', user: 'release-bot', scopes: ['read_registry'] });
    assert.equal((await server.ask({ as: ['oidc', body.token], scope: PULL })).status, 200);
  });

  it('is named in the log and in the audit record by its parts, and never itself', async () => {
    const jti = randomUUID();
    const text = await issuer.sign({ sub: 'release', jti });
    const { headers } = await server.ask({ as: ['oidc', text], scope: PULL });
    const { identity: name, credential, identity_issuer, identity_subject, identity_jti } = lastLine();
    assert.deepEqual(
      [name, credential, identity_issuer, identity_subject, identity_jti],
      ['release', 'identity-release', 'ci', 'release', jti],
    );
    const { body } = await request(server.admin)
      .get('/admin/v1/issued-tokens')
      .query({ subject: 'release-bot' });
    const record = body.tokens.find(
      (one: { request_id: string }) => one.request_id === headers['x-request-id'],
    );
    assert.deepEqual(
      [
        record.identity,
        record.credential,
        record.identity_issuer,
        record.identity_subject,
        record.identity_jti,
      ],
      ['release', 'identity-release', 'ci', 'release', jti],
    );
    const everything = JSON.stringify(server.log) + JSON.stringify(body);
    for (const part of text.split('.')) assert.ok(!everything.includes(part));
  });

  it('that is refused is named in the log only if its signature is right', async () => {
    await ask({ sub: 'stranger', jti: 'j-7' });
    assert.deepEqual([lastLine()['identity_subject'], lastLine()['identity_jti']], ['stranger', 'j-7']);
    const [header, payload] = (await issuer.sign({ sub: 'forged' })).split('.');
    await server.ask({ as: ['oidc', `${header}.${payload}.AAAA`], scope: PULL });
    assert.deepEqual(
      [lastLine()['reason'], lastLine()['identity_subject']],
      ['id_token_signature', undefined],
    );
  });

  it('is counted by its issuer and by what came of it; a stranger by no name of its own', async () => {
    const before = await readMetrics(server.admin);
    await ask({ sub: 'release' });
    await ask({ sub: 'stranger' });
    await ask({ sub: 'release', iss: 'https://evil.example.com' });
    const after = await readMetrics(server.admin);
    const grown = (labels: string): number => {
      const name = `cellpass_federated_logins_total{${labels}}`;
      return (after.get(name) ?? 0) - (before.get(name) ?? 0);
    };
    assert.deepEqual(
      [
        grown('issuer="ci",outcome="accepted"'),
        grown('issuer="ci",outcome="identity_unknown"'),
        grown('issuer="unknown",outcome="id_token_issuer"'),
      ],
      [1, 1, 1],
    );
    assert.ok(![...after.keys()].some((name) => name.includes('evil')));
    assert.equal(after.get('cellpass_federation_keys{issuer="ci"}'), 1);
  });

  it('is refused from the next request on after its identity was removed', async () => {
    const short = identity('short', { sub: 'short' }, { account: 'release-bot' });
    await server.apply({ federated_identities: [short] });
    assert.equal((await ask({ sub: 'short' })).status, 200);
    await server.apply(DIRECTORY, { prune: true });
    assert.equal((await ask({ sub: 'short' })).status, 401);
  });

  it('is refused where its identity does not pin what the issuer demands by now', async () => {
    const { name, issuer: iss, keys } = issuer.settings;
    const entry = { issuer: iss, jwks_uri: keys.jwksUri, must_pin: ['sub', 'repository_id'] };
    const strict = writeFederation([], { federation: { issuers: { [name]: entry } } });
    const other = await startTestServer({
      environment: strict.environment,
      masterKey,
      openDatabase: async () => openPostgres(url),
      fetchKeys: (one) => issuer.fetchKeys(one),
    });
    const text = await issuer.sign({ sub: 'release', repository_id: '1' });
    assert.equal((await other.ask({ as: ['oidc', text], scope: PULL })).status, 401);
    assert.equal((await server.ask({ as: ['oidc', text], scope: PULL })).status, 200);
    await other.close();
    strict.remove();
  });
});

describe('ID tokens and failed attempts', () => {
  let issuer: MemoryIssuer;
  let file: FederationFile;
  let server: TestServer;
  before(async () => {
    issuer = await createMemoryIssuer();
    file = writeFederation([issuer]);
    server = await startTestServer({
      environment: file.environment,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
      limits: { failedAttempts: { perAddress: 3, perAccount: 100, seconds: 180 } },
    });
    await server.apply(DIRECTORY);
  });
  after(async () => {
    await server.close();
    file.remove();
  });

  it('count, each refusal once, and stop no valid one', async () => {
    const ip = '203.0.113.9';
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) {
      const text = await issuer.sign({ sub: `guess-${i}` });
      statuses.push((await server.ask({ as: ['oidc', text], scope: PULL, ip })).status);
    }
    assert.deepEqual(statuses, [401, 401, 401, 429, 429]);
    const valid = await server.ask({ as: ['oidc', await issuer.sign({ sub: 'release' })], scope: PULL, ip });
    assert.equal(valid.status, 200);
  });
});

describe('ID tokens while their issuer is away', () => {
  it('are answered 503 with Retry-After, and count as no failed attempt', async () => {
    const issuer = await createMemoryIssuer();
    const file = writeFederation([issuer]);
    issuer.published = null;
    const server = await startTestServer({
      environment: file.environment,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
      limits: { failedAttempts: { perAddress: 2, perAccount: 2, seconds: 180 } },
    });
    await server.apply(DIRECTORY);
    const text = await issuer.sign({ sub: 'release' });
    for (let i = 0; i < 5; i++) {
      const { status, headers, body } = await server.ask({ as: ['oidc', text], scope: PULL });
      assert.deepEqual([status, headers['retry-after'], body.errors[0].code], [503, '30', 'UNAVAILABLE']);
    }
    const guess = await server.ask({ as: ['alice', 'glpat-nobody-has-this-secret'], scope: PULL });
    assert.equal(guess.status, 401);
    await server.close();
    file.remove();
  });
});

describe('a server without issuers', () => {
  it('takes an ID token for a wrong password', async () => {
    const issuer = await createMemoryIssuer();
    const server = await startTestServer();
    await server.apply({ users: [{ username: 'alice' }] });
    const { status } = await server.ask({ as: ['oidc', await issuer.sign()], scope: PULL });
    assert.equal(status, 401);
    assert.equal(issuer.fetches, 0);
    for (const path of ['issuers', 'identities'])
      await request(server.admin).get(`/admin/v1/federation/${path}`).expect(409);
    await server.close();
  });
});
