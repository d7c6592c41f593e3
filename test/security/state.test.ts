import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { Response } from 'supertest';
import { createMasterKey } from '../../src/keys/master-key.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { secret } from '../support/directory/acme.ts';
import { grantedBy } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const ALICE = secret('glpat-');
const NOW = new Date('2026-11-24T12:00:00Z');
const BASE = {
  users: [
    { username: 'alice', id: 11 },
    { username: 'mallory', id: 12 },
  ],
  groups: [
    { path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer' }] },
    { path: 'full', id: 21, over_storage_limit: true },
  ],
  projects: [
    {
      path: 'acme/app',
      id: 101,
      protected_repositories: [{ pattern: 'acme/app/prod*', minimum_role_for_push: 'owner' }],
    },
    { path: 'full/house', id: 102 },
  ],
  access_tokens: [{ id: 1, name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: ALICE }],
};
const PULL = 'repository:acme/app:pull';

describe('security checks: what changes, and what must not show', () => {
  let server: TestServer;
  beforeEach(async () => {
    server = await startTestServer({ now: () => NOW });
    await server.apply(BASE);
  });
  afterEach(() => server.close());

  const ask = (token: string, ...scope: string[]) => server.ask({ as: ['x', token], scope });
  const granted = async (...scope: string[]) => grantedBy(server, await ask(ALICE, ...scope));

  it('security check 11: a path that was moved away, or made again, is not reached with what was given before', async () => {
    assert.deepEqual(await granted(PULL), [PULL]);
    await server.apply({
      projects: [
        { path: 'full/moved', id: 101 },
        { path: 'full/house', id: 102 },
      ],
    });
    assert.deepEqual(await granted(PULL, 'repository:full/moved:pull'), []);
    await server.apply({
      groups: [
        { path: 'acme', id: 20 },
        { path: 'full', id: 21 },
      ],
      projects: [{ path: 'acme/app', id: 103 }],
    });
    assert.deepEqual(await granted(PULL), []);
  });

  const switches: [what: string, document: object, status: number][] = [
    ['the user', { users: [{ username: 'alice', id: 11, state: 'blocked' }] }, 401],
    ['the token', { access_tokens: [{ ...BASE.access_tokens[0], revoked: true }] }, 401],
    ['the membership', { groups: [{ path: 'acme', id: 20 }] }, 200],
    [
      'the registry of the project',
      { projects: [{ ...BASE.projects[0], container_registry: 'disabled' }] },
      200,
    ],
    ['the registry of the installation', { settings: { registry_enabled: false } }, 404],
  ];
  for (const [what, document, status] of switches) {
    it(`security check 13: switching off ${what} counts at the next request, with everything warm`, async () => {
      for (let n = 0; n < 3; n++) assert.deepEqual(await granted(PULL), [PULL]);
      await server.apply(document);
      const response = await ask(ALICE, PULL);
      assert.equal(response.status, status);
      if (status === 200) assert.deepEqual(await grantedBy(server, response), []);
    });
  }

  it('security check 14: names are compared, never matched', async () => {
    for (const name of [
      'acme/a_p',
      'acme/a%',
      'acme/ap\\p',
      'acme/аpp',
      'acme/ａpp',
      'ac_e/app',
      '%/%',
      'acme/app%00',
    ]) {
      assert.deepEqual(await granted(`repository:${name}:pull`), [], name);
    }
    for (const username of ['alic_', 'alice%', '%', 'ａlice']) {
      await server.ask({ as: [username, 'some password'] }).expect(401);
    }
  });

  it('security check 18: no such project and no access can not be told apart', async () => {
    const mallory = secret('glpat-');
    const deploy = secret('gldt-');
    await server.apply({
      projects: [...BASE.projects, { path: 'mallory/own', id: 104 }],
      access_tokens: [{ name: 'm', kind: 'personal', user: 'mallory', scopes: ['api'], token: mallory }],
      deploy_tokens: [
        {
          username: 'd',
          scopes: ['read_registry', 'write_registry'],
          projects: ['mallory/own'],
          token: deploy,
        },
      ],
      job_tokens: [{ project: 'mallory/own', user: 'mallory', token: `${deploy}-job` }],
    });
    const logins: ([string, string] | undefined)[] = [
      undefined,
      ['x', mallory],
      ['d', deploy],
      ['gitlab-ci-token', `${deploy}-job`],
    ];
    const pairs: [hidden: string, absent: string][] = [
      ['acme/app', 'acme/nop'],
      ['acme/app/prod1', 'acme/nop/prod1'],
      ['full/house', 'full/horse'],
    ];
    for (const as of logins) {
      for (const [hidden, absent] of pairs) {
        for (const actions of ['pull', 'push', 'pull,push', 'delete', '*']) {
          const answers = await Promise.all(
            [hidden, absent].map((name) =>
              server.ask({ ...(as && { as }), scope: `repository:${name}:${actions}` }),
            ),
          );
          const [first, second] = await Promise.all(answers.map((answer) => comparable(server, answer)));
          assert.deepEqual(first, second, `${as?.[0]} ${hidden} ${actions}`);
        }
      }
    }
  });

  it('security check 24: no scope is a 5xx, and what is granted is asked in its canonical form', async () => {
    const piece = fc.constantFrom(
      'repository',
      'registry',
      '(x)',
      ':',
      ':',
      'acme',
      '/',
      'app',
      'pull',
      'push',
      ',',
      '*',
      '.',
      '..',
      '%2f',
      '\0',
      ' ',
      'é',
      ':5000',
      '',
    );
    const scope = fc.oneof(
      fc.array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(scope, { maxLength: 3 }), async (scopes) => {
        const response = await ask(ALICE, ...scopes, PULL);
        assert.ok([200, 403].includes(response.status), String(response.status));
        if (response.status === 200)
          assert.ok(
            (await grantedBy(server, response)).some((entry) => entry.startsWith('repository:acme/app:')),
          );
      }),
      { numRuns: 200 },
    );
  });

  it('security check 25: a name is lowered, and everything else that would need cleaning is refused', async () => {
    assert.deepEqual(await granted('repository:Acme/APP:pull'), [PULL]);
    const dirty = [
      'acme//app',
      'acme/app/',
      '/acme/app',
      'acme/./app',
      'acme/../acme/app',
      'acme%2fapp',
      'acme/app.',
      '-acme/app',
      `acme/app/${'a'.repeat(300)}`,
    ];
    for (const name of dirty) assert.deepEqual(await granted(`repository:${name}:pull`), [], name);
  });

  it('security check 27: repeated, joined and duplicate parameters are the same', async () => {
    const both = ['repository:acme/app:pull', 'repository:acme/app:push'];
    const expected = ['repository:acme/app:pull,push'];
    assert.deepEqual(await granted(...both), expected);
    assert.deepEqual(await granted(both.join(' ')), expected);
    assert.deepEqual(await granted(...both, ...both), expected);
    assert.deepEqual(await granted('repository:acme/app:pull,push,pull'), expected);
  });

  it('security check 30: no token outlives its credential or the membership it rests on', async () => {
    const dated = secret('glpat-');
    const midnight = new Date('2026-11-24T23:59:00Z');
    const late = await startTestServer({ now: () => midnight });
    await late.apply({
      ...BASE,
      groups: [
        { path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer', expires_at: '2026-11-25' }] },
        BASE.groups[1],
      ],
      access_tokens: [
        ...BASE.access_tokens,
        {
          name: 'd',
          kind: 'personal',
          user: 'alice',
          scopes: ['api'],
          expires_at: '2026-11-25',
          token: dated,
        },
      ],
    });
    const end = Date.parse('2026-11-25T00:00:00Z') / 1000;
    for (const token of [ALICE, dated]) {
      const { body } = await late.ask({ as: ['x', token], scope: PULL }).expect(200);
      assert.equal((await late.verify(body.token)).exp, end);
      assert.equal(body.expires_in, 60);
    }
    await late.close();
  });

  it('security check 33: what one server is told, another one of the same database knows at once', async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const masterKey = await createMasterKey(randomBytes(32), 'a shared key');
    const shared = { openDatabase: async () => openPostgres(url), masterKey };
    const first = await startTestServer(shared);
    const second = await startTestServer(shared);
    await first.apply(BASE);
    for (let n = 0; n < 3; n++) await second.ask({ as: ['x', ALICE], scope: PULL }).expect(200);
    await first.apply({ access_tokens: [{ ...BASE.access_tokens[0], revoked: true }] });
    await second.ask({ as: ['x', ALICE], scope: PULL }).expect(401);
    await first.close();
    await second.close();
  });
});

/**
 * An answer without what differs each time: the request id, the date, and the token except its
 * access.
 */
async function comparable(server: TestServer, { status, headers, body }: Response): Promise<object> {
  const { 'x-request-id': id = '', date, 'content-length': length, ...rest } = headers;
  const access = status === 200 ? (await server.verify(body.token)).access : null;
  const text = status === 200 ? '' : JSON.stringify(body).replace(id, '');
  return { status, rest, access, text, length: status === 200 ? null : length, hasDate: date !== undefined };
}
