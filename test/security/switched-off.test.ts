import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { createMasterKey } from '../../src/keys/master-key.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { type Login, secret } from '../support/directory/acme.ts';
import { until } from '../support/processes/child.ts';
import { grantedBy } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const PUSH = 'repository:acme/app:push';
const LOGINS = {
  user: ['any', secret('glpat-')],
  bot: ['any', secret('glpat-')],
  deploy: ['pusher', secret('gldt-')],
  job: ['gitlab-ci-token', secret('glcbt-')],
} as const satisfies Record<string, Login>;
const JOB = { id: 5, project: 'acme/app', user: 'alice', token: LOGINS.job[1] };
const DEPLOY = {
  id: 6,
  username: 'pusher',
  scopes: ['write_registry'],
  projects: ['acme/app'],
  token: LOGINS.deploy[1],
};
const BOT = {
  id: 7,
  name: 'b',
  kind: 'project',
  project: 'acme/app',
  role: 'developer',
  scopes: ['api'],
  token: LOGINS.bot[1],
};
const GROUP = { path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer' }] };
const BASE = {
  organizations: [{ path: 'default', id: 1 }],
  users: [{ username: 'alice', id: 11 }],
  groups: [GROUP],
  projects: [{ path: 'acme/app', id: 101 }],
  access_tokens: [
    BOT,
    { id: 8, name: 'u', kind: 'personal', user: 'alice', scopes: ['api'], token: LOGINS.user[1] },
  ],
  deploy_tokens: [DEPLOY],
  job_tokens: [JOB],
};

describe('security check 13: what is switched off counts at the next request, with everything warm', () => {
  const warm = async (server: TestServer, as: Login): Promise<void> => {
    for (let n = 0; n < 3; n++) {
      assert.deepEqual(await grantedBy(server, await server.ask({ as, scope: PUSH })), [PUSH]);
    }
  };
  /** The answer is a 200 that grants nothing, or a refusal. */
  const outcome = async (server: TestServer, as: Login, service = 'container_registry'): Promise<string> => {
    const response = await server.ask({ as, scope: PUSH, service });
    if (response.status !== 200) return String(response.status);
    return `200 ${await grantedBy(server, response)}`;
  };

  const switches: [what: string, as: Login, document: object, expected: string][] = [
    ['a job', LOGINS.job, { job_tokens: [{ ...JOB, running: false }] }, '401'],
    ['a deploy token', LOGINS.deploy, { deploy_tokens: [{ ...DEPLOY, revoked: true }] }, '401'],
    ['a project token', LOGINS.bot, { access_tokens: [{ ...BOT, revoked: true }] }, '401'],
    ['the project of a job', LOGINS.job, { projects: [{ ...BASE.projects[0], ci_enabled: false }] }, '401'],
    ['the project', LOGINS.user, { projects: [{ ...BASE.projects[0], archived: true }] }, '200 '],
    ['the group', LOGINS.user, { groups: [{ ...GROUP, archived: true }] }, '200 '],
    [
      'the organization',
      LOGINS.user,
      { organizations: [{ path: 'default', id: 1, maintenance: true }] },
      '200 ',
    ],
    ['the installation', LOGINS.user, { settings: { maintenance_mode: true } }, '200 '],
  ];
  for (const [what, as, document, expected] of switches) {
    it(what, async () => {
      const server = await startTestServer();
      try {
        await server.apply(BASE);
        await warm(server, as);
        await server.apply(document);
        assert.equal(await outcome(server, as), expected);
      } finally {
        await server.close();
      }
    });
  }

  it('the service, by a restart without it', async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const masterKey = await createMasterKey(randomBytes(32), 'a kept key');
    const kept = { openDatabase: async () => openPostgres(url), masterKey };
    const before = await startTestServer({
      ...kept,
      environment: { CELLPASS_SERVICES: 'container_registry,other' },
    });
    await before.apply(BASE);
    assert.match(await outcome(before, LOGINS.user, 'container_registry'), /^200 repository/);
    assert.equal((await before.ask({ as: LOGINS.user, service: 'other' })).status, 200);
    await before.close();
    const after = await startTestServer(kept);
    assert.equal((await after.ask({ as: LOGINS.user, service: 'other' })).status, 404);
    await after.close();
  });

  it('the cell, for a namespace that has moved to another', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cellpass-moved-'));
    const file = join(folder, 'cells.yaml');
    const write = (cell: 1 | 2): void => {
      const cells = [1, 2].map((id) => ({
        id,
        legacy: id === 1,
        url: `http://127.0.0.1:${id}`,
        registry_url: `http://127.0.0.1:${id}`,
        namespaces: id === cell ? ['acme'] : [`none-${id}`],
      }));
      writeFileSync(file, stringify({ cells, forwarding: false }));
    };
    write(1);
    const server = await startTestServer({ environment: { CELLPASS_CELLS_FILE: file }, topologyPollMs: 10 });
    try {
      await server.apply(BASE);
      await warm(server, LOGINS.user);
      write(2);
      await until(
        async () => ((await outcome(server, LOGINS.user)) === '421' ? true : undefined),
        () => 'it still answers',
        5000,
      );
    } finally {
      await server.close();
      rmSync(folder, { recursive: true });
    }
  });
});
