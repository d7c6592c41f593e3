import assert from 'node:assert/strict';
import request from 'supertest';
import type { WhatCan } from '../../../../src/http/types.ts';
import { startTestServer, type TestServer } from '../../../support/server.ts';
import { COMPANY, NOW } from './company.ts';

const short = ({ path, actions }: WhatCan['repositories'][number]): string => `${path} ${actions.join(',')}`;

describe('what-can', () => {
  let server: TestServer;

  before(async () => {
    server = await startTestServer({ now: () => NOW });
    await server.apply(COMPANY);
  });
  after(() => server.close());

  const ask = async (subject: string, more: object = {}): Promise<WhatCan> => {
    const { body } = await request(server.admin)
      .get('/admin/v1/what-can')
      .query({ subject, ...more })
      .expect(200);
    return body;
  };

  const BYROLE = { only_granted_by_role: true };
  const ROWS: [subject: string, more: object, expected: string[]][] = [
    [
      'user:alice',
      {},
      [
        'acme/api pull,push',
        'acme/old pull',
        'acme/site pull,push',
        'acme/wiki pull,push',
        'alice/home pull,push,delete,*',
        'office/app pull,push,delete,*',
      ],
    ],
    [
      'user:alice',
      { under: 'acme', action: 'push' },
      ['acme/api pull,push', 'acme/site pull,push', 'acme/wiki pull,push'],
    ],
    ['user:alice', { under: 'Office' }, ['office/app pull,push,delete,*']],
    ['user:alice', { action: 'delete' }, ['alice/home pull,push,delete,*', 'office/app pull,push,delete,*']],
    ['user:nobody', {}, ['acme/site pull', 'acme/wiki pull']],
    ['user:nobody', BYROLE, []],
    ['user:rita', BYROLE, ['acme/api pull', 'acme/old pull', 'acme/site pull', 'acme/wiki pull']],
    ['user:gus', BYROLE, []],
    [
      'user:audrey',
      { under: 'acme' },
      ['acme/api pull', 'acme/old pull', 'acme/site pull', 'acme/wiki pull'],
    ],
    [
      'user:root',
      { action: 'delete', under: 'acme' },
      ['acme/api', 'acme/site', 'acme/wiki'].map((path) => `${path} pull,push,delete,*`),
    ],
    [
      'user:maya',
      BYROLE,
      ['acme/api pull,push', 'acme/old pull', 'acme/site pull,push', 'acme/wiki pull,push'],
    ],
    ['user:late', BYROLE, []],
    [
      'token:501',
      BYROLE,
      [
        'acme/api pull',
        'acme/old pull',
        'acme/site pull',
        'acme/wiki pull',
        'alice/home pull',
        'office/app pull',
      ],
    ],
    ['token:504', BYROLE, ['acme/api pull,push']],
    ['deploy-token:puller', {}, ['acme/api pull', 'acme/old pull', 'acme/site pull', 'acme/wiki pull']],
    ['deploy-token:writer', {}, ['acme/api push']],
    ['identity:release', BYROLE, ['acme/api pull,push']],
    ['job:801', BYROLE, ['acme/api pull,push,delete', 'acme/wiki pull']],
    ['job:802', {}, ['acme/api pull', 'acme/site pull,delete', 'acme/wiki pull']],
  ];
  for (const [subject, more, expected] of ROWS) {
    it(`tells what ${subject} reaches ${JSON.stringify(more)}`, async () => {
      const answer = await ask(subject, more);
      assert.equal(answer.subject, subject);
      assert.deepEqual(answer.repositories.map(short), expected);
      assert.equal(answer.next, undefined);
      for (const { reason } of answer.repositories) assert.ok(reason.length > 10, reason);
    });
  }

  const NOTHING: [subject: string, reason: RegExp][] = [
    ['user:blocked', /account is blocked/],
    ['token:502', /expired/],
    ['token:507', /revoked/],
    ['token:508', /no scope for the registry/],
    ['token:510', /account is blocked/],
    ['deploy-token:old', /expired/],
    ['deploy-token:off', /revoked/],
    ['identity:ended', /expired/],
    ['job:803', /not running/],
  ];
  for (const [subject, reason] of NOTHING) {
    it(`says why ${subject} reaches nothing`, async () => {
      const answer = await ask(subject);
      assert.deepEqual(answer.repositories, []);
      assert.match(answer.reason ?? '', reason);
    });
  }

  it('takes the ids that lists and records show', async () => {
    for (const [id, shown] of [
      ['token:508', 'token:access-508'],
      ['token:510', 'token:access-510'],
      ['job:803', 'job:job-803'],
    ] as const) {
      assert.deepEqual(await ask(shown), { ...(await ask(id)), subject: shown });
    }
    const [deploy] = await server.database.query("SELECT id FROM deploy_tokens WHERE username = 'off'");
    const shown = `token:deploy-${deploy?.['id']}`;
    assert.deepEqual(await ask(shown), { ...(await ask('deploy-token:off')), subject: shown });
  });

  it('says that the registry is switched off', async () => {
    await server.apply({ settings: { registry_enabled: false } });
    const answer = await ask('user:alice');
    await server.apply({ settings: { registry_enabled: true } });
    assert.deepEqual(answer, {
      subject: 'user:alice',
      repositories: [],
      reason: 'the container registry is switched off',
    });
  });

  for (const limit of [1, 2, 5]) {
    it(`gives the same rows in pages of ${limit}`, async () => {
      const all = await ask('user:alice');
      const rows: string[] = [];
      let next: string | undefined;
      do {
        const page: WhatCan = await ask('user:alice', { limit, ...(next && { after: next }) });
        assert.ok(page.repositories.length <= limit);
        rows.push(...page.repositories.map(short));
        next = page.next;
      } while (next !== undefined);
      assert.deepEqual(rows, all.repositories.map(short));
    });
  }

  const WRONG: [title: string, query: object, status: number][] = [
    ['an unknown user', { subject: 'user:none' }, 404],
    ['an unknown token', { subject: 'token:999' }, 404],
    ['an unknown group', { subject: 'user:alice', under: 'none' }, 404],
    ['anonymous', { subject: 'anonymous' }, 422],
    ['no subject', {}, 422],
  ];
  for (const [title, query, status] of WRONG) {
    it(`refuses ${title}`, async () => {
      await request(server.admin).get('/admin/v1/what-can').query(query).expect(status);
    });
  }
});
