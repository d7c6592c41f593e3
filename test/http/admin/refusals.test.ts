import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import request from 'supertest';
import type { RefusalPageView, RefusalView } from '../../../src/http/types.ts';
import { ACME, LOGIN, type Login, REFUSED_LOGINS, secret } from '../../support/directory/acme.ts';
import { startGitlabServer } from '../../support/gitlab/server.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const APP = 'repository:acme/app:pull,push';
const refused = (cause: string): Login => {
  const found = REFUSED_LOGINS.find(([name]) => name === cause);
  if (found === undefined) throw new Error(`no login is refused because of ${cause}`);
  return found[1];
};

interface Row {
  readonly what: string;
  readonly login?: Login;
  readonly scope?: string | readonly string[];
  readonly service?: string;
  /** Without the id, time and address. */
  readonly view: Omit<RefusalView, 'request_id' | 'time' | 'address' | 'message' | 'credential'>;
  readonly message: RegExp;
  readonly credential?: RegExp;
}

const ROWS: readonly Row[] = [
  {
    what: 'a wrong password',
    login: ['alice', 'guessed'],
    view: { subject: null, account: 'alice', asked: [APP], reason: 'wrong_password', status: 401 },
    message: /^the password is wrong$/,
    credential: /^password$/,
  },
  {
    what: 'a wrong token beside the name of an account',
    login: ['Alice', secret('glpat-')],
    view: { subject: null, account: 'alice', asked: [APP], reason: 'unknown', status: 401 },
    message: /^no credential has this secret/,
  },
  {
    what: 'a wrong password of a name that no account has',
    login: ['nobody-at-all', randomBytes(12).toString('hex')],
    view: { subject: null, asked: [APP], reason: 'unknown', status: 401 },
    message: /^no credential has this secret/,
  },
  {
    what: 'a wrong token beside a name that no account has',
    login: ['nobody-at-all', secret('glpat-')],
    view: { subject: null, asked: [APP], reason: 'unknown', status: 401 },
    message: /^no credential has this secret/,
  },
  {
    what: 'a revoked access token',
    login: refused('a revoked access token'),
    view: { subject: null, account: 'alice', asked: [APP], reason: 'token_revoked', status: 401 },
    message: /^the token is revoked$/,
    credential: /^access-\d+$/,
  },
  {
    what: 'an expired deploy token',
    login: refused('an expired deploy token'),
    view: { subject: null, account: 'deployer', asked: [APP], reason: 'token_expired', status: 401 },
    message: /^the token expired$/,
    credential: /^deploy-\d+$/,
  },
  {
    what: 'an anonymous client',
    view: { subject: '', asked: [APP], reason: 'nothing_for_anonymous', status: 403 },
    message: /./,
    credential: /^anonymous$/,
  },
  {
    what: 'a part',
    login: LOGIN.reader,
    view: { subject: 'alice', asked: [APP], reason: 'credential_ability', status: 200 },
    message: /^acme\/app:push: ./,
    credential: /^access-\d+$/,
  },
  {
    what: 'a scope that does not parse',
    login: LOGIN.alice,
    scope: ['repository:acme/app:pull', 'nonsense'],
    view: {
      subject: 'alice',
      asked: ['repository:acme/app:pull', 'nonsense'],
      reason: 'syntax',
      status: 200,
    },
    message: /^it is not of the form/,
    credential: /^password$/,
  },
  {
    what: 'an unknown service',
    login: LOGIN.alice,
    service: 'other',
    view: { subject: 'alice', asked: [APP], reason: 'service_unknown', status: 404 },
    message: /service/,
    credential: /^password$/,
  },
];

type Started = Pick<TestServer, 'admin' | 'apply' | 'ask' | 'close' | 'remoteAdmin' | 'app'>;
const DIRECTORIES: [name: string, start: () => Promise<Started>][] = [
  ['in own tables', startTestServer],
  ['in GitLab', startGitlabServer],
];

for (const [directory, start] of DIRECTORIES) {
  describe(`refusals over the admin API, with the directory ${directory}`, () => {
    let server: Started;
    before(async () => {
      server = await start();
      await server.apply(ACME);
    });
    after(() => server.close());

    const list = async (query: object): Promise<RefusalPageView> =>
      (await request(server.admin).get('/admin/v1/refusals').query(query).expect(200)).body;

    for (const [index, { what, login, scope = APP, service, view, message, credential }] of ROWS.entries()) {
      it(`have ${what}`, async () => {
        const ip = `198.51.100.${index + 1}`;
        const asked = { scope, ip, ...(login && { as: login }), ...(service && { service }) };
        const { status, headers } = await server.ask(asked);
        assert.equal(status, view.status);
        const { refusals } = await list({ address: ip });
        assert.equal(refusals.length, 1);
        const { request_id, time, address, message: said, credential: with_, ...rest } = refusals[0]!;
        assert.deepEqual([request_id, address, rest], [headers['x-request-id'], ip, view]);
        assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
        assert.match(said, message);
        if (credential === undefined) assert.equal(with_, undefined);
        else assert.match(String(with_), credential);
      });
    }

    it('keep no login name that is no account, nor any secret', async () => {
      const everything = JSON.stringify(await list({ limit: 1000 }));
      assert.ok(!everything.includes('nobody-at-all'));
      for (const { login } of ROWS) assert.ok(login === undefined || !everything.includes(login[1]));
    });

    it('come page by page, the latest first', async () => {
      const { refusals } = await list({});
      const seen: RefusalView[] = [];
      let after: string | undefined;
      do {
        const page = await list({ limit: 4, ...(after !== undefined && { after }) });
        seen.push(...page.refusals);
        after = page.next;
      } while (after !== undefined);
      assert.deepEqual(seen, refusals);
      assert.equal(seen.length, ROWS.length);
    });

    it('are found by subject, repository, reason and time', async () => {
      const count = async (query: object) => (await list(query)).refusals.length;
      assert.equal(
        await count({ subject: 'alice' }),
        ROWS.filter(({ view }) => (view.account ?? view.subject) === 'alice').length,
      );
      assert.equal(await count({ subject: '' }), 1);
      assert.equal(await count({ repository: 'acme/app' }), ROWS.length);
      assert.equal(await count({ repository: 'acme/base' }), 0);
      assert.equal(await count({ reason: 'wrong_password' }), 1);
      assert.equal(await count({ reason: 'granted_less' }), 2);
      assert.equal(await count({ since: new Date(Date.now() + 60_000).toISOString() }), 0);
    });

    for (const query of [
      'limit=0',
      'limit=1001',
      'since=yesterday',
      'after=x',
      'address=x',
      'address=10.0.0.0/33',
      'user=alice',
    ]) {
      it(`${query} is 422`, () => request(server.admin).get(`/admin/v1/refusals?${query}`).expect(422));
    }

    it('need an admin token over TCP, and have no place among what clients see', async () => {
      await request(server.remoteAdmin).get('/admin/v1/refusals').expect(401);
      await request(server.app).get('/admin/v1/refusals').expect(404);
    });
  });
}
