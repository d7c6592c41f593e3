import assert from 'node:assert/strict';
import request from 'supertest';
import type { ServiceSettings } from '../../../src/config/services.ts';
import { type Login, secret } from '../../support/directory/acme.ts';
import { clockAt } from '../../support/keys.ts';
import { claimsOf } from '../../support/reading.ts';
import { type Ask, startTestServer, type TestServer } from '../../support/server.ts';

const START = '2026-11-24T12:00:00Z';
const REUSE_SECONDS = 120;
const TTL_SECONDS = 300;

const REUSING: ServiceSettings = {
  name: 'container_registry',
  kid: 'libtrust',
  x5c: true,
  userClaim: true,
  issuedAt: true,
  expandStar: false,
  tokenTtlSeconds: TTL_SECONDS,
  pushTtlSeconds: TTL_SECONDS,
  tokenReuseSeconds: REUSE_SECONDS,
};
const SERVICES = [
  REUSING,
  { ...REUSING, name: 'other' },
  { ...REUSING, name: 'each', tokenReuseSeconds: 0 },
  { ...REUSING, name: 'untracked', userClaim: false },
];

const SECRETS = {
  laptop: secret('glpat-'),
  desktop: secret('glpat-'),
  ending: secret('glpat-'),
  bob: secret('glpat-'),
  one: secret('gldt-'),
  other: secret('gldt-'),
};
const alice = (token: string): Login => ['alice', token];
const LAPTOP = alice(SECRETS.laptop);

const DIRECTORY = {
  users: [{ username: 'alice' }, { username: 'bob' }],
  groups: [{ path: 'acme' }],
  projects: ['app', 'site'].map((name) => ({
    path: `acme/${name}`,
    visibility: name === 'site' ? 'public' : 'private',
    members: ['alice', 'bob'].map((user) => ({ user, role: 'developer' })),
  })),
  access_tokens: [
    { name: 'laptop', kind: 'personal', user: 'alice', scopes: ['api'], token: SECRETS.laptop },
    { name: 'desktop', kind: 'personal', user: 'alice', scopes: ['api'], token: SECRETS.desktop },
    {
      name: 'ending',
      kind: 'personal',
      user: 'alice',
      scopes: ['api'],
      expires_at: '2026-11-25',
      token: SECRETS.ending,
    },
    { name: 'bob', kind: 'personal', user: 'bob', scopes: ['api'], token: SECRETS.bob },
  ],
  deploy_tokens: [
    { id: 1, username: 'puller', scopes: ['read_registry'], projects: ['acme/app'], token: SECRETS.one },
    { id: 2, username: 'puller', scopes: ['read_registry'], projects: ['acme/app'], token: SECRETS.other },
  ],
};

const PULL = 'repository:acme/app:pull';
const PUSH = 'repository:acme/app:pull,push';

