import assert from 'node:assert/strict';
import { loadConfig } from '../../../../src/config/load.ts';
import { type OpenGitlab, openGitlab } from '../../../../src/server/open-gitlab.ts';
import { type GitlabTestServer, startGitlabServer } from '../../../support/gitlab/server.ts';
import { startTestServer, type TestServer } from '../../../support/server.ts';

const DEV = 'glpat-example-dev-0000001';
const DEPLOY = 'gldt-example-puller-0001';
const JOB = 'glcbt-64_exampleexample';
const DIRECTORY = {
  users: [{ username: 'dev', id: 1, password: 'correct horse battery' }],
  groups: [{ path: 'acme', id: 10 }],
  projects: [{ path: 'acme/app', id: 100, members: [{ user: 'dev', role: 'developer' }] }],
  access_tokens: [{ kind: 'personal', name: 'dev', user: 'dev', scopes: ['api'], token: DEV }],
  deploy_tokens: [{ username: 'puller', projects: ['acme/app'], scopes: ['read_registry'], token: DEPLOY }],
  job_tokens: [{ id: 7, project: 'acme/app', user: 'dev', token: JOB }],
};
type Login = readonly [username: string, password: string];
const dev: Login = ['x', DEV];
const deploy: Login = ['puller', DEPLOY];
const job: Login = ['gitlab-ci-token', JOB];
const password: Login = ['dev', 'correct horse battery'];
const anonymous = null;

/** What GitLab writes, and what the next request gets by it. */
const CHANGES: readonly (readonly [
  what: string,
  sql: string,
  as: Login | null,
  before: string,
  after: string,
])[] = [
  ['a revoked token', 'UPDATE personal_access_tokens SET revoked = true', dev, 'pull', '401'],
  [
    'a token whose end is moved',
    "UPDATE personal_access_tokens SET expires_at = '2020-01-01'",
    dev,
    'pull',
    '401',
  ],
  ['a deleted token', 'DELETE FROM personal_access_tokens', dev, 'pull', '401'],
  ['a role that is removed', 'DELETE FROM project_authorizations', dev, 'pull', ''],
  ['a role that is lowered', 'UPDATE project_authorizations SET access_level = 10', dev, 'pull', ''],
  ['a blocked user, by a token', "UPDATE users SET state = 'blocked'", dev, 'pull', '401'],
  ['a blocked user, by a password', "UPDATE users SET state = 'blocked'", password, 'pull', '401'],
  [
    'another password',
    "UPDATE users SET encrypted_password = '$2a$04$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu'",
    password,
    'pull',
    '401',
  ],
  ['a blocked user, by a job', "UPDATE users SET state = 'banned'", job, 'pull', '401'],
  ['a finished job', "UPDATE p_ci_builds SET status = 'success'", job, 'pull', '401'],
  ['a cancelled job', "UPDATE p_ci_builds SET status = 'canceled'", job, 'pull', '401'],
  ['a revoked deploy token', 'UPDATE deploy_tokens SET revoked = true', deploy, 'pull', '401'],
  ['a deploy token that is taken from the project', 'DELETE FROM project_deploy_tokens', deploy, 'pull', ''],
  ['a project that opens', 'UPDATE projects SET visibility_level = 20', anonymous, '403', 'pull'],
  [
    'a registry that is switched off',
    'UPDATE project_features SET container_registry_access_level = 0',
    dev,
    'pull',
    '',
  ],
  [
    'a project that moves away',
    "UPDATE routes SET path = 'acme/moved' WHERE source_type = 'Project'",
    dev,
    'pull',
    '',
  ],
  [
    'an allowlist of addresses',
    "INSERT INTO ip_restrictions (group_id, range) VALUES (10, '10.0.0.0/8')",
    dev,
    'pull',
    '',
  ],
];

describe('what GitLab changes counts from the next request on, on every replica', () => {
  let first: GitlabTestServer;
  let second: TestServer;
  let databases: OpenGitlab;
  before(async () => {
    first = await startGitlabServer();
    await first.apply(DIRECTORY);
    const settings = loadConfig(first.environment).gitlab;
    assert.ok(settings);
    const ignore = (): void => undefined;
    databases = await openGitlab(settings, { debug: ignore, info: ignore, warn: ignore, error: ignore });
    second = await startTestServer({ environment: first.environment, gitlab: databases });
  });
  after(async () => {
    await second.close();
    await databases.close();
    await first.close();
  });
  afterEach(() => first.copy());

  async function outcome(server: TestServer, as: Login | null): Promise<string> {
    const { status, body } = await server.ask({ ...(as && { as }), scope: 'repository:acme/app:pull' });
    if (status !== 200) return String(status);
    return (await server.verify(body.token)).access.flatMap(({ actions }) => actions).join();
  }

  for (const [what, sql, as, before, after] of CHANGES) {
    it(`${what}: ${before} becomes ${after || 'nothing'}`, async () => {
      // Asked twice, so that anything that is remembered would be.
      for (const server of [first, second, first, second]) assert.equal(await outcome(server, as), before);
      await first.gitlab.main.execute(sql);
      for (const server of [first, second]) assert.equal(await outcome(server, as), after);
    });
  }
});
