import assert from 'node:assert/strict';
import { createMemoryIssuer, type MemoryIssuer } from '../../../support/federation/issuer.ts';
import { type FederationFile, writeFederation } from '../../../support/federation/settings.ts';
import { type GitlabTestServer, startGitlabServer } from '../../../support/gitlab/server.ts';
import { json, type RailsStandIn, startRailsStandIn } from '../../../support/rails/stand-in.ts';

const DIRECTORY = {
  users: [{ username: 'release-bot', id: 1, kind: 'service_account' }],
  groups: [{ path: 'acme', id: 10 }],
  projects: [{ path: 'acme/app', id: 100, members: [{ user: 'release-bot', role: 'developer' }] }],
};
const IDENTITY = {
  name: 'release',
  issuer: 'ci',
  account: 'release-bot',
  scopes: ['read_registry', 'write_registry'],
  claims: { sub: 'release' },
};

describe('GitLab Rails beside a server that takes ID tokens', () => {
  let issuer: MemoryIssuer;
  let file: FederationFile;
  let rails: RailsStandIn;
  let server: GitlabTestServer;
  before(async () => {
    issuer = await createMemoryIssuer();
    rails = await startRailsStandIn(() => json(401, { errors: [] }));
    file = writeFederation([issuer], { federation: { identities: [IDENTITY] } });
    server = await startGitlabServer({
      mayWrite: false,
      environment: { ...file.environment, CELLPASS_GITLAB_RAILS_URL: rails.url },
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    await server.apply(DIRECTORY);
  });
  after(async () => {
    await server.close();
    await rails.close();
    file.remove();
  });

  const cases: [what: string, flag: string | null, scope: string, status: number, reason?: string][] = [
    ['a pull', null, 'repository:acme/app:pull', 200],
    ['the first push to an image', null, 'repository:acme/app/new:pull,push', 403, 'unlisted_repository'],
    [
      'anything, where another service decides',
      'application_settings SET external_authorization_service_enabled',
      'repository:acme/app:pull',
      503,
      'external_authorization',
    ],
    [
      'an account whose tokens only Rails can judge',
      'users SET composite_identity_enforced',
      'repository:acme/app:pull',
      401,
      'composite_identity',
    ],
  ];
  for (const [what, flag, scope, status, reason] of cases) {
    it(`is not asked about ${what}: ${status}`, async () => {
      const { main } = server.gitlab;
      if (flag !== null) await main.execute(`UPDATE ${flag} = true`);
      const answer = await server.ask({ as: ['oidc', await issuer.sign({ sub: 'release' })], scope });
      if (flag !== null) await main.execute(`UPDATE ${flag} = false`);
      const line = server.log.findLast((one) => one['request_id'] === answer.headers['x-request-id']);
      assert.deepEqual([answer.status, line?.['reason']], [status, reason]);
      assert.deepEqual(rails.seen, []);
      rails.forget();
    });
  }
});
