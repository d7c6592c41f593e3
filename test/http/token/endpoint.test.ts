import assert from 'node:assert/strict';
import { ACME, LOGIN, type Login, REFUSED_LOGINS } from '../../support/directory/acme.ts';
import { assertError, grantedBy } from '../../support/reading.ts';
import { type Ask, startTestServer, type TestServer } from '../../support/server.ts';

const MANY_SCOPES = Array.from({ length: 65 }, (_, i) => `repository:acme/app-${i}:pull`);
const WRONG: Login = ['alice', 'guessed'];

describe('the token endpoint', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply(ACME);
  });
  after(() => server.close());

  /** Puts `settings` in force while `work` runs. */
  async function withSettings(settings: object, work: () => Promise<void>): Promise<void> {
    await server.apply({ settings });
    try {
      await work();
    } finally {
      await server.apply({ settings: {} });
    }
  }

  describe('answers 401, with one message whatever the cause, to', () => {
    for (const [cause, as] of REFUSED_LOGINS) {
      it(cause, async () => {
        const response = await server.ask({ as, scope: 'repository:acme/site:pull' });
        assert.equal(assertError(response, 401, 'UNAUTHORIZED'), 'invalid username or password');
        assert.equal(response.headers['www-authenticate'], 'Basic realm="cellpass", charset="UTF-8"');
      });
    }

    it('a password while password authentication is off', async () => {
      await withSettings({ password_authentication: false }, async () => {
        assertError(await server.ask({ as: LOGIN.alice }), 401, 'UNAUTHORIZED');
        assert.equal((await server.ask({ as: LOGIN.api })).status, 200);
      });
    });

    it('each cause with the same headers and body, but for the id of the request', async () => {
      const answers = await Promise.all(
        REFUSED_LOGINS.map(async ([, as]) => {
          const { status, headers, text } = await server.ask({ as });
          const { 'x-request-id': id, date: _date, ...rest } = headers;
          return JSON.stringify([status, rest, text.replace(id ?? '', '')]);
        }),
      );
      assert.equal(new Set(answers).size, 1);
    });
  });

  const granted: [
    what: string,
    as: Login | undefined,
    scope: readonly string[],
    granted: readonly string[],
  ][] = [
    ['nothing asked', LOGIN.alice, [], []],
    ['all that was asked', LOGIN.alice, ['repository:acme/app:pull,push'], ['repository:acme/app:pull,push']],
    [
      'what an access token may have, behind the user name of jobs',
      LOGIN.apiAsJob,
      ['repository:acme/app:pull,push'],
      ['repository:acme/app:pull,push'],
    ],
    ['what the role allows', LOGIN.alice, ['repository:acme/base:pull,push'], ['repository:acme/base:pull']],
    [
      'what the credential allows',
      LOGIN.reader,
      ['repository:acme/app:push,pull'],
      ['repository:acme/app:pull'],
    ],
    ['a push without a pull', LOGIN.writer, ['repository:acme/app:pull,push'], ['repository:acme/app:push']],
    [
      'the one of two that may be had',
      LOGIN.alice,
      ['repository:acme/vault:pull', 'repository:acme/app:pull'],
      ['repository:acme/app:pull'],
    ],
    ['nothing of what was asked', LOGIN.alice, ['repository:acme/vault:pull,push'], []],
    ['nothing of an unknown project', LOGIN.alice, ['repository:acme/nothing:pull'], []],
    ['nothing for a scope that does not parse', LOGIN.alice, ['acme/app', '::', 'repository:acme/app'], []],
    ['nothing of an unknown type', LOGIN.alice, ['image:acme/app:pull'], []],
    ['what is public, to nobody', undefined, ['repository:acme/site:pull'], ['repository:acme/site:pull']],
    [
      'what is public, to nobody who also asks for more',
      undefined,
      ['repository:acme/site:pull,push', 'repository:acme/app:pull'],
      ['repository:acme/site:pull'],
    ],
  ];
  for (const [what, as, scope, expected] of granted) {
    it(`answers 200 with ${what}`, async () => {
      const response = await server.ask({ ...(as && { as }), scope });
      assert.deepEqual(await grantedBy(server, response), expected);
    });
  }

  const denied: [what: string, asked: Ask, message: RegExp][] = [
    ['a credential without a registry scope', { as: LOGIN.powerless }, /no registry scope/],
    [
      'a credential without a registry scope that asks for what is public',
      { as: LOGIN.powerless, scope: 'repository:acme/site:pull' },
      /no registry scope/,
    ],
    ['nobody who asks for nothing', {}, /^access forbidden$/],
    ['nobody who asks for what is private', { scope: 'repository:acme/app:pull' }, /^access forbidden$/],
    [
      'nobody who asks for what is not there',
      { scope: 'repository:acme/nothing:pull' },
      /^access forbidden$/,
    ],
    ['nobody who wants to push what is public', { scope: 'repository:acme/site:push' }, /^access forbidden$/],
    [
      'a push to a protected repository',
      { as: LOGIN.alice, scope: 'repository:acme/guarded/prod:pull,push' },
      /^Pushing to protected repository path forbidden$/,
    ],
    [
      'a push to a protected repository beside one that would be granted',
      { as: LOGIN.alice, scope: ['repository:acme/app:push', 'repository:acme/guarded/prod:push'] },
      /^Pushing to protected repository path forbidden$/,
    ],
    [
      'a push into a root group over its storage limit',
      { as: LOGIN.alice, scope: 'repository:full/app:push' },
      /over its storage limit/,
    ],
    [
      'a push by a job without a user',
      { as: LOGIN.jobWithoutUser, scope: 'repository:acme/app:push' },
      /the user of this job/,
    ],
  ];
  for (const [what, asked, message] of denied) {
    it(`answers 403 to ${what}`, async () => {
      assert.match(assertError(await server.ask(asked), 403, 'DENIED'), message);
    });
  }

  it('answers 200 to a push that a protection would block, where it would not be granted anyway', async () => {
    const scope = ['repository:acme/guarded/prod:push', 'repository:full/app:push'];
    assert.deepEqual(await grantedBy(server, await server.ask({ as: LOGIN.reader, scope })), []);
  });

  const services: [what: string, service: string | null][] = [
    ['missing', null],
    ['empty', ''],
    ['unknown', 'registry.example.com'],
    ['known but for its case', 'Container_Registry'],
    ["an object's own property", 'constructor'],
  ];
  for (const [what, service] of services) {
    it(`answers 404 when the service is ${what}`, async () => {
      assertError(await server.ask({ as: LOGIN.alice, service }), 404, 'UNSUPPORTED');
      assertError(await server.ask({ service, scope: 'repository:acme/site:pull' }), 404, 'UNSUPPORTED');
    });
  }

  it('answers 404 to everybody when the registry is switched off', async () => {
    await withSettings({ registry_enabled: false }, async () => {
      for (const as of [LOGIN.alice, LOGIN.root, LOGIN.deployer, LOGIN.job]) {
        assertError(await server.ask({ as, scope: 'repository:acme/app:pull' }), 404, 'UNAVAILABLE');
      }
      assertError(await server.ask({ scope: 'repository:acme/site:pull' }), 404, 'UNAVAILABLE');
    });
  });

  describe('checks in this order:', () => {
    const rows: [first: string, second: string, asked: Ask, off: boolean, status: number, code: string][] = [
      ['sizes', 'credentials', { as: WRONG, scope: MANY_SCOPES }, false, 400, 'SIZE_INVALID'],
      ['sizes', 'the service', { service: 'x', scope: MANY_SCOPES }, false, 400, 'SIZE_INVALID'],
      ['credentials', 'the service', { as: WRONG, service: 'x' }, false, 401, 'UNAUTHORIZED'],
      ['credentials', 'the switch', { as: WRONG }, true, 401, 'UNAUTHORIZED'],
      ['the service', 'the switch', { as: LOGIN.alice, service: 'x' }, true, 404, 'UNSUPPORTED'],
      ['the service', 'the policy', { service: 'x' }, false, 404, 'UNSUPPORTED'],
      ['the service', 'abilities', { as: LOGIN.powerless, service: 'x' }, false, 404, 'UNSUPPORTED'],
      ['the switch', 'abilities', { as: LOGIN.powerless }, true, 404, 'UNAVAILABLE'],
      ['the switch', 'the policy', { scope: 'repository:acme/app:pull' }, true, 404, 'UNAVAILABLE'],
    ];
    for (const [first, second, asked, off, status, code] of rows) {
      it(`${first}, then ${second}`, async () => {
        await withSettings({ registry_enabled: !off }, async () => {
          assertError(await server.ask(asked), status, code);
        });
      });
    }
  });

  it('may not be kept by a cache, whatever it answers', async () => {
    for (const as of [LOGIN.alice, WRONG]) {
      assert.equal((await server.ask({ as })).headers['cache-control'], 'no-store');
    }
  });
});
