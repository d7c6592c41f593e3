import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import request from 'supertest';
import { readRoutableToken } from '../../../src/cells/routable-token.ts';
import { exchangeIdToken, type ProvenIdentity } from '../../../src/directory/tokens/exchange.ts';
import type { CellpassError } from '../../../src/errors.ts';
import { createMemoryIssuer, type MemoryIssuer } from '../../support/federation/issuer.ts';
import { type FederationFile, writeFederation } from '../../support/federation/settings.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PUSH = 'repository:acme/api:pull,push';
const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const START = new Date('2026-11-27T12:00:00Z').getTime();

const DIRECTORY = {
  users: [{ username: 'release-bot', kind: 'service_account' }],
  groups: [{ path: 'acme' }],
  projects: [{ path: 'acme/api', members: [{ user: 'release-bot', role: 'developer' }] }],
  federated_identities: [
    identity('release', { account: 'release-bot' }),
    identity('ends-soon', { account: 'release-bot', expires_at: '2026-11-28' }),
    identity('bot', { project: 'acme/api', role: 'developer' }),
    identity('revocable', { account: 'release-bot' }),
  ],
};

function identity(name: string, more: object): object {
  return { name, issuer: 'ci', claims: { sub: name }, scopes: ['read_registry', 'write_registry'], ...more };
}

