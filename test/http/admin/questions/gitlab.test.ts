import assert from 'node:assert/strict';
import type { ConfiguredIdentity } from '../../../../src/config/federation.ts';
import { fromRecords, toSubjectQuestion } from '../../../../src/http/admin/named-subject.ts';
import { allowedSubjects } from '../../../../src/http/admin/questions/allowed-subjects.ts';
import { takePage } from '../../../../src/http/admin/questions/pages.ts';
import { reachableRepositories } from '../../../../src/http/admin/questions/reachable-repositories.ts';
import type { AllowedSubject, WhatCan } from '../../../../src/http/types.ts';
import type { Action } from '../../../../src/policy/role.ts';
import { projectPaths } from '../../../../src/policy/scope.ts';
import { ANONYMOUS } from '../../../../src/policy/subject.ts';
import { restoreIdentity, revokeConfiguredIdentity } from '../../../../src/store/federation/revocations.ts';
import type { DirectoryQuestions } from '../../../../src/store/source/questions.ts';
import { type GitlabQuestionsFixture, openGitlabQuestions } from '../../../support/gitlab/questions.ts';
import { GITLAB_VERSIONS } from '../../../support/gitlab/tables.ts';

const secret = (prefix: string): string => `${prefix}-example-of-questions-1`;
const DIRECTORY = {
  users: [
    { username: 'dev', id: 1 },
    { username: 'boss', id: 2, admin: true },
    { username: 'eye', id: 3, auditor: true },
    { username: 'olga', id: 4 },
    { username: 'robot', id: 5, kind: 'service_account' },
    { username: 'ext', id: 6, external: true },
  ],
  groups: [
    { path: 'acme', id: 10, members: [{ user: 'robot', role: 'developer' }] },
    { path: 'other', id: 11 },
    { path: 'acme/sub', id: 13 },
  ],
  projects: [
    {
      path: 'acme/app',
      id: 100,
      members: [
        { user: 'dev', role: 'developer' },
        { user: 'ext', role: 'reporter' },
      ],
      job_token_allowlist: ['other/tool', 'other'],
    },
    { path: 'acme/lib', id: 101 },
    { path: 'other/tool', id: 102 },
  ],
  access_tokens: [
    {
      id: 51,
      kind: 'project',
      project: 'acme/app',
      role: 'developer',
      name: 'bot',
      scopes: ['api'],
      token: secret('glpat'),
    },
  ],
  deploy_tokens: [
    { id: 41, username: 'writer', group: 'acme', scopes: ['write_registry'], token: secret('gldt') },
    { id: 42, username: 'puller', group: 'other', scopes: ['read_registry'], token: secret('gldt-2') },
  ],
};
const PUSHERS = [
  'user dev',
  'user boss',
  'service_account robot',
  'project_bot access-51',
  'deploy_token writer deploy-41',
  'job acme/app',
];
const without = (...rows: string[]): string[] => PUSHERS.filter((row) => !rows.includes(row));
const RELEASE: ConfiguredIdentity = {
  name: 'release',
  issuer: 'ci',
  account: 'Robot',
  scopes: ['api'],
  claims: {},
  expiresOn: null,
};

interface Place {
  readonly limit?: number;
  readonly after?: string;
}

async function whoCan(
  questions: DirectoryQuestions,
  action: Action,
  name: string,
  { limit = 1000, after = '' }: Place = {},
): Promise<{
  readonly rows: readonly string[];
  readonly subjects: readonly AllowedSubject[];
  readonly next: string | undefined;
}> {
  const facts = await questions.facts(ANONYMOUS, projectPaths(name));
  const [project] = facts.projects;
  assert.ok(project, name);
  const steps = allowedSubjects(questions, { name, action, project, facts, now: new Date() }, after);
  const { rows, next } = await takePage<AllowedSubject>(steps, limit, () => 0);
  const toRow = ({ kind, name: of, credential }: AllowedSubject): string =>
    [kind, ...(kind === 'project_bot' ? [] : [of]), ...(credential ? [credential] : [])].join(' ');
  return { rows: rows.map(toRow), subjects: rows, next };
}

