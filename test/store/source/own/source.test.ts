import assert from 'node:assert/strict';
import { questionOf } from '../../../../src/authn/credential-kinds.ts';
import type { DirectorySource } from '../../../../src/authn/source.ts';
import { applyDirectory } from '../../../../src/directory/apply.ts';
import type { Membership, Project } from '../../../../src/policy/project.ts';
import type { Subject } from '../../../../src/policy/subject.ts';
import { ANONYMOUS } from '../../../../src/policy/subject.ts';
import { claimForCell } from '../../../../src/store/database/cell-claim.ts';
import type { Database } from '../../../../src/store/database/drivers.ts';
import { migrate } from '../../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../../src/store/database/postgres.ts';
import { createOwnSource } from '../../../../src/store/source/own/source.ts';
import { openTestPglite } from '../../../support/database/pglite.ts';
import { sharedPostgres } from '../../../support/database/postgres.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', openPostgresInBerlin],
  ['PGlite', openTestPglite],
];

/** Dates must not depend on the session's zone. */
async function openPostgresInBerlin(): Promise<Database> {
  const url = await (await sharedPostgres()).createMigratedDatabase();
  const database = openPostgres(url);
  await database.execute(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET timezone TO 'Europe/Berlin'`);
  await database.close();
  return openPostgres(url);
}

const TOKENS = {
  personal: 'glpat-example-personal-1',
  bot: 'glpat-example-project-bot-1',
  deploy: 'gldt-example-deploy-1',
  groupDeploy: 'gldt-example-group-deploy-1',
  job: 'glcbt-example-job-token-1',
};

const DIRECTORY = {
  version: 1,
  settings: { password_authentication: false },
  organizations: [
    { path: 'default', id: 1, owners: ['owner'] },
    { path: 'labs', maintenance: true },
  ],
  users: [
    { username: 'Alice', id: 11, email: 'Alice@Example.com', two_factor: true },
    { username: 'owner', id: 12 },
    { username: 'a_b', id: 13 },
  ],
  groups: [
    {
      path: 'acme',
      id: 20,
      members: [{ user: 'alice', role: 'reporter', expires_at: '2099-01-31' }],
      over_storage_limit: true,
      ip_allowlist: ['10.0.0.0/8'],
    },
    {
      path: 'acme/sub',
      archived: true,
      over_storage_limit: true,
      share_with_group_lock: true,
      ip_allowlist: ['192.0.2.1'],
      invited_groups: [{ group: 'friends', role: 'guest', expires_at: '2099-02-28' }],
    },
    { path: 'friends', members: [{ user: 'alice', role: 'developer' }] },
    { path: 'labs-group', organization: 'labs' },
    { path: 'roomy' },
    { path: 'roomy/full', over_storage_limit: true },
  ],
  projects: [
    {
      path: 'acme/sub/Api',
      id: 101,
      visibility: 'internal',
      container_registry: 'private',
      deletion_scheduled: true,
      members: [{ user: 'alice', role: 'guest' }],
      invited_groups: [{ group: 'friends', role: 'maintainer' }],
      job_token_allowlist: ['acme/open', 'friends'],
      protected_repositories: [
        { pattern: 'acme/sub/api/b*', minimum_role_for_push: 'owner' },
        { pattern: 'acme/sub/api/a*', minimum_role_for_delete: 'admin' },
      ],
      protected_tags: [
        { pattern: 'v.*', minimum_role_for_push: 'maintainer', minimum_role_for_delete: 'owner' },
        { pattern: 'r.*', immutable: true },
      ],
    },
    { path: 'acme/open', id: 102, job_token_allowlist: 'anyone' },
    { path: 'friends/kit', id: 103 },
    { path: 'alice/dotfiles', id: 104 },
    { path: 'labs-group/lab', id: 105 },
    { path: 'roomy/full/app', id: 106, archived: true },
  ],
  access_tokens: [
    {
      name: 'laptop',
      kind: 'personal',
      user: 'alice',
      scopes: ['api', 'read_user'],
      expires_at: '2099-01-31',
      token: TOKENS.personal,
    },
    {
      name: 'ci',
      kind: 'project',
      project: 'acme/open',
      role: 'developer',
      scopes: ['api'],
      token: TOKENS.bot,
    },
  ],
  deploy_tokens: [
    {
      username: 'puller',
      scopes: ['read_registry'],
      projects: ['acme/open'],
      expires_at: '2099-01-31T10:00:00Z',
      token: TOKENS.deploy,
    },
    { username: 'group-puller', scopes: ['read_registry'], group: 'acme', token: TOKENS.groupDeploy },
  ],
  job_tokens: [
    { project: 'acme/open', user: 'alice', expires_at: '2099-01-31T10:00:00Z', token: TOKENS.job },
  ],
};

const none = { abilities: new Set<never>(), expiresAt: null };
const alice = { id: 11, username: 'Alice', admin: false, auditor: false, external: false };
const asUser = (id: number): Subject => ({
  ...none,
  kind: 'user',
  authType: 'gitlab_or_ldap',
  person: { ...alice, id },
  tokenScopes: null,
});
const asJob = (projectId: number): Subject => ({
  ...none,
  kind: 'job',
  jobId: 1,
  projectId,
  projectPath: '',
  person: alice,
});
const asDeployToken = (deployTokenId: number): Subject => ({
  ...none,
  kind: 'deploy_token',
  deployTokenId,
  username: 'puller',
  tokenScopes: [],
});

for (const [driver, open] of DRIVERS) {
  describe(`the own tables as a source, on ${driver}`, () => {
    let database: Database;
    let source: DirectorySource;
    before(async () => {
      database = await open();
      await migrate(database);
      source = createOwnSource(database);
      const passwords = { hash: async () => '', verify: async () => false };
      await applyDirectory({ database, passwords, now: () => new Date() }, JSON.stringify(DIRECTORY), {
        prune: false,
        who: 'a test',
      });
    });
    after(() => database.close());

    const ask = async (username: string, password: string) => {
      const { credentials } = await source.ask(questionOf({ username, password }), []);
      return credentials;
    };

    const find = async (subject: Subject, path: string): Promise<Project> => {
      const { projects } = await source.facts(subject, [path]);
      assert.equal(projects.length, 1);
      return projects[0]!;
    };

    describe('who has this secret', () => {
      it('finds an access token with its owner, and its date as text', async () => {
        const { accessToken, passwordAuthentication, account, deployToken, job } = await ask(
          'alice',
          TOKENS.personal,
        );
        assert.equal(passwordAuthentication, false);
        assert.deepEqual([account, deployToken, job], [null, null, null]);
        assert.deepEqual(
          { ...accessToken, id: 0 },
          {
            id: 0,
            name: 'laptop',
            scopes: ['api', 'read_user'],
            expiresOn: '2099-01-31',
            endsAt: null,
            identity: null,
            revoked: false,
            owner: {
              id: 11,
              username: 'Alice',
              kind: 'human',
              state: 'active',
              admin: false,
              auditor: false,
              external: false,
              twoFactor: true,
              passwordExpired: false,
              passwordHash: null,
            },
          },
        );
      });

      it("finds a project token's bot", async () => {
        const { accessToken } = await ask('', TOKENS.bot);
        assert.equal(accessToken?.owner.kind, 'project_bot');
      });

      it('finds a deploy token, and its end as a moment', async () => {
        const { deployToken } = await ask('', TOKENS.deploy);
        assert.deepEqual(
          { ...deployToken, id: 0 },
          {
            id: 0,
            username: 'puller',
            scopes: ['read_registry'],
            expiresAt: new Date('2099-01-31T10:00:00Z'),
            revoked: false,
          },
        );
      });

      it('finds a job, and only behind the user name of jobs', async () => {
        const { job } = await ask('gitlab-ci-token', TOKENS.job);
        assert.deepEqual([job?.projectId, job?.projectPath, job?.user?.id], [102, 'acme/open', 11]);
        assert.deepEqual(job?.expiresAt, new Date('2099-01-31T10:00:00Z'));
        assert.equal((await ask('alice', TOKENS.job)).job, null);
      });

      it("finds a token behind the user name of jobs, where it is no job's", async () => {
        const { job, accessToken } = await ask('gitlab-ci-token', TOKENS.personal);
        assert.deepEqual([job, accessToken?.name], [null, 'laptop']);
        assert.equal((await ask('gitlab-ci-token', TOKENS.deploy)).deployToken?.username, 'puller');
      });

      const logins: [login: string, found: number | null][] = [
        ['alice', 11],
        ['alice@example.com', 11],
        ['Alice', 11],
        ['ALICE@example.COM', 11],
        ['a_b', 13],
        ['acb', null],
        ['a%', null],
        ['%', null],
        ['a\\_b', null],
        ['ａlice', null],
        ["' OR true --", null],
      ];
      for (const [username, found] of logins) {
        it(`by name, ${username} is ${found === null ? 'no user' : `user ${found}`}`, async () => {
          const { account } = await ask(username, 'x');
          assert.equal(account?.id ?? null, found);
        });
      }
    });

    describe('what about these projects', () => {
      it('has every fact of a project and the groups above it', async () => {
        const { memberships, ...facts } = await find(ANONYMOUS, 'acme/sub/api');
        assert.deepEqual(memberships, []);
        assert.deepEqual(facts, {
          id: 101,
          path: 'acme/sub/api',
          rootNamespaceId: 20,
          organizationId: 1,
          visibility: 'internal',
          registryAccess: 'private',
          archivedBy: 'acme/sub',
          deletionScheduled: true,
          maintainedOrganization: null,
          overStorageLimit: 'acme',
          shareLockedBy: 'acme/sub',
          ipAllowlists: [
            { group: 'acme', ranges: ['10.0.0.0/8'] },
            { group: 'acme/sub', ranges: ['192.0.2.1'] },
          ],
          protectedRepositories: [
            { pattern: 'acme/sub/api/b*', minimumRoleForPush: 'owner', minimumRoleForDelete: null },
            { pattern: 'acme/sub/api/a*', minimumRoleForPush: null, minimumRoleForDelete: 'admin' },
          ],
          protectedTags: [
            {
              pattern: 'v.*',
              minimumRoleForPush: 'maintainer',
              minimumRoleForDelete: 'owner',
              immutable: false,
            },
            { pattern: 'r.*', minimumRoleForPush: null, minimumRoleForDelete: null, immutable: true },
          ],
          ownDeployToken: false,
          jobAccess: 'not_listed',
        });
      });

      it('has every way in which a user is a member', async () => {
        const { memberships } = await find(asUser(11), 'acme/sub/api');
        const byVia = new Map(memberships.map((membership) => [membership.via, membership]));
        const plain = { expiresOn: null, invitation: null };
        const expected: Membership[] = [
          { ...plain, via: 'project', path: 'acme/sub/api', role: 'guest' },
          { ...plain, via: 'group', path: 'acme', role: 'reporter', expiresOn: '2099-01-31' },
          {
            ...plain,
            via: 'group_invited_to_group',
            path: 'acme/sub',
            role: 'developer',
            invitation: { group: 'friends', role: 'guest', expiresOn: '2099-02-28' },
          },
          {
            ...plain,
            via: 'group_invited_to_project',
            path: 'acme/sub/api',
            role: 'developer',
            invitation: { group: 'friends', role: 'maintainer', expiresOn: null },
          },
        ];
        assert.equal(memberships.length, expected.length);
        for (const membership of expected) assert.deepEqual(byVia.get(membership.via), membership);
      });

      it('knows owners of organizations and of personal namespaces', async () => {
        const [owner] = (await find(asUser(12), 'acme/open')).memberships;
        assert.deepEqual([owner?.via, owner?.path, owner?.role], ['organization', 'default', 'owner']);
        const [personal] = (await find(asUser(11), 'alice/dotfiles')).memberships;
        assert.deepEqual(
          [personal?.via, personal?.path, personal?.role],
          ['personal_namespace', 'alice', 'owner'],
        );
        assert.deepEqual((await find(asUser(12), 'labs-group/lab')).memberships, []);
      });

      it('knows which organization is in maintenance', async () => {
        assert.equal((await find(ANONYMOUS, 'labs-group/lab')).maintainedOrganization, 'labs');
      });

      it('heeds the storage limit of the root group alone, and what is archived itself', async () => {
        const { overStorageLimit, archivedBy, ipAllowlists } = await find(ANONYMOUS, 'roomy/full/app');
        assert.deepEqual([overStorageLimit, archivedBy, ipAllowlists], [null, 'roomy/full/app', []]);
        assert.equal((await find(ANONYMOUS, 'acme/open')).archivedBy, null);
      });

      it('knows how far a deploy token reaches', async () => {
        const idOf = async (secret: string) => (await ask('', secret)).deployToken!.id;
        const reach = async (secret: string, path: string) =>
          (await find(asDeployToken(await idOf(secret)), path)).ownDeployToken;
        assert.equal(await reach(TOKENS.deploy, 'acme/open'), true);
        assert.equal(await reach(TOKENS.deploy, 'acme/sub/api'), false);
        assert.equal(await reach(TOKENS.groupDeploy, 'acme/sub/api'), true);
        assert.equal(await reach(TOKENS.groupDeploy, 'friends/kit'), false);
      });

      const jobs: [origin: number, target: string, access: string][] = [
        [102, 'acme/sub/api', 'listed'],
        [103, 'acme/sub/api', 'listed'],
        [104, 'acme/sub/api', 'not_listed'],
        [104, 'acme/open', 'anyone'],
        [102, 'friends/kit', 'not_listed'],
      ];
      for (const [origin, target, access] of jobs) {
        it(`lets a job of project ${origin} into ${target}: ${access}`, async () => {
          assert.equal((await find(asJob(origin), target)).jobAccess, access);
        });
      }

      const unknown = [
        'acme/none',
        'acme/_pen',
        'acme/%',
        'acme/ope',
        'acme/open/',
        'acme\\open',
        'аcme/open',
        'Acme/Open',
      ];
      it('finds by equality alone', async () => {
        assert.deepEqual((await source.facts(ANONYMOUS, unknown)).projects, []);
      });

      it('finds several at once, and knows the installation even for none', async () => {
        const { projects } = await source.facts(asUser(11), ['acme/open', 'friends/kit', 'none/none']);
        assert.deepEqual(projects.map(({ path }) => path).sort(), ['acme/open', 'friends/kit']);
        const { instance } = await source.facts(ANONYMOUS, []);
        assert.deepEqual(instance, { registryEnabled: true, maintenanceMode: false });
      });
    });

    it('belongs to the cell that claimed it first', async () => {
      await claimForCell(database, 7);
      await claimForCell(database, 7);
      await assert.rejects(claimForCell(database, 8), { code: 'conflict', message: /belongs to cell 7/ });
    });

    it('answers a ping', () => source.ping());
  });
}
