import assert from 'node:assert/strict';
import request from 'supertest';
import { ACME, LOGIN, type Login } from '../../support/directory/acme.ts';
import { claimsOf, grantedBy } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const APP = 'repository:acme/app:pull';
const BASE = 'repository:acme/base:pull';

describe('what clients need: scopes', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply(ACME);
  });
  after(() => server.close());

  /** What alice's token, or somebody else's, is granted; the query is sent as it stands. */
  const granted = async (query: string, as: Login = LOGIN.api): Promise<readonly string[]> => {
    const asked = request(server.app)
      .get(`/jwt/auth?service=container_registry${query}`)
      .auth(...as);
    return grantedBy(server, await asked);
  };

  it('requirement 13: every scope parameter counts', async () => {
    assert.deepEqual(await granted(`&scope=${APP},push&scope=${BASE}`), [`${APP},push`, BASE]);
    const encoded = [APP, BASE].map((scope) => `&scope=${encodeURIComponent(scope)}`).join('');
    assert.deepEqual(await granted(encoded), [APP, BASE]);
  });

  it('requirement 14: each scope value is split on spaces', async () => {
    for (const space of ['+', '%20', '%20%20', '%09', '+%0A+']) {
      assert.deepEqual(await granted(`&scope=${APP}${space}${BASE}`), [APP, BASE], space);
    }
    assert.deepEqual(await granted(`&scope=+${APP}+&scope=${BASE}+`), [APP, BASE]);
  });

  it('requirement 15: an empty scope is no scope', async () => {
    for (const empty of ['', '&scope=', '&scope', '&scope=+', '&scope=&scope=']) {
      assert.deepEqual(await granted(empty), [], empty);
    }
    assert.deepEqual(await granted(`&scope=&scope=${APP}`), [APP]);
  });

  describe('requirement 16: dropped with a 200 and without harm to the others:', () => {
    const odd: [client: string, scope: string][] = [
      ['what Gitea challenges', '*'],
      ['no actions', 'repository:acme/app'],
      ['empty actions', 'repository:acme/app:'],
      ['what Zot challenges for _catalog', 'repository::pull'],
      ['an unknown type', 'artifact:acme/app:pull'],
      ['an unknown action', 'repository:acme/app:mount'],
      ['no type', ':acme/app:pull'],
      ['a type in capitals', 'Repository:acme/app:pull'],
      ['only colons', ':::'],
      ['one component', 'repository:app:pull'],
      ['a slash at the end', 'repository:acme/app/:pull'],
      ['two slashes', 'repository:acme//app:pull'],
      ['dots for the folder above', 'repository:acme/../acme/app:pull'],
      ['an encoded slash', 'repository:acme%252Fapp:pull'],
      ['the rest of a scope that was cut at its comma', 'push'],
      ['an unclosed class', 'repository(plugin:acme/app:pull'],
      ['a NUL', 'repository:acme/app%00:pull'],
      ['no Latin letter', 'repository:acme/%CF%80:pull'],
    ];
    for (const [client, scope] of odd) {
      it(`${client}: ${scope}`, async () => {
        assert.deepEqual(await granted(`&scope=${scope}`), []);
        assert.deepEqual(await granted(`&scope=${scope}&scope=${BASE}`), [BASE]);
      });
    }
  });

  it('requirement 17: a name with host and port parses, and names no repository of ours', async () => {
    const hosted = 'repository:reg.example.com:5000/acme/app:pull';
    assert.deepEqual(await granted(`&scope=${hosted}&scope=${APP}`), [APP]);
    assert.deepEqual(await granted('&scope=repository:acme/app:pull,x:push'), []);
  });

  it('requirement 18: a class is read and left out', async () => {
    const { access } = await claimsOf(
      server,
      await server.ask({ as: LOGIN.api, scope: 'repository(plugin):acme/app:pull,push' }),
    );
    const [entry, ...others] = access;
    assert.deepEqual(
      { type: entry?.type, name: entry?.name, actions: entry?.actions, others },
      { type: 'repository', name: 'acme/app', actions: ['pull', 'push'], others: [] },
    );
    assert.deepEqual(Object.keys(entry ?? {}).sort(), ['actions', 'meta', 'name', 'type']);
  });

  it('requirement 19: order and repetition of actions do not matter, and scopes of one repository are joined', async () => {
    const rows: [scope: string, granted: string][] = [
      ['push,pull', 'push,pull'],
      ['pull,push', 'pull,push'],
      ['pull,pull,push,pull', 'pull,push'],
      ['pull&scope=repository:acme/app:push', 'pull,push'],
      ['pull&scope=repository:acme/app:pull,push', 'pull,push'],
      ['pull&scope=repository:ACME/App:push', 'pull,push'],
    ];
    for (const [scope, actions] of rows) {
      assert.deepEqual(await granted(`&scope=repository:acme/app:${scope}`), [
        `repository:acme/app:${actions}`,
      ]);
    }
  });

  it('requirement 20: what may not be had is left out with a 200', async () => {
    const mount = '&scope=repository:acme/app:pull,push&scope=repository:acme/vault:pull';
    assert.deepEqual(await granted(mount), ['repository:acme/app:pull,push']);
  });

  it('requirement 21: whoever is known and gets nothing gets a token with an empty access', async () => {
    assert.deepEqual(await granted('&scope=repository:acme/vault:pull,push'), []);
  });

  it('requirement 22: delete alone may be had', async () => {
    assert.deepEqual(await granted('&scope=repository:acme/app:delete', LOGIN.bob), [
      'repository:acme/app:delete',
    ]);
  });

  it('requirement 23: * on a repository is granted as * alone, and only to who may do everything', async () => {
    assert.deepEqual(await granted('&scope=repository:acme/app:*', LOGIN.bob), ['repository:acme/app:*']);
    assert.deepEqual(await granted('&scope=repository:acme/app:*'), []);
    assert.deepEqual(await granted('&scope=repository:acme/app:*,pull'), [APP]);
  });

  it('requirement 24: the catalog is for admins, and left out for others', async () => {
    const catalog = 'registry:catalog:*';
    assert.deepEqual(await granted(`&scope=${catalog}`, LOGIN.root), [catalog]);
    assert.deepEqual(await granted(`&scope=${catalog}&scope=${APP}`), [APP]);
  });

  it('requirement 25: a response with 64 scopes stays under 64 KiB', async () => {
    const paths = Array.from({ length: 64 }, (_, i) => `acme/services/storefront-${i}`);
    await server.apply({
      groups: [...ACME.groups, { path: 'acme/services' }],
      projects: paths.map((path) => ({ path })),
    });
    const scope = paths.map((path) => `repository:${path}:pull,push`);
    const response = await server.ask({ as: LOGIN.bob, scope });
    assert.deepEqual(await grantedBy(server, response), scope);
    assert.ok(response.text.length < 65_536, `${response.text.length}`);
  });
});
