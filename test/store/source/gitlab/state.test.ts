import assert from 'node:assert/strict';
import { questionOf } from '../../../../src/authn/credential-kinds.ts';
import { CellpassError } from '../../../../src/errors.ts';
import type { Sql } from '../../../../src/store/database/drivers.ts';
import { deriveKeys } from '../../../../src/store/source/gitlab/keys.ts';
import { createGitlabSource, type GitlabSource } from '../../../../src/store/source/gitlab/source.ts';
import { sealJobKey } from '../../../support/gitlab/company.ts';
import { type ByRoles, openByRoles } from '../../../support/gitlab/roles.ts';
import { type GitlabTestServer, startGitlabServer } from '../../../support/gitlab/server.ts';
import { until } from '../../../support/processes/child.ts';

const DEV = 'glpat-example-dev-0000001';
const JOB = 'glcbt-64_exampleexample';
const DIRECTORY = {
  users: [{ username: 'dev', id: 1, password: 'correct horse battery' }],
  groups: [{ path: 'acme', id: 10 }],
  projects: [{ path: 'acme/app', id: 100, members: [{ user: 'dev', role: 'developer' }] }],
  access_tokens: [{ kind: 'personal', name: 'dev', user: 'dev', scopes: ['api'], token: DEV }],
  job_tokens: [{ id: 7, project: 'acme/app', user: 'dev', token: JOB }],
};
type Login = readonly [username: string, password: string];
const dev: Login = ['x', DEV];
const job: Login = ['gitlab-ci-token', JOB];
const password: Login = ['dev', 'correct horse battery'];
const forged: Login = ['gitlab-ci-token', 'glcbt-eyJhbGciOiJSUzI1NiJ9.e30.AAAA'];
/** By the connections that carry questions. */
const PREPARED = { name: 'prepared', text: 'SELECT name FROM pg_prepared_statements', isHot: true } as const;
/** Longer than anything that is known of a GitLab is kept. */
const LATER_MS = 3_600_000;

for (const hasOwnCi of [false, true]) {
  describe(`what is known of a GitLab${hasOwnCi ? ' whose CI has a database of its own' : ''}`, () => {
    let server: GitlabTestServer;
    let databases: ByRoles;
    let source: GitlabSource;
    let warnings: string[];
    let ms: number;

    before(async () => {
      server = await startGitlabServer({ hasOwnCi });
      await server.apply(DIRECTORY);
    });
    after(() => server.close());
    beforeEach(async () => {
      databases = await openByRoles(server.gitlab);
      warnings = [];
      ms = 0;
      source = open(databases.main);
    });
    afterEach(() => databases.close());

    const open = (main: Sql): GitlabSource =>
      createGitlabSource({
        main,
        ci: databases.ci,
        write: null,
        isEnterprise: false,
        keys: deriveKeys([server.gitlab.dbKeyBase]),
        log: { warn: (_, message) => warnings.push(message) },
        now: () => new Date(),
        monotonicMs: () => ms,
      });
    const ask = (login: Login | null) =>
      source.ask(questionOf(login && { username: login[0], password: login[1] }), ['acme/app']);
    const askAll = async (): Promise<void> => {
      for (const login of [dev, job, password, forged, null]) await ask(login);
    };

    it('prepares nothing new when it is looked at again, whatever strangers send', async () => {
      const prepared = async (): Promise<readonly string[]> => {
        const names = new Set<string>();
        // Each connection has its own.
        for (let n = 0; n < 16; n++) {
          const rows = await databases.main.query<{ name: string }>(PREPARED);
          for (const { name } of rows) names.add(name);
        }
        return [...names].sort();
      };
      for (let n = 0; n < 4; n++) await askAll();
      const first = await prepared();
      assert.ok(first.length > 0);
      for (let n = 0; n < 10; n++) {
        ms += LATER_MS;
        await askAll();
        await source.look();
      }
      assert.deepEqual(await prepared(), first);
    });

    it('is 503 for credentials once db_key_base is no longer right, and serves strangers', async () => {
      await askAll();
      const { jobKey, main } = server.gitlab;
      assert.ok(jobKey);
      const { value, iv } = sealJobKey(jobKey, 'f'.repeat(128));
      await main.execute(
        `UPDATE application_settings SET encrypted_ci_job_token_signing_key = '${value}', encrypted_ci_job_token_signing_key_iv = '${iv}'`,
      );
      try {
        ms += LATER_MS;
        await ask(forged).catch(() => undefined);
        await until(
          async () => ((await source.look()).keys === 'wrong' ? true : undefined),
          () => 'the key is not looked at',
        );
        for (const login of [dev, job, password, forged]) {
          await assert.rejects(ask(login), (error: unknown) => {
            assert.ok(error instanceof CellpassError);
            assert.deepEqual([error.code, error.reason], ['unavailable', 'gitlab_unfit']);
            assert.match(error.message, /db_key_base is no longer this GitLab's/);
            return true;
          });
        }
        await ask(null);
      } finally {
        await server.copy();
      }
    });

    it('is kept where looking again fails because nobody answers', async () => {
      await askAll();
      const broken = databases.main.query;
      let fails = false;
      const main = {
        ...databases.main,
        query: (async (statement, values) => {
          if (fails && typeof statement === 'string') throw new CellpassError('unavailable', 'away');
          return broken(statement, values);
        }) as typeof broken,
      };
      source = open(main);
      await askAll();
      fails = true;
      for (let n = 0; n < 3; n++) {
        ms += LATER_MS;
        await ask(dev);
        await ask(null);
      }
      assert.ok(
        warnings.length > 0 && warnings.every((line) => line === "GitLab's database was not looked at anew"),
      );
    });

    it('counts no more where looking again finds a column that may not be read', async () => {
      await askAll();
      const { main } = server.gitlab;
      // A rule that came with an upgrade, and that this role has no right to.
      await main.execute('ALTER TABLE application_settings DROP COLUMN maintenance_mode');
      await source.look();
      ms += LATER_MS;
      await ask(dev);
      await main.execute('ALTER TABLE application_settings ADD COLUMN maintenance_mode boolean DEFAULT true');
      ms += LATER_MS;
      const reason = await until(
        () => ask(dev).then(() => undefined, String),
        () => 'it goes on without the rule',
      );
      assert.match(reason, /may not read application_settings\.maintenance_mode/);
    });
  });
}