async function whatCan(
  questions: DirectoryQuestions,
  as: string,
  { action, under }: { readonly action?: Action; readonly under?: string } = {},
): Promise<readonly string[]> {
  const asked = toSubjectQuestion(as);
  const now = new Date();
  const subject = fromRecords(asked, await questions.find(asked), { tokenScopes: ['api'], now });
  assert.ok(subject, as);
  if (typeof subject === 'string') return [subject];
  const groupId = under === undefined ? null : await questions.findGroup(under);
  const question = { subject, action, onlyByRole: false, groupId, now };
  const steps = reachableRepositories(questions, question, '');
  const { rows } = await takePage<WhatCan['repositories'][number]>(steps, 20_000, () => 0);
  return rows.map(({ path, actions }) => `${path} ${actions}`);
}

for (const version of GITLAB_VERSIONS) {
  describe(`who-can and what-can on a GitLab ${version}`, () => {
    let gitlab: GitlabQuestionsFixture;
    before(async () => {
      gitlab = await openGitlabQuestions({ version });
      await gitlab.apply(DIRECTORY);
    });
    after(() => gitlab.close());

    it('name each kind of subject', async () => {
      const { questions } = gitlab.answers();
      assert.deepEqual((await whoCan(questions, 'push', 'acme/app')).rows.toSorted(), PUSHERS.toSorted());
      assert.deepEqual(await whatCan(questions, 'user:dev'), ['acme/app pull,push']);
    });
  });
}

