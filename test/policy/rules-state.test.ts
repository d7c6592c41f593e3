import assert from 'node:assert/strict';
import type { Project } from '../../src/policy/project.ts';
import type { Role } from '../../src/policy/role.ts';
import {
  aDeployToken,
  aJob,
  anonymous,
  aPerson,
  aProject,
  ask,
  aTokenUser,
  aUser,
  checkRules,
  circumstances,
  decide,
  member,
  outcome,
} from '../support/policy/subjects.ts';

const OTHER_PROJECT = 202;
const OFFICE = { group: 'acme', ranges: ['10.0.0.0/8', '192.168.0.0/16'] };
const VPN = { group: 'acme/inner', ranges: ['10.1.0.0/16'] };
const CHANGES = 'push delete *';

function as(role: Role, facts: Partial<Project> = {}): Partial<Project> {
  return { memberships: [member(role)], ...facts };
}

describe('rules: a disabled registry', () => {
  const off: Partial<Project> = { visibility: 'public', registryAccess: 'disabled' };
  const deployTokens = { ...off, ownDeployToken: true };
  checkRules([
    ['an owner', aUser(), 'pull push delete *', as('owner', off), 'refuse registry_disabled'],
    ['an admin', aUser({ admin: true }), 'pull push delete *', off, 'refuse registry_disabled'],
    ['an auditor', aUser({ auditor: true }), 'pull', off, 'refuse registry_disabled'],
    ['anonymous', anonymous(), 'pull', off, 'refuse registry_disabled'],
    ['a deploy token of its own', aDeployToken(), 'pull push', deployTokens, 'refuse registry_disabled'],
    ['a job of its own', aJob(), 'pull push delete', as('owner', off), 'refuse registry_disabled'],
    ['looked at before the credential', aTokenUser(['read_api']), 'push', off, 'refuse registry_disabled'],
  ]);
});

describe('rules: IP allowlists', () => {
  const open: Partial<Project> = { visibility: 'public', ipAllowlists: [OFFICE], jobAccess: 'anyone' };
  const office = { inside: ['192.168.0.0/16'] };
  const vpn = { inside: ['10.0.0.0/8', '10.1.0.0/16'] };
  const both = { ...open, ipAllowlists: [OFFICE, VPN] };
  const refused = 'refuse ip_allowlist';
  checkRules([
    ['anonymous outside', anonymous(), 'pull', open, refused],
    ['a user outside', aUser(), 'pull push delete *', as('owner', open), refused],
    ['a deploy token outside', aDeployToken(), 'pull push', { ...open, ownDeployToken: true }, refused],
    ['a job of another project outside', aJob(aPerson(), OTHER_PROJECT), 'pull', as('owner', open), refused],
    [
      "an admin's job elsewhere",
      aJob(aPerson({ admin: true }), OTHER_PROJECT),
      'pull',
      as('owner', open),
      refused,
    ],
    ["an auditor's job elsewhere", aJob(aPerson({ auditor: true }), OTHER_PROJECT), 'pull', open, refused],
    ['a job on its own project', aJob(), 'pull', open, 'grant job_own_project'],
    ['an admin', aUser({ admin: true }), CHANGES, { ipAllowlists: [OFFICE] }, 'grant allowed'],
    ['an auditor', aUser({ auditor: true }), 'pull', { ipAllowlists: [OFFICE] }, 'grant auditor'],
    ['inside any range of the list', anonymous(), 'pull', open, 'grant open_to_everyone', office],
    ['inside one list of two', anonymous(), 'pull', both, refused, office],
    ['inside both lists', anonymous(), 'pull', both, 'grant open_to_everyone', vpn],
    [
      'a list without ranges refuses every address',
      anonymous(),
      'pull',
      { ...open, ipAllowlists: [{ group: 'a', ranges: [] }] },
      refused,
      vpn,
    ],
  ]);

  it('is no error for who else gets something', () => {
    const projects = [
      aProject({ ...open, path: 'acme/app' }),
      aProject({ id: 2, path: 'b/c', visibility: 'public' }),
    ];
    const scopes = ask('repository:acme/app:pull repository:b/c:pull');
    const decision = decide({ subject: anonymous(), scopes, projects, circumstances: circumstances() });
    assert.equal(outcome(decision), 'b/c:pull');
  });
});

describe('rules: maintenance', () => {
  const now = { maintenanceMode: true };
  const organization: Partial<Project> = { maintainedOrganization: 'default' };
  const own: Partial<Project> = { ownDeployToken: true };
  checkRules([
    ['of the instance, an owner', aUser(), CHANGES, as('owner'), 'refuse maintenance', now],
    ['of the instance, an admin', aUser({ admin: true }), CHANGES, {}, 'refuse maintenance', now],
    ['of the instance, a deploy token', aDeployToken(), 'push', own, 'refuse maintenance', now],
    ['of the instance, a job', aJob(), 'push delete', as('owner'), 'refuse maintenance', now],
    ['of the organization, an owner', aUser(), CHANGES, as('owner', organization), 'refuse maintenance'],
    [
      'of the organization, a deploy token',
      aDeployToken(),
      'push',
      { ...own, ...organization },
      'refuse maintenance',
    ],
    ['of the organization, a job', aJob(), 'push delete', as('owner', organization), 'refuse maintenance'],
    ['pull stays', aUser(), 'pull', as('reporter', organization), 'grant role', now],
    [
      'pull stays for deploy tokens',
      aDeployToken(),
      'pull',
      { ...own, ...organization },
      'grant deploy_token_reach',
      now,
    ],
    ['pull stays for jobs', aJob(), 'pull', organization, 'grant job_own_project', now],
    [
      'pull stays for anonymous',
      anonymous(),
      'pull',
      { visibility: 'public', ...organization },
      'grant open_to_everyone',
      now,
    ],
    ['none of either', aUser(), CHANGES, as('owner'), 'grant allowed'],
  ]);
});

describe('rules: archived or scheduled for deletion', () => {
  const archived: Partial<Project> = { archivedBy: 'acme' };
  const doomed: Partial<Project> = { deletionScheduled: true };
  const own: Partial<Project> = { ownDeployToken: true };
  checkRules([
    ['archived, an owner', aUser(), CHANGES, as('owner', archived), 'refuse project_state'],
    ['archived, an admin', aUser({ admin: true }), CHANGES, archived, 'refuse project_state'],
    ['archived, pull', aUser(), 'pull', as('reporter', archived), 'grant role'],
    ['doomed, an owner', aUser(), CHANGES, as('owner', doomed), 'refuse project_state'],
    ['doomed, pull', aUser(), 'pull', as('reporter', doomed), 'grant role'],
    ['archived, a deploy token', aDeployToken(), 'push', { ...own, ...archived }, 'refuse project_state'],
    ['doomed, a deploy token', aDeployToken(), 'push', { ...own, ...doomed }, 'refuse project_state'],
    [
      'archived, pull of a deploy token',
      aDeployToken(),
      'pull',
      { ...own, ...archived },
      'grant deploy_token_reach',
    ],
    ['archived, the push of a job', aJob(), 'push', as('owner', archived), 'forbid job_push'],
    ['archived, delete and pull of a job', aJob(), 'delete pull', archived, 'grant job_own_project'],
  ]);
});
