import assert from 'node:assert/strict';
import type { ServiceSettings } from '../../../src/config/services.ts';
import { type Login, secret } from '../../support/directory/acme.ts';
import { clockAt } from '../../support/keys.ts';
import { claimsOf, headerOf, userOf } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const NOW = '2026-11-24T23:58:00.500Z';
const SECONDS = Date.parse('2026-11-24T23:58:00Z') / 1000;

const PLAIN: ServiceSettings = {
  name: 'container_registry',
  kid: 'libtrust',
  x5c: true,
  userClaim: true,
  tokenReuseSeconds: 0,
  issuedAt: false,
  expandStar: false,
  tokenTtlSeconds: 300,
  pushTtlSeconds: 300,
};
const SERVICES: readonly ServiceSettings[] = [
  PLAIN,
  { ...PLAIN, name: 'thumbprint', kid: 'thumbprint' },
  { ...PLAIN, name: 'bare', x5c: false },
  { ...PLAIN, name: 'untracked', userClaim: false },
  { ...PLAIN, name: 'dated', issuedAt: true },
  { ...PLAIN, name: 'words', expandStar: true },
  { ...PLAIN, name: 'slow', tokenTtlSeconds: 60, pushTtlSeconds: 1800 },
];

const TOKENS = {
  plain: secret('glpat-'),
  ending: secret('glpat-'),
  deploy: secret('gldt-'),
  job: secret('glcbt-'),
};
const AS = {
  plain: ['alice', TOKENS.plain],
  ending: ['alice', TOKENS.ending],
  deploy: ['puller', TOKENS.deploy],
  job: ['gitlab-ci-token', TOKENS.job],
} as const satisfies Record<string, Login>;

const DIRECTORY = {
  users: [{ username: 'alice' }],
  groups: [{ path: 'acme' }],
  projects: [
    { path: 'acme/app', members: [{ user: 'alice', role: 'maintainer' }] },
    { path: 'acme/trial', members: [{ user: 'alice', role: 'developer', expires_at: '2026-11-25' }] },
    {
      path: 'acme/site',
      visibility: 'public',
      members: [{ user: 'alice', role: 'developer', expires_at: '2026-11-25' }],
    },
  ],
  access_tokens: [
    { name: 'plain', kind: 'personal', user: 'alice', scopes: ['api'], token: TOKENS.plain },
    {
      name: 'ending',
      kind: 'personal',
      user: 'alice',
      scopes: ['api'],
      expires_at: '2026-11-25',
      token: TOKENS.ending,
    },
  ],
  deploy_tokens: [
    {
      username: 'puller',
      projects: ['acme/app'],
      scopes: ['read_registry'],
      expires_at: '2026-11-24T23:59:30Z',
      token: TOKENS.deploy,
    },
  ],
  job_tokens: [{ project: 'acme/app', user: 'alice', expires_at: '2026-11-24T23:58:30Z', token: TOKENS.job }],
};

describe('what a service says of its tokens', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ services: SERVICES, now: clockAt(NOW).now });
    await server.apply(DIRECTORY);
  });
  after(() => server.close());

  const issue = async (service: string, scope = 'repository:acme/app:pull', as: Login = AS.plain) => {
    const response = await server.ask({ as, scope, service });
    return { response, claims: await claimsOf(server, response, service), header: headerOf(response) };
  };

  it('its name is the audience', async () => {
    for (const { name } of SERVICES) assert.equal((await issue(name)).claims.aud, name);
  });

  it('kid: thumbprint names the key by RFC 7638, in the nested JWT too', async () => {
    const [active] = server.keyring.published().jwks.keys;
    const { header, claims } = await issue('thumbprint');
    assert.equal(header.kid, server.keyring.active().thumbprint);
    assert.equal(userOf(claims).header.kid, header.kid);
    assert.notEqual(header.kid, active?.kid);
    assert.equal((await issue('container_registry')).header.kid, active?.kid);
  });

  it('x5c: off leaves the certificate out', async () => {
    assert.deepEqual(Object.keys((await issue('bare')).header).sort(), ['alg', 'kid', 'typ']);
  });

  it('user_claim: off leaves the nested JWT out', async () => {
    assert.equal('user' in (await issue('untracked')).claims, false);
  });

  it('issued_at: on adds the time, in whole seconds and UTC', async () => {
    assert.equal((await issue('dated')).response.body.issued_at, '2026-11-24T23:58:00.000Z');
    assert.equal('issued_at' in (await issue('container_registry')).response.body, false);
  });

  it('expand_star: on puts the actions that * stands for into the token, for the service that says so', async () => {
    const scope = 'repository:acme/app:*';
    const actionsFor = async (service: string) => (await issue(service, scope)).claims.access[0]?.actions;
    assert.deepEqual(await actionsFor('words'), ['*', 'pull', 'push', 'delete']);
    assert.deepEqual(await actionsFor('container_registry'), ['*']);
    const { claims } = await issue('words', 'repository:acme/trial:*,pull');
    assert.deepEqual(claims.access[0]?.actions, ['pull']);
  });

  const lives: [scope: string, seconds: number][] = [
    ['repository:acme/app:pull', 60],
    ['repository:acme/app:delete', 60],
    ['repository:acme/app:pull,push', 1800],
    ['repository:acme/app:*', 1800],
    ['repository:acme/unknown:push', 60],
  ];
  for (const [scope, seconds] of lives) {
    it(`token_ttl_seconds 60 and push_ttl_seconds 1800: ${scope} lives for ${seconds} s`, async () => {
      const { claims, response } = await issue('slow', scope);
      assert.deepEqual([claims.exp, response.body.expires_in], [SECONDS + seconds, seconds]);
    });
  }

  const ends: [what: string, as: Login, scope: string, seconds: number][] = [
    ['its own life', AS.plain, 'repository:acme/app:pull', 300],
    ['the last midnight (UTC) of the access token', AS.ending, 'repository:acme/app:pull', 120],
    ['the end of the access token, even with nothing granted', AS.ending, '', 120],
    ['the end of the deploy token', AS.deploy, 'repository:acme/app:pull', 90],
    ['the end of the job token', AS.job, 'repository:acme/app:pull', 30],
    ['the end of the membership that gives the role', AS.plain, 'repository:acme/trial:pull', 120],
    [
      'the end of the first membership to end',
      AS.plain,
      'repository:acme/app:pull repository:acme/trial:push',
      120,
    ],
    ['its own life where no membership is needed', AS.plain, 'repository:acme/site:pull', 300],
    [
      'the end of the membership where only a part rests on it',
      AS.plain,
      'repository:acme/site:pull,push',
      120,
    ],
    ['its own life where the membership gave nothing', AS.plain, 'repository:acme/trial:delete', 300],
  ];
  for (const [what, as, scope, seconds] of ends) {
    it(`a token ends at ${what}`, async () => {
      const { claims, response } = await issue('container_registry', scope, as);
      assert.deepEqual([claims.exp, response.body.expires_in], [SECONDS + seconds, seconds]);
    });
  }
});
