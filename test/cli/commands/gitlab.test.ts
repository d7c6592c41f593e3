import assert from 'node:assert/strict';
import { createProgram } from '../../../src/cli/program.ts';
import { freePort, sharedPostgres } from '../../support/database/postgres.ts';
import {
  contentOf,
  createGitlab,
  type FixtureOptions,
  type GitlabFixture,
} from '../../support/gitlab/company.ts';
import { grantTo } from '../../support/gitlab/roles.ts';
import { gitlabEnvironment } from '../../support/gitlab/server.ts';
import { GITLAB_VERSIONS } from '../../support/gitlab/tables.ts';

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  /** The message of the error that the command ends with. */
  readonly error: string | null;
}

async function run(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const out = { stdout: '', stderr: '' };
  const terminal = {
    environment,
    stdout: (text: string) => {
      out.stdout += text;
    },
    stderr: (text: string) => {
      out.stderr += text;
    },
  };
  const error = await createProgram(terminal, '0')
    .parseAsync(['gitlab', ...args], { from: 'user' })
    .then(
      () => null,
      (thrown: unknown) => String(thrown instanceof Error ? thrown.message : thrown),
    );
  return { ...out, error };
}

interface World {
  readonly gitlab: GitlabFixture;
  readonly environment: Readonly<Record<string, string>>;
}

async function makeWorld({
  hasOwnCi = false,
  mayWrite = true,
  ...options
}: Omit<FixtureOptions, 'ciUrl'> & {
  readonly hasOwnCi?: boolean;
  readonly mayWrite?: boolean;
} = {}): Promise<World> {
  const postgres = await sharedPostgres();
  const ciUrl = hasOwnCi ? await postgres.createDatabase() : null;
  const gitlab = await createGitlab(await postgres.createDatabase(), { ...options, ciUrl });
  await gitlab.main.execute(
    "INSERT INTO application_settings DEFAULT VALUES; INSERT INTO organizations (path) VALUES ('default')",
  );
  const roles = await grantTo(gitlab);
  return { gitlab, environment: await gitlabEnvironment(gitlab, { ...roles, edition: 'ce', mayWrite }) };
}

describe('gitlab grants', () => {
  it('prints the SQL for the newest GitLab that is known, without any setting', async () => {
    const { stdout, stderr, error } = await run(['grants', '--role', 'reader', '--write-role', 'writer']);
    assert.deepEqual([stderr, error], ['', null]);
    assert.match(stdout, /GRANT CONNECT ON DATABASE "gitlabhq_production" TO "reader";/);
    assert.match(
      stdout,
      /GRANT SELECT \([^)]*token_digest[^)]*\) ON public\.personal_access_tokens TO "reader";/,
    );
    assert.match(
      stdout,
      /INSERT \(project_id, name, created_at, updated_at\) ON public\.container_repositories TO "writer";/,
    );
    assert.match(stdout, /ON public\.p_ci_builds TO "reader";/);
    assert.doesNotMatch(stdout, /CREATE(?! ROLE)|protected_up_to|\bUPDATE\b.*TO "reader"/);
  });

  it('prints no right to write without a role for it', async () => {
    const { stdout } = await run(['grants']);
    assert.doesNotMatch(stdout, /INSERT|UPDATE|DELETE/);
    assert.match(stdout, /TO "cellpass_ro";/);
  });

  it('prints the tables of CI alone for its own database', async () => {
    const { stdout } = await run(['grants', '--ci']);
    const tables = [...stdout.matchAll(/ON public\.(\w+) TO/g)].map(([, table]) => table);
    assert.deepEqual(tables, [
      'p_ci_builds',
      'ci_job_token_project_scope_links',
      'ci_job_token_group_scope_links',
      'ci_project_mirrors',
      'ci_namespace_mirrors',
    ]);
  });

  it('quotes the names of roles', async () => {
    const { stdout } = await run(['grants', '--role', 'odd "name"']);
    assert.match(stdout, /TO "odd ""name""";/);
  });

  it('asks the GitLab that is there, by a role without any right', async () => {
    const { gitlab } = await makeWorld({ version: '17.4' });
    try {
      await gitlab.main.execute('CREATE ROLE nobody_yet LOGIN');
      const url = new URL(gitlab.mainUrl);
      url.username = 'nobody_yet';
      const { stdout, error } = await run(['grants'], { CELLPASS_GITLAB_DATABASE_URL: url.href });
      assert.equal(error, null);
      assert.doesNotMatch(stdout, /tag_rules|granular|encrypted_ci_job_token_signing_key/);
      assert.match(stdout, /minimum_access_level_for_push/);
    } finally {
      await gitlab.close();
    }
  });

  it('leaves CI out where it has a database of its own', async () => {
    const { gitlab } = await makeWorld({ hasOwnCi: true });
    try {
      const { stdout } = await run(['grants'], { CELLPASS_GITLAB_DATABASE_URL: gitlab.mainUrl });
      assert.doesNotMatch(stdout, /p_ci_builds/);
    } finally {
      await gitlab.close();
    }
  });

  it('says that GitLab did not answer, and prints the newest', async () => {
    const url = `postgresql://postgres@127.0.0.1:${await freePort()}/gitlab`;
    const { stdout, stderr, error } = await run(['grants'], { CELLPASS_GITLAB_DATABASE_URL: url });
    assert.equal(error, null);
    assert.match(stderr, /does not answer/);
    assert.match(stdout, /"gitlab" TO "cellpass_ro"/);
  });
});

