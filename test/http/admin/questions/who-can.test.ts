import assert from 'node:assert/strict';
import request from 'supertest';
import type { WhoCan } from '../../../../src/http/types.ts';
import { startTestServer, type TestServer } from '../../../support/server.ts';
import { COMPANY, NOW } from './company.ts';

type Subject = WhoCan['subjects'][number];
/** Without the random end of a bot's name. */
const short = ({ kind, name, credential }: Subject): string =>
  [kind, name.replace(/_bot_.*/, '_bot'), ...(credential ? [credential] : [])].join(' ');

describe('who-can', () => {
  let server: TestServer;

  before(async () => {
    server = await startTestServer({ now: () => NOW });
    await server.apply(COMPANY);
  });
  after(() => server.close());

  const ask = async (action: string, repository: string, more: object = {}): Promise<WhoCan> => {
    const { body } = await request(server.admin)
      .get('/admin/v1/who-can')
      .query({ action, repository, ...more })
      .expect(200);
    return body;
  };

  const PEOPLE = ['user root', 'user alice', 'user maya', 'user olga', 'user ivan'];
  const ROWS: [title: string, action: string, repository: string, expected: string[]][] = [
    [
      'lists people by role, bots by credential, own jobs; blocked, expired, revoked and too narrow are absent',
      'push',
      'acme/api',
      [
        ...PEOPLE,
        'user own',
        'service_account robot access-503',
        'service_account free',
        'group_bot group_20_bot access-505',
        'project_bot project_101_bot access-504',
        'identity release identity-release',
        'deploy_token writer deploy-702',
        'job acme/api',
      ],
    ],
    [
      'adds to pull whom reporters, auditors, deploy tokens and the job token allowlist let in',
      'pull',
      'acme/api',
      [
        ...PEOPLE,
        'user own',
        'user rita',
        'user audrey',
        'service_account robot access-503',
        'service_account free',
        'group_bot group_20_bot access-505',
        'project_bot project_101_bot access-504',
        'identity release identity-release',
        'deploy_token puller deploy-701',
        'job acme/api',
        'job acme/site',
        'job friends',
      ],
    ],
    [
      'heeds a protected repository for an image path',
      'push',
      'acme/api/prod',
      ['user root', 'user olga', 'user own', 'job acme/api'],
    ],
    ['ignores case', 'push', 'Acme/API/prod', ['user root', 'user olga', 'user own', 'job acme/api']],
    ['has one row for a public project', 'pull', 'acme/site', ['anyone *']],
    [
      'has one row for an internal project, and external users by role',
      'pull',
      'acme/wiki',
      ['internal *', 'user ivan', 'deploy_token puller deploy-701', 'job acme/wiki', 'job *'],
    ],
    ['lists nobody for a disabled registry', 'pull', 'acme/off', []],
    ['lists nobody for pushes to an archived project', 'push', 'acme/old', []],
  ];
  for (const [title, action, repository, expected] of ROWS) {
    it(title, async () => {
      const { subjects } = await ask(action, repository);
      assert.deepEqual(subjects.map(short).toSorted(), expected.toSorted());
      for (const { reason } of subjects) assert.ok(reason.length > 10, reason);
    });
  }

  it('names the repository as a token would', async () => {
    const { repository, action } = await ask('push', 'Acme/API');
    assert.deepEqual({ repository, action }, { repository: 'acme/api', action: 'push' });
  });

  it('shows an IP allowlist, which changes no row', async () => {
    const { addresses, subjects } = await ask('push', 'office/app');
    assert.deepEqual(addresses, ['10.0.0.0/8']);
    assert.deepEqual(subjects.map(short), ['user root', 'user alice', 'user own', 'job office/app']);
  });

  for (const limit of [1, 2, 5, 100]) {
    it(`gives the same rows in pages of ${limit}`, async () => {
      const all = await ask('pull', 'acme/api');
      const rows: string[] = [];
      let next: string | undefined;
      do {
        const page: WhoCan = await ask('pull', 'acme/api', { limit, ...(next && { after: next }) });
        assert.ok(page.subjects.length <= limit);
        rows.push(...page.subjects.map(short));
        next = page.next;
      } while (next !== undefined);
      assert.deepEqual(rows, all.subjects.map(short));
    });
  }

  const WRONG: [title: string, query: object, status: number, message: RegExp][] = [
    ['an unknown repository', { action: 'push', repository: 'acme/none' }, 404, /no repository acme\/none/],
    ['a name that none can have', { action: 'push', repository: 'acme' }, 422, /acme is no name/],
    ['an unknown action', { action: 'shove', repository: 'acme/api' }, 422, /must be/],
    [
      'a place that is none',
      { action: 'push', repository: 'acme/api', after: 'user:x' },
      422,
      /"next" of a page/,
    ],
  ];
  for (const [title, query, status, message] of WRONG) {
    it(`refuses ${title}`, async () => {
      const { body } = await request(server.admin).get('/admin/v1/who-can').query(query).expect(status);
      assert.match(JSON.stringify(body).replaceAll('\\"', '"'), message);
    });
  }
});