describe('a service that gives tokens again', () => {
  const clock = clockAt(START);
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ services: SERVICES, now: clock.now });
    await server.apply(DIRECTORY);
  });
  // Nothing of one test is given again in the next.
  beforeEach(() => clock.advance(2 * TTL_SECONDS * 1000));
  after(() => server.close());

  const ask = async (as: Login | undefined, scope: string, more: Partial<Ask> = {}) => {
    const response = await server.ask({ ...(as && { as }), scope, ...more });
    assert.equal(response.status, 200, response.text);
    const claims = await claimsOf(server, response, more.service ?? 'container_registry');
    return { token: response.body.token as string, body: response.body, claims };
  };

  it('gives the same one for the same grant within the window, and says how long it still lives', async () => {
    const first = await ask(LAPTOP, PULL);
    clock.advance(REUSE_SECONDS * 1000);
    const second = await ask(LAPTOP, PULL);
    assert.equal(second.token, first.token);
    assert.equal(second.body.expires_in, TTL_SECONDS - REUSE_SECONDS);
    assert.equal(Date.parse(second.body.issued_at) - Date.parse(first.body.issued_at), REUSE_SECONDS * 1000);
    clock.advance(1000);
    const third = await ask(LAPTOP, PULL);
    assert.notEqual(third.token, first.token);
    assert.equal(third.body.expires_in, TTL_SECONDS);
  });

  const others: [what: string, as: Login | undefined, scope: string, service?: string][] = [
    ['another grant', LAPTOP, PUSH],
    ['another repository of the project', LAPTOP, 'repository:acme/app/image:pull'],
    ['another subject', ['bob', SECRETS.bob], PULL],
    ['another service', LAPTOP, PULL, 'other'],
    ['a service that gives each its own', LAPTOP, PULL, 'each'],
  ];
  for (const [what, as, scope, service] of others) {
    it(`gives another one for ${what}`, async () => {
      const [first, second] = [await ask(LAPTOP, PULL), await ask(as, scope, service ? { service } : {})];
      assert.notEqual(second.token, first.token);
      assert.notEqual(second.claims.jti, first.claims.jti);
    });
  }

  it('takes two deploy tokens of one name for two', async () => {
    const [one, other] = [
      await ask(['puller', SECRETS.one], PULL),
      await ask(['puller', SECRETS.other], PULL),
    ];
    assert.notEqual(one.token, other.token);
  });

  it('gives one to everybody for a public image', async () => {
    const scope = 'repository:acme/site:pull';
    assert.equal((await ask(undefined, scope)).token, (await ask(undefined, scope)).token);
  });

  it('takes two credentials of one user for the same subject, but never lets a token outlive its credential', async () => {
    clock.advance(Date.parse('2026-11-24T23:58:00Z') - clock.now().getTime());
    const first = await ask(LAPTOP, PULL);
    assert.equal((await ask(alice(SECRETS.desktop), PULL)).token, first.token);
    const ending = await ask(alice(SECRETS.ending), PULL);
    assert.notEqual(ending.token, first.token);
    assert.equal(ending.claims.exp, Date.parse('2026-11-25T00:00:00Z') / 1000);
  });

  it('gives none of the future after the clock was set back', async () => {
    // Both would end with the credential.
    clock.advance(Date.parse('2026-11-24T23:58:00Z') - clock.now().getTime());
    const first = await ask(alice(SECRETS.ending), PULL, { service: 'untracked' });
    clock.advance(-10_000);
    const second = await ask(alice(SECRETS.ending), PULL, { service: 'untracked' });
    assert.equal(second.claims.exp, first.claims.exp);
    assert.notEqual(second.token, first.token);
  });

  it('gives no token of a key that signs no more', async () => {
    // Without the nested JWT nothing else in the claims tells one key from another.
    const first = await ask(LAPTOP, PULL, { service: 'untracked' });
    for (const step of ['stage', 'rotate']) {
      await request(server.admin).post(`/admin/v1/keys/${step}`).send({ force: true }).expect(200);
    }
    const second = await ask(LAPTOP, PULL, { service: 'untracked' });
    assert.notEqual(second.token, first.token);
  });

  const revocations: [what: string, change: (directory: typeof DIRECTORY) => object, status: number][] = [
    [
      'the credential is revoked',
      (directory) => ({ access_tokens: [{ ...directory.access_tokens[0], revoked: true }] }),
      401,
    ],
    ['the user is blocked', () => ({ users: [{ username: 'alice', state: 'blocked' }] }), 401],
    ['the project is gone', ({ projects }) => ({ projects: [projects[1]] }), 200],
    [
      'the membership is gone',
      ({ projects }) => ({ projects: projects.map((project) => ({ ...project, members: [] })) }),
      200,
    ],
    ['the registry is off', () => ({ settings: { registry_enabled: false } }), 404],
  ];
  for (const [what, change, status] of revocations) {
    it(`security check 33: gives nothing again from the moment when ${what}`, async () => {
      const own = await startTestServer({ services: SERVICES });
      try {
        await own.apply(DIRECTORY);
        const before = await own.ask({ as: LAPTOP, scope: PULL }).expect(200);
        assert.equal((await own.ask({ as: LAPTOP, scope: PULL })).body.token, before.body.token);
        await own.apply(change(DIRECTORY), { prune: true });
        const after = await own.ask({ as: LAPTOP, scope: PULL }).expect(status);
        assert.notEqual(after.body.token, before.body.token);
        if (status === 200) assert.deepEqual((await claimsOf(own, after)).access, []);
      } finally {
        await own.close();
      }
    });
  }
});