describe('gitlab check', () => {
  interface Check {
    readonly name: string;
    readonly outcome: 'ok' | 'warning' | 'failed';
    readonly message: string;
  }

  async function checks(world: World, more: Readonly<Record<string, string>> = {}) {
    const { stdout, error } = await run(['check', '--json'], { ...world.environment, ...more });
    const list: readonly Check[] = JSON.parse(stdout).checks;
    return { all: new Map(list.map((one) => [one.name, one])), error, text: stdout };
  }

  for (const version of GITLAB_VERSIONS) {
    for (const hasOwnCi of [false, true]) {
      it(`finds nothing wrong with a GitLab ${version}${hasOwnCi ? ' whose CI has a database of its own' : ''}`, async () => {
        const world = await makeWorld({ version, hasOwnCi });
        try {
          const { all, error } = await checks(world);
          assert.equal(error, null);
          assert.deepEqual(
            [...all.values()].filter(({ outcome }) => outcome === 'failed'),
            [],
          );
          assert.equal(all.get('gitlab columns')?.outcome, version === '19.5' ? 'ok' : 'warning');
          assert.equal(all.get('gitlab writing')?.outcome, 'ok');
        } finally {
          await world.gitlab.close();
        }
      });
    }
  }

  const FAULTS: readonly (readonly [
    what: string,
    sql: string,
    name: string,
    outcome: Check['outcome'],
    message: RegExp,
  ])[] = [
    ['a column is gone', 'ALTER TABLE users DROP COLUMN state', 'gitlab columns', 'failed', /users\.state/],
    [
      'a table is gone',
      'DROP TABLE project_authorizations',
      'gitlab columns',
      'failed',
      /project_authorizations/,
    ],
    ['a later table is gone', 'DROP TABLE namespace_bans', 'gitlab columns', 'warning', /namespace_bans/],
    [
      'a right is missing',
      'REVOKE ALL ON identities FROM PUBLIC; REVOKE SELECT (user_id, provider) ON identities FROM ROLE_RO',
      'gitlab rights',
      'failed',
      /identities\.user_id/,
    ],
    [
      'passwords are withheld',
      'REVOKE SELECT (encrypted_password) ON users FROM ROLE_RO',
      'gitlab rights',
      'warning',
      /passwords are refused/,
    ],
    [
      'another service decides',
      'UPDATE application_settings SET external_authorization_service_enabled = true',
      'gitlab external authorization',
      'failed',
      /503/,
    ],
    [
      'tokens should live too long',
      'UPDATE application_settings SET container_registry_token_expire_delay = 90',
      'gitlab token life',
      'warning',
      /an hour/,
    ],
    [
      'there is LDAP',
      "INSERT INTO identities (user_id, provider) VALUES (1, 'ldapmain')",
      'gitlab features',
      'warning',
      /LDAP/,
    ],
    [
      'there are granular tokens',
      "INSERT INTO personal_access_tokens (user_id, name, granular) VALUES (1, 'x', true)",
      'gitlab features',
      'warning',
      /granular/,
    ],
    [
      'a scheme of passwords is unknown',
      "INSERT INTO users (username, encrypted_password) VALUES ('x', '$9$secret-part')",
      'gitlab features',
      'warning',
      /scheme 9/,
    ],
    [
      'db_key_base is another one, as a deploy token shows',
      "INSERT INTO deploy_tokens (name, expires_at, token_encrypted) VALUES ('x', now(), '|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA1b3fea1f30e2')",
      'gitlab db_key_base',
      'failed',
      /CELLPASS_GITLAB_SECRETS_FILE/,
    ],
    [
      'a right to write is missing',
      'REVOKE INSERT (name) ON container_repositories FROM ROLE_RW',
      'gitlab writing',
      'failed',
      /INSERT \(name\) ON container_repositories/,
    ],
  ];
  for (const [what, sql, name, outcome, message] of FAULTS) {
    it(`says that ${what}`, async () => {
      const world = await makeWorld();
      try {
        const role = (variable: string): string => new URL(world.environment[variable] ?? '').username;
        await world.gitlab.main.execute(
          sql
            .replaceAll('ROLE_RO', role('CELLPASS_GITLAB_DATABASE_URL'))
            .replaceAll('ROLE_RW', role('CELLPASS_GITLAB_WRITE_DATABASE_URL')),
        );
        const { all, error, text } = await checks(world);
        assert.equal(all.get(name)?.outcome, outcome, text);
        assert.match(all.get(name)?.message ?? '', message);
        assert.equal(error !== null, outcome === 'failed');
        assert.doesNotMatch(text, /secret-part/);
      } finally {
        await world.gitlab.close();
      }
    });
  }

  it('says what Rails answers, where there is one', async () => {
    const { gitlab, environment, ...world } = await makeWorld();
    try {
      await gitlab.main.execute(
        "INSERT INTO identities (user_id, provider) VALUES (1, 'ldapmain'); UPDATE application_settings SET external_authorization_service_enabled = true",
      );
      const rails = {
        CELLPASS_GITLAB_RAILS_URL: 'http://127.0.0.1:9',
        CELLPASS_GITLAB_WRITE_DATABASE_URL: '',
      };
      const { all, text } = await checks({ ...world, gitlab, environment: { ...environment, ...rails } });
      assert.equal(all.get('gitlab features')?.outcome, 'ok', text);
      assert.match(all.get('gitlab features')?.message ?? '', /Rails answers .* LDAP/);
      assert.equal(all.get('gitlab external authorization')?.outcome, 'failed');
      assert.match(all.get('gitlab external authorization')?.message ?? '', /Rails answers everything/);
      assert.match(all.get('gitlab writing')?.message ?? '', /left to Rails/);
    } finally {
      await gitlab.close();
    }
  });

  it('fails where CI is elsewhere and nobody says where', async () => {
    const world = await makeWorld({ hasOwnCi: true });
    try {
      const { all, error } = await checks(world, { CELLPASS_GITLAB_CI_DATABASE_URL: '' });
      assert.equal(all.get('gitlab ci')?.outcome, 'failed');
      assert.notEqual(error, null);
    } finally {
      await world.gitlab.close();
    }
  });

  it('warns where nothing proves db_key_base, and where there is no role for writing', async () => {
    const world = await makeWorld({ mayWrite: false });
    try {
      const { all, error } = await checks(world);
      assert.equal(error, null);
      assert.deepEqual(
        [all.get('gitlab db_key_base')?.outcome, all.get('gitlab writing')?.outcome],
        ['warning', 'warning'],
      );
    } finally {
      await world.gitlab.close();
    }
  });

  it('prints one line for each check', async () => {
    const world = await makeWorld();
    try {
      const { stdout } = await run(['check'], world.environment);
      assert.match(stdout, /^ok {4}gitlab database: GitLab's database answers\n/);
      assert.doesNotMatch(stdout, new RegExp(world.gitlab.dbKeyBase.slice(0, 32)));
    } finally {
      await world.gitlab.close();
    }
  });

  it('needs a setting that names a GitLab', async () => {
    const { error } = await run(['check']);
    assert.match(error ?? '', /CELLPASS_GITLAB_DATABASE_URL/);
  });

  it('says so where GitLab does not answer', async () => {
    const world = await makeWorld();
    await world.gitlab.close();
    const url = `postgresql://x@127.0.0.1:${await freePort()}/gitlab`;
    const { all, error } = await checks(world, { CELLPASS_GITLAB_DATABASE_URL: url });
    assert.deepEqual([...all.keys()], ['gitlab database']);
    assert.notEqual(error, null);
  });

  it('changes nothing', async () => {
    const world = await makeWorld();
    try {
      const before = await contentOf(world.gitlab.main);
      await checks(world);
      assert.deepEqual(await contentOf(world.gitlab.main), before);
    } finally {
      await world.gitlab.close();
    }
  });
});