describe("who-can and what-can on a GitLab's database", () => {
  let gitlab: GitlabQuestionsFixture;
  before(async () => {
    gitlab = await openGitlabQuestions();
  });
  after(() => gitlab.close());
  beforeEach(() => gitlab.apply(DIRECTORY));

  const ROWS: [title: string, statement: string, expected: readonly string[], edition?: 'ce'][] = [
    [
      'a user with LDAP, by an access token',
      "INSERT INTO identities (user_id, provider) VALUES (1, 'ldapmain')",
      PUSHERS,
    ],
    [
      'nobody who must act for another user',
      'UPDATE users SET composite_identity_enforced = true WHERE id = 1',
      without('user dev'),
    ],
    ["none of GitLab's own accounts", 'UPDATE users SET user_type = 11 WHERE id = 1', without('user dev')],
    [
      'nobody whom LDAP has blocked',
      "UPDATE users SET state = 'ldap_blocked' WHERE id = 1",
      without('user dev'),
    ],
    ['a deactivated user, as GitLab does', "UPDATE users SET state = 'deactivated' WHERE id = 1", PUSHERS],
    [
      'nobody who is banned from the root group',
      'INSERT INTO namespace_bans (namespace_id, user_id) VALUES (10, 1)',
      without('user dev'),
    ],
    [
      'a banned user without a licence',
      'INSERT INTO namespace_bans (namespace_id, user_id) VALUES (10, 1)',
      PUSHERS,
      'ce',
    ],
    [
      'nobody whose level is unknown',
      'UPDATE project_authorizations SET access_level = 35 WHERE user_id = 1',
      without('user dev'),
    ],
    [
      'whom the higher of two roles lets',
      'INSERT INTO project_authorizations (user_id, project_id, access_level) VALUES (1, 100, 10)',
      PUSHERS,
    ],
    [
      'the owner of the organization',
      'INSERT INTO organization_users (organization_id, user_id, access_level) VALUES (1, 4, 50)',
      [...PUSHERS, 'user olga'],
    ],
    [
      'no member of the organization',
      'INSERT INTO organization_users (organization_id, user_id, access_level) VALUES (1, 4, 10)',
      PUSHERS,
    ],
    [
      'no bot whose token is granular',
      'UPDATE personal_access_tokens SET granular = true',
      without('project_bot access-51'),
    ],
    [
      'no bot while access tokens are switched off',
      'UPDATE application_settings SET disable_personal_access_tokens = true',
      without('project_bot access-51'),
    ],
    [
      'no service account whose token is revoked',
      "INSERT INTO personal_access_tokens (user_id, name, scopes, revoked) VALUES (5, 'old', '--- []', true)",
      without('service_account robot'),
    ],
    ['nobody in an archived group', 'UPDATE namespaces SET state = 1 WHERE id = 10', []],
    ['no external user of a mere reporter', 'UPDATE users SET external = true WHERE id = 4', PUSHERS],
  ];
  for (const [title, statement, expected, edition = 'ee'] of ROWS) {
    it(`list ${title}`, async () => {
      await gitlab.gitlab.main.execute(statement);
      const { questions } = gitlab.answers([], edition === 'ee');
      assert.deepEqual((await whoCan(questions, 'push', 'acme/app')).rows.toSorted(), expected.toSorted());
    });
  }

  it('say why a user who must act for another user reaches nothing', async () => {
    await gitlab.gitlab.main.execute('UPDATE users SET composite_identity_enforced = true WHERE id = 1');
    assert.deepEqual(await whatCan(gitlab.answers().questions, 'user:dev'), ['composite_identity']);
  });

  it('say that an internal project is open to deploy tokens, and list its own', async () => {
    await gitlab.gitlab.main.execute('UPDATE projects SET visibility_level = 10 WHERE id = 102');
    const { questions } = gitlab.answers();
    const { rows, subjects } = await whoCan(questions, 'pull', 'other/tool');
    assert.deepEqual(rows, ['internal *', 'deploy_token puller deploy-42', 'job other/tool']);
    assert.match(
      subjects[0]?.reason ?? '',
      /each user may who isn't external, and each deploy token with read_registry$/,
    );
    assert.deepEqual(await whatCan(questions, 'token:deploy-42'), ['other/tool pull']);
    assert.deepEqual(await whatCan(questions, 'user:ext'), ['acme/app pull']);
  });

  const LIMIT_JOBS =
    'UPDATE project_ci_cd_settings SET job_token_scope_enabled = true WHERE project_id = 102';
  const JOBS: [title: string, statements: readonly string[], expected: readonly string[]][] = [
    ['the projects and groups of the allowlist', [], ['job acme/app', 'job other', 'job other/tool']],
    ['no project whose jobs do not want to reach this one', [LIMIT_JOBS], ['job acme/app', 'job other']],
    [
      'a project whose jobs want to reach this one',
      [
        LIMIT_JOBS,
        'INSERT INTO ci_job_token_project_scope_links (source_project_id, target_project_id) VALUES (102, 100)',
      ],
      ['job acme/app', 'job other', 'job other/tool'],
    ],
    [
      'all where the allowlist is open',
      ['UPDATE project_ci_cd_settings SET inbound_job_token_scope_enabled = false WHERE project_id = 100'],
      ['job *', 'job acme/app', 'job other', 'job other/tool'],
    ],
  ];
  for (const [title, statements, expected] of JOBS) {
    it(`list by jobs ${title}`, async () => {
      for (const statement of statements) await gitlab.gitlab.main.execute(statement);
      const { rows } = await whoCan(gitlab.answers().questions, 'pull', 'acme/app');
      assert.deepEqual(
        rows.filter((row) => row.startsWith('job ')),
        expected,
      );
    });
  }

  it('list an identity of the settings by its account, until it is revoked', async () => {
    const { questions } = gitlab.answers([RELEASE]);
    const identities = async (): Promise<readonly string[]> =>
      (await whoCan(questions, 'push', 'acme/app')).rows.filter((row) => row.startsWith('identity '));
    assert.deepEqual(await identities(), ['identity release identity-release']);
    assert.deepEqual(await whatCan(questions, 'identity:release', { action: 'push' }), [
      'acme/app pull,push',
      'acme/lib pull,push',
    ]);
    await revokeConfiguredIdentity(gitlab.world, 'release', new Date());
    assert.deepEqual(await identities(), []);
    await restoreIdentity(gitlab.world, 'release');
  });

  it('do not depend on who lists new images', async () => {
    const { questions } = gitlab.answers([], true, false);
    assert.deepEqual((await whoCan(questions, 'push', 'acme/app')).rows.toSorted(), PUSHERS.toSorted());
    assert.deepEqual((await whoCan(questions, 'push', 'acme/app/new')).rows.toSorted(), PUSHERS.toSorted());
  });

  for (const limit of [1, 2, 3]) {
    it(`give the same rows in pages of ${limit}`, async () => {
      await gitlab.gitlab.main.execute(
        `INSERT INTO personal_access_tokens (id, user_id, name, scopes)
         SELECT 60 + n, user_id, 'more', scopes FROM personal_access_tokens, generate_series(1, 3) AS n WHERE id = 51`,
      );
      const { questions } = gitlab.answers([RELEASE]);
      const all = await whoCan(questions, 'pull', 'acme/app');
      const rows: string[] = [];
      let next: string | undefined = '';
      while (next !== undefined) {
        const page = await whoCan(questions, 'pull', 'acme/app', { limit, after: next });
        rows.push(...page.rows);
        next = page.next;
      }
      assert.deepEqual(rows, all.rows);
      assert.equal(rows.length, 13, rows.join());
    });
  }

  it('go through a group and a GitLab of more projects than one statement looks at', async () => {
    // More than the largest group whose projects are sorted.
    const many = 'FROM generate_series(1001, 11100) AS n';
    for (const statement of [
      "INSERT INTO namespaces (id, type, path, traversal_ids) VALUES (12, 'Group', 'many', '{12}')",
      "INSERT INTO routes (source_type, source_id, path) VALUES ('Namespace', 12, 'Many')",
      `INSERT INTO projects (id, namespace_id, path) SELECT n, 12, 'p' || n ${many}`,
      `INSERT INTO routes (source_type, source_id, path) SELECT 'Project', n, 'Many/p' || n ${many}`,
      `INSERT INTO project_features (project_id, container_registry_access_level) SELECT n, 20 ${many}`,
      `INSERT INTO project_authorizations (user_id, project_id, access_level) SELECT 1, n, 20 ${many} WHERE n % 100 = 0`,
      'ANALYZE',
    ])
      await gitlab.gitlab.main.execute(statement);
    const { questions } = gitlab.answers();
    const ofMany = Array.from({ length: 101 }, (_, at) => `many/p${1100 + at * 100} pull`);
    assert.deepEqual(
      (await whatCan(questions, 'user:dev')).toSorted(),
      ['acme/app pull,push', ...ofMany].toSorted(),
    );
    assert.deepEqual((await whatCan(questions, 'user:dev', { under: 'many' })).toSorted(), ofMany.toSorted());
    assert.deepEqual(await whatCan(questions, 'user:dev', { under: 'acme' }), ['acme/app pull,push']);
    assert.deepEqual(await whatCan(questions, 'user:dev', { action: 'push' }), ['acme/app pull,push']);
    assert.deepEqual(await whatCan(questions, 'user:dev', { action: 'push', under: 'many' }), []);
  }).timeout(30_000);

  const NEAR: [
    title: string,
    table: 'access' | 'deploy',
    groupId: number | null,
    expected: readonly number[],
  ][] = [
    ['deploy tokens of the group', 'deploy', 10, [41]],
    ['deploy tokens of a group above', 'deploy', 13, [41]],
    ['deploy tokens anywhere', 'deploy', null, [41, 42]],
    ['access tokens by a role in the group', 'access', 10, [51]],
    ['no access token without a role there', 'access', 11, []],
    ['access tokens anywhere', 'access', null, [51]],
  ];
  for (const [title, table, groupId, expected] of NEAR) {
    it(`find near a group ${title}`, async () => {
      const { questions } = gitlab.answers();
      const asked = { table, ids: [41, 42, 51], groupId, roles: ['developer'] } as const;
      assert.deepEqual([...(await questions.findTokensNear(asked))].toSorted(), expected);
    });
  }

  it('go through the projects of an owner of the organization', async () => {
    await gitlab.gitlab.main.execute(
      'INSERT INTO organization_users (organization_id, user_id, access_level) VALUES (1, 4, 50)',
    );
    const pushes = await whatCan(gitlab.answers().questions, 'user:olga', { action: 'push' });
    assert.deepEqual(
      pushes.map((row) => row.split(' ')[0]),
      ['acme/app', 'acme/lib', 'other/tool'],
    );
  });

  it('ask one after the other, so that a flood of them leaves connections', async () => {
    const { questions } = gitlab.answers();
    const answers = await Promise.all(Array.from({ length: 20 }, () => whatCan(questions, 'user:dev')));
    for (const answer of answers) assert.deepEqual(answer, ['acme/app pull,push']);
    assert.equal(gitlab.mostAtOnce(), 1);
  });
});
