import assert from 'node:assert/strict';
import type { Project } from '../../src/policy/project.ts';
import type { Subject } from '../../src/policy/subject.ts';
import { type Trace, traceRuling } from '../../src/policy/trace.ts';
import {
  aDeployToken,
  aJob,
  anonymous,
  aPerson,
  aProject,
  ask,
  aTokenUser,
  aUser,
  circumstances,
  decide,
  member,
  repositoryRule,
} from '../support/policy/subjects.ts';

const OTHER_PROJECT = 202;

function trace(
  subject: Subject,
  asked: string,
  facts: Partial<Project> = {},
  maintenanceMode = false,
): Trace {
  const scopes = ask(asked.includes(':') ? asked : `repository:acme/app:${asked}`);
  const at = circumstances({ maintenanceMode });
  const [ruling] = decide({ subject, scopes, projects: [aProject(facts)], circumstances: at }).rulings;
  assert.ok(ruling);
  return traceRuling(ruling);
}

describe('traceRuling: the rules looked at', () => {
  const first = 'registry_disabled credential_ability ip_allowlist';
  const states = `${first} maintenance project_state`;
  const opens = `${states} open_to_everyone open_to_users auditor`;
  const developer: Partial<Project> = { memberships: [member('developer')] };
  const rows: readonly (readonly [
    what: string,
    subject: Subject,
    asked: string,
    facts: Partial<Project>,
    rules: string,
    verdict: string,
  ])[] = [
    ['the first refuses', aUser(), 'pull', { registryAccess: 'disabled' }, 'registry_disabled', 'refuse'],
    ['an anonymous pull', anonymous(), 'pull', {}, `${first} open_to_everyone not_public`, 'refuse'],
    ['a public pull', aUser(), 'pull', { visibility: 'public' }, `${states} open_to_everyone`, 'grant'],
    ["a user's pull", aUser(), 'pull', developer, `${opens} role`, 'grant'],
    [
      "a user's push",
      aUser(),
      'push',
      developer,
      `${opens} role protected_repository storage_limit allowed`,
      'grant',
    ],
    [
      "a deploy token's push",
      aDeployToken(),
      'push',
      { ownDeployToken: true },
      `${states} deploy_token_reach protected_repository storage_limit allowed`,
      'grant',
    ],
    [
      "a job's push",
      aJob(),
      'push',
      developer,
      `${first} maintenance job_elsewhere job_own_project job_push protected_repository storage_limit allowed`,
      'grant',
    ],
    [
      "a job's push without a user",
      aJob(null),
      'push',
      {},
      `${first} maintenance job_elsewhere job_own_project job_push`,
      'forbid',
    ],
    ['a scope of the registry', aUser(), 'registry:catalog:*', {}, 'registry_scope', 'refuse'],
    ['an unknown project', aUser(), 'repository:acme/gone:pull', {}, 'project_unknown', 'refuse'],
  ];
  for (const [what, subject, asked, facts, names, verdict] of rows) {
    it(`${what}: up to the one that decides, in order`, () => {
      const { rules } = trace(subject, asked, facts);
      assert.deepEqual(
        rules.map(({ rule }) => rule),
        names.split(' '),
      );
      assert.deepEqual(
        rules.map((looked) => looked.verdict),
        [...rules.slice(1).map(() => null), verdict],
      );
    });
  }
});

describe('traceRuling: obstacles', () => {
  it('are none where the action is granted, and the reason is that of the rule that decided', () => {
    assert.deepEqual(trace(anonymous(), 'pull', { visibility: 'public' }).obstacles, []);
    assert.equal(trace(anonymous(), 'pull', { visibility: 'public' }).because, 'acme/app is public');
  });

  it('are told with reason and need', () => {
    const { because, obstacles } = trace(aUser(), 'push');
    assert.equal(because, 'alice has no role on acme/app; push needs developer or more');
    assert.deepEqual(obstacles, [{ rule: 'role', because, needs: 'the role developer or more on acme/app' }]);
  });

  const hard: Partial<Project> = {
    registryAccess: 'disabled',
    ipAllowlists: [{ group: 'acme', ranges: ['10.0.0.0/8'] }],
    archivedBy: 'acme',
    overStorageLimit: 'acme',
    protectedRepositories: [repositoryRule('acme/app', 'owner')],
  };
  const disabled: Partial<Project> = { registryAccess: 'disabled' };
  const elsewhere = aJob(aPerson(), OTHER_PROJECT);
  const rows: readonly (readonly [
    what: string,
    subject: Subject,
    asked: string,
    facts: Partial<Project>,
    obstacles: string,
  ])[] = [
    [
      "a user's push",
      aTokenUser(['read_api']),
      'push',
      hard,
      'registry_disabled credential_ability ip_allowlist maintenance project_state role protected_repository storage_limit',
    ],
    [
      "a user's pull, which state and protections leave alone",
      aTokenUser(['write_registry']),
      'pull',
      hard,
      'registry_disabled credential_ability ip_allowlist role',
    ],
    [
      "a deploy token's push",
      aDeployToken(['read_registry']),
      'push',
      hard,
      'registry_disabled credential_ability ip_allowlist maintenance project_state deploy_token_reach protected_repository storage_limit',
    ],
    [
      "a job's push",
      aJob(null),
      'push',
      hard,
      'registry_disabled maintenance job_push protected_repository storage_limit',
    ],
    [
      "a job's push elsewhere",
      elsewhere,
      'push',
      hard,
      'registry_disabled ip_allowlist maintenance job_elsewhere protected_repository storage_limit',
    ],
    [
      "an anonymous client's push",
      anonymous(),
      'push',
      hard,
      'registry_disabled credential_ability ip_allowlist not_public',
    ],
    [
      'what would be public, were the registry enabled',
      aUser(),
      'pull',
      { ...disabled, visibility: 'public' },
      'registry_disabled',
    ],
    [
      'what would be internal, were the registry enabled',
      aUser(),
      'pull',
      { ...disabled, visibility: 'internal' },
      'registry_disabled',
    ],
    ['what a member would have', aUser(), 'pull', { ...disabled }, 'registry_disabled role'],
    [
      'what is granted behind them is none',
      aTokenUser(['write_registry']),
      'pull',
      { visibility: 'public' },
      'credential_ability',
    ],
    ['a scope of the registry', aUser(), 'registry:catalog:*', hard, 'registry_scope'],
    ['an unknown project', aUser(), 'repository:acme/gone:pull', hard, 'project_unknown'],
  ];
  for (const [what, subject, asked, facts, expected] of rows) {
    it(`${what}: ${expected}`, () => {
      const { obstacles } = trace(subject, asked, facts, true);
      assert.deepEqual(
        obstacles.map(({ rule }) => rule),
        expected.split(' '),
      );
      for (const { because, needs } of obstacles) assert.ok(because !== '' && needs !== '');
    });
  }

  it('names all rules that refuse a job of another project without a user', () => {
    const rules = { protectedRepositories: [repositoryRule('acme/app', 'owner')] };
    const { obstacles } = trace(aJob(null, OTHER_PROJECT), 'push', rules);
    assert.deepEqual(
      obstacles.map(({ because }) => because),
      [
        'a job of acme/app can only pull from other projects',
        'the repository is protected by pattern acme/app, push needs owner; the job has no user',
      ],
    );
  });
});