describe('an ID token in exchange for an access token', () => {
  let issuer: MemoryIssuer;
  let file: FederationFile;
  let server: TestServer;
  let nowMs = START;
  const now = (): Date => new Date(nowMs);
  before(async () => {
    issuer = await createMemoryIssuer({ now });
    file = writeFederation([issuer], { federation: { exchange_ttl_seconds: 600 } });
    server = await startTestServer({
      environment: file.environment,
      now,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    await server.apply(DIRECTORY);
  });
  afterEach(() => {
    nowMs = START;
  });
  after(async () => {
    await server.close();
    file.remove();
  });
  const send = (form: object) =>
    request(server.app)
      .post('/jwt/auth')
      .type('form')
      .send({ grant_type: GRANT, subject_token_type: ID_TOKEN, ...form });
  const exchange = async (claims: Record<string, unknown> = { sub: 'release' }) =>
    send({ subject_token: await issuer.sign(claims) });
  const login = ({ username, access_token }: { username: string; access_token: string }) =>
    server.ask({ as: [username, access_token], scope: PUSH });

  it('is a routable token of the account, with the scopes of the identity', async () => {
    const { status, body, headers } = await exchange();
    assert.equal(status, 200);
    assert.equal(headers['cache-control'], 'no-store');
    const { access_token, ...rest } = body;
    const [token] = await server.database.query(
      'SELECT created_by FROM access_tokens WHERE identity_name IS NOT NULL',
    );
    assert.match(String(token?.['created_by']), /^identity-/);
    assert.deepEqual(rest, {
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Basic',
      expires_in: 600,
      username: 'release-bot',
    });
    const reading = readRoutableToken(access_token);
    assert.ok(reading.kind === 'routable' && reading.routing.c === 1n);
    const claims = await server.verify((await login(body)).body.token);
    assert.deepEqual([claims.sub, claims.access[0]?.actions], ['release-bot', ['pull', 'push']]);
  });

  it('outlives the ID token, and ends on its own moment', async () => {
    const { body } = await exchange({ sub: 'release', exp: START / 1000 + 30 });
    nowMs = START + 300_000;
    const { body: answer } = await login(body);
    assert.equal((await server.verify(answer.token)).exp, START / 1000 + 600);
    nowMs = START + 600_000 - 1;
    assert.equal((await login(body)).status, 200);
    nowMs = START + 600_000;
    assert.equal((await login(body)).status, 401);
  });

  it('ends with its identity', async () => {
    nowMs = new Date('2026-11-27T23:55:00Z').getTime();
    const { body } = await exchange({ sub: 'ends-soon' });
    assert.equal(body.expires_in, 300);
  });

  it('is for bots, too', async () => {
    const { body } = await exchange({ sub: 'bot' });
    assert.match(body.username, /^project_\d+_bot_/);
    assert.equal((await login(body)).status, 200);
  });

  it('is given once for each jti, also at the same moment', async () => {
    const subject_token = await issuer.sign({ sub: 'release' });
    const answers = await Promise.all(Array.from({ length: 5 }, () => send({ subject_token })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401, 401, 401, 401]);
    const again = await send({ subject_token });
    assert.deepEqual([again.status, again.body.error], [401, 'invalid_request']);
  });

  it('is not given without a jti', async () => {
    const { status, body } = await exchange({ sub: 'release', jti: undefined });
    assert.deepEqual([status, body.error], [401, 'invalid_request']);
    assert.equal(server.log.at(-1)?.['reason'], 'id_token_without_jti');
  });

  it('ignores scopes', async () => {
    const subject_token = await issuer.sign({ sub: 'release' });
    await send({ subject_token, scope: 'repository:elsewhere/x:pull repository:y/z:push' }).expect(200);
  });

  const wrong: [what: string, form: Record<string, unknown>, status: number][] = [
    ['another type of subject token', { subject_token_type: ACCESS_TOKEN }, 400],
    ['no type of subject token', { subject_token_type: undefined }, 400],
    ['no subject token', { subject_token: undefined }, 400],
    ['an empty subject token', { subject_token: '' }, 400],
    ['two subject tokens', { subject_token: ['a', 'b'] }, 400],
    ['an actor', { actor_token: 'x' }, 400],
    ['two actors', { actor_token: ['', ''] }, 400],
    ['two types of grant', { grant_type: [GRANT, 'password'] }, 400],
    ['no type of subject token but its name', { subject_token_type: '' }, 400],
    ['an actor without a value', { actor_token: '' }, 200],
    ['a type of answer without a value', { requested_token_type: '' }, 200],
    [
      'parameters that count for nothing',
      { audience: 'x', resource: 'https://x', username: 'alice', password: 'x' },
      200,
    ],
    ['another type of answer', { requested_token_type: ID_TOKEN }, 400],
    ['the type of answer that it gives', { requested_token_type: ACCESS_TOKEN }, 200],
    ['no JWT', { subject_token: 'text' }, 401],
    ['an access token', { subject_token: 'glpat-example-0000000000' }, 401],
    ['a text that is too long', { subject_token: 'x'.repeat(9000) }, 400],
  ];
  for (const [what, form, status] of wrong) {
    it(`with ${what}: ${status}, and the ID token is not used up`, async () => {
      const subject_token = await issuer.sign({ sub: 'release' });
      const given = Object.entries({ subject_token, ...form }).filter(([, value]) => value !== undefined);
      const answer = await request(server.app)
        .post('/jwt/auth')
        .type('form')
        .send({
          grant_type: GRANT,
          ...('subject_token_type' in form ? {} : { subject_token_type: ID_TOKEN }),
          ...Object.fromEntries(given),
        });
      assert.equal(answer.status, status);
      if (status === 200) return;
      assert.equal(answer.body.error, 'invalid_request');
      assert.equal(answer.body.error_description, answer.body.errors[0].message);
      await send({ subject_token }).expect(200);
    });
  }

  it('is refused for what would be refused at a login, and counts as a failed attempt', async () => {
    for (const claims of [
      { sub: 'stranger' },
      { sub: 'release', aud: 'https://other.example.com' },
      { sub: 'release', exp: 1 },
    ]) {
      const { status, body } = await exchange(claims);
      assert.deepEqual([status, body.errors[0].code, body.error], [401, 'UNAUTHORIZED', 'invalid_request']);
    }
  });

  it('is listed with its identity, and can be revoked', async () => {
    const { body } = await exchange();
    const list = await request(server.admin).get('/admin/v1/tokens').query({ user: 'release-bot' });
    const listed = list.body.tokens.filter((one: { identity?: string }) => one.identity === 'release').at(-1);
    assert.equal(listed.expires_at, new Date(START + 600_000).toISOString());
    assert.equal(listed.minted, true);
    await request(server.admin).post(`/admin/v1/tokens/${listed.id}/revoke`).expect(200);
    assert.equal((await login(body)).status, 401);
  });

  it('is not removed by a document', async () => {
    const { body } = await exchange();
    await server.apply({ ...DIRECTORY, access_tokens: [] }, { prune: true });
    assert.equal((await login(body)).status, 200);
  });

  it('says in the records which ID token it was given for', async () => {
    const jti = randomUUID();
    const { body } = await exchange({ sub: 'release', jti });
    const { headers } = await login(body);
    const line = server.log.find((one) => one['request_id'] === headers['x-request-id']);
    assert.deepEqual([line?.['identity'], line?.['identity_jti']], ['release', jti]);
    assert.ok(!JSON.stringify(server.log).includes(body.access_token));
  });

  it('ends when its identity is revoked, and stays ended when that is undone', async () => {
    const { body } = await exchange({ sub: 'revocable' });
    assert.equal((await login(body)).status, 200);
    const revoked = await request(server.admin).post('/admin/v1/federation/identities/revocable/revoke');
    assert.deepEqual(revoked.body, { name: 'revocable', revoked: true, ended_tokens: 1 });
    assert.equal((await login(body)).status, 401);
    assert.equal((await exchange({ sub: 'revocable' })).status, 401);
    await server.apply(DIRECTORY, { prune: true });
    assert.equal((await exchange({ sub: 'revocable' })).status, 401);
    await request(server.admin).post('/admin/v1/federation/identities/revocable/restore').expect(200);
    assert.equal((await login(body)).status, 401);
    assert.equal((await exchange({ sub: 'revocable' })).status, 200);
  });

  it('ends when its ID token is revoked, which is no longer taken as a password, either', async () => {
    const jti = randomUUID();
    const subject_token = await issuer.sign({ sub: 'release', jti });
    const { body } = await send({ subject_token });
    const asPassword = () => server.ask({ as: ['oidc', subject_token], scope: PUSH });
    assert.equal((await asPassword()).status, 200);
    const revoked = await request(server.admin)
      .post('/admin/v1/federation/id-tokens/revoke')
      .send({ issuer: 'ci', jti });
    assert.equal(revoked.body.ended_tokens, 1);
    assert.equal(revoked.body.kept_until, new Date(START + 86_430_000).toISOString());
    assert.deepEqual([(await login(body)).status, (await asPassword()).status], [401, 401]);
    const other = await issuer.sign({ sub: 'release' });
    assert.equal((await server.ask({ as: ['oidc', other], scope: PUSH })).status, 200);
  });

  it('of an ID token that is revoked before is refused', async () => {
    const jti = randomUUID();
    await request(server.admin)
      .post('/admin/v1/federation/id-tokens/revoke')
      .send({ issuer: 'ci', jti })
      .expect(200);
    assert.equal((await exchange({ sub: 'release', jti })).status, 401);
  });

  /** What the ID token of an identity proved before the directory changed. */
  const proofOf = async (name: string, more: Partial<ProvenIdentity> = {}): Promise<ProvenIdentity> => {
    const [user] = await server.database.query<{ readonly id: number }>(
      'SELECT user_id AS id FROM federated_identities WHERE name = $1',
      [name],
    );
    const jti = randomUUID();
    const claims = { sub: name, jti };
    return {
      idToken: {
        issuer: 'ci',
        claims,
        subject: name,
        jti,
        expiresAt: new Date(START + 60_000),
        mustPin: ['sub'],
      },
      identity: { name, issuer: 'ci', subject: name, jti },
      userId: user?.id ?? 0,
      scopes: ['read_registry', 'write_registry'],
      identityEnds: null,
      ...more,
    };
  };
  const exchangeProof = (proven: ProvenIdentity, awaited = new AbortController().signal): Promise<string> =>
    exchangeIdToken({ database: server.database, cell: 1, ttlSeconds: 600 }, proven, {
      now: now(),
      awaited,
    }).then(
      () => 'given',
      (error: CellpassError) => error.reason,
    );

  it('is not given to an identity that was revoked or removed while its ID token was verified', async () => {
    const ofRemoved = { ...(await proofOf('revocable')), identity: (await proofOf('removed')).identity };
    assert.equal(await exchangeProof(ofRemoved), 'identity_revoked');
    await request(server.admin).post('/admin/v1/federation/identities/revocable/revoke').expect(200);
    assert.equal(await exchangeProof(await proofOf('revocable')), 'identity_revoked');
    await request(server.admin).post('/admin/v1/federation/identities/revocable/restore').expect(200);
    assert.equal(await exchangeProof(await proofOf('revocable')), 'given');
  });

  const changes: [what: string, change: object][] = [
    ['has narrower scopes', { scopes: ['read_registry'] }],
    ['has wider scopes', { scopes: ['read_registry', 'write_registry', 'api'] }],
    ['pins another value', { claims: { sub: 'another' } }],
    ['pins one claim more', { claims: { sub: 'changing', ref: 'main' } }],
    ['ends', { expires_at: '2026-11-28' }],
    ['stands for another account', { account: 'other-bot' }],
  ];
  for (const [what, change] of changes) {
    it(`is not given when the identity ${what} since its ID token was verified`, async () => {
      const apply = (more: object) =>
        server.apply({
          ...DIRECTORY,
          users: [...DIRECTORY.users, { username: 'other-bot', kind: 'service_account' }],
          federated_identities: [
            ...DIRECTORY.federated_identities,
            { ...identity('changing', { account: 'release-bot' }), ...more },
          ],
        });
      await apply({});
      const [before, same] = [await proofOf('changing'), await proofOf('changing')];
      assert.equal(await exchangeProof(same), 'given');
      await apply(change);
      assert.equal(await exchangeProof(before), 'identity_unknown');
    });
  }

  it('is not given for an identity of another issuer or user than was proven', async () => {
    const proof = await proofOf('revocable');
    const ofOther = { ...proof, identity: { ...proof.identity, issuer: 'other' } };
    assert.equal(await exchangeProof(ofOther), 'identity_unknown');
    assert.equal(await exchangeProof({ ...proof, userId: 1_000_000 }), 'identity_unknown');
  });

  it('is not given while its user is being removed, and does not wait for that', async () => {
    const proof = await proofOf('revocable');
    await server.database.transaction(async (sql) => {
      await sql.query('SELECT FROM users WHERE id = $1 FOR UPDATE', [proof.userId]);
      assert.equal(await exchangeProof(proof), 'unavailable');
    });
    assert.equal(await exchangeProof(proof), 'given');
  });

  it('is not stored for a client that no longer waits, whose ID token can be exchanged again', async () => {
    const proof = await proofOf('revocable');
    assert.equal(await exchangeProof(proof, AbortSignal.abort()), 'client_gone');
    assert.deepEqual([await exchangeProof(proof), await exchangeProof(proof)], ['given', 'id_token_used']);
  });

  it('counts in the metrics by what came of it', async () => {
    const count = async (outcome: string): Promise<number> => {
      const { text } = await request(server.admin).get('/metrics');
      const line = new RegExp(
        `^cellpass_federated_logins_total\\{issuer="ci",outcome="${outcome}"\\} (\\d+)$`,
        'm',
      );
      return Number(line.exec(text)?.[1] ?? 0);
    };
    const subject_token = await issuer.sign({ sub: 'release' });
    const rows: [outcome: string, text: string][] = [
      ['accepted', subject_token],
      ['id_token_used', subject_token],
      ['id_token_without_jti', await issuer.sign({ sub: 'release', jti: undefined })],
      ['identity_unknown', await issuer.sign({ sub: 'nobody' })],
    ];
    for (const [outcome, text] of rows) {
      const before = [await count('accepted'), await count(outcome)] as const;
      await send({ subject_token: text });
      const grew = [(await count('accepted')) - before[0], (await count(outcome)) - before[1]];
      assert.deepEqual(grew, [outcome === 'accepted' ? 1 : 0, 1], outcome);
    }
  });

  it('counts each refusal as a failed attempt', async () => {
    const subject_token = await issuer.sign({ sub: 'release' });
    await send({ subject_token }).expect(200);
    const counted = async () => {
      const rows = await server.database.query<{ readonly failures: number }>(
        'SELECT coalesce(sum(points), 0) AS failures FROM failed_attempts',
      );
      return Number(rows[0]?.failures);
    };
    // A JWT of its own each: the same one again would be the same attempt.
    const sign = (claims: Record<string, unknown>) =>
      issuer.sign({ sub: 'release', unique: randomUUID(), ...claims });
    const refused: [what: string, token: string][] = [
      ['used', subject_token],
      ['without jti', await sign({ jti: undefined })],
      ['of another audience', await sign({ aud: 'https://other.example.com' })],
      ['of another issuer', await sign({ iss: 'https://evil.example.com' })],
    ];
    for (const [what, token] of refused) {
      const before = await counted();
      await send({ subject_token: token }).expect(401);
      assert.ok((await counted()) > before, what);
    }
  });

  it('takes no scopes, user name or password into account, however long they are', async () => {
    const more = {
      scope: Array.from({ length: 100 }, (_, n) => `repository:acme/x${n}:pull`).join(' '),
      username: 'x'.repeat(2000),
      password: 'x'.repeat(9000),
    };
    await send({ subject_token: await issuer.sign({ sub: 'release' }), ...more }).expect(200);
  });

  it('revocations name what does not exist', async () => {
    await request(server.admin).post('/admin/v1/federation/identities/nobody/revoke').expect(404);
    await request(server.admin).post('/admin/v1/federation/identities/release/restore').expect(404);
    await request(server.admin)
      .post('/admin/v1/federation/id-tokens/revoke')
      .send({ issuer: 'nobody', jti: 'x' })
      .expect(404);
  });
});

describe('a token exchange where nothing is exchanged', () => {
  it('is 404, and the ID token is read by nobody', async () => {
    const server = await startTestServer();
    const { status, body } = await request(server.app)
      .post('/jwt/auth')
      .type('form')
      .send({ grant_type: GRANT, subject_token_type: ID_TOKEN, subject_token: 'secret-text' });
    assert.deepEqual(
      [status, body.errors[0].code, body.error],
      [404, 'UNSUPPORTED', 'unsupported_grant_type'],
    );
    assert.ok(!JSON.stringify(server.log).includes('secret-text'));
    await server.close();
  });
});
