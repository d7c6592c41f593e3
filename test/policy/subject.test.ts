import assert from 'node:assert/strict';
import { authType, personOf, type Subject, subjectName } from '../../src/policy/subject.ts';
import { aDeployToken, aJob, anonymous, aPerson, aTokenUser, aUser } from '../support/policy/subjects.ts';

describe('subjects', () => {
  const rows: readonly (readonly [string, Subject, string, string, boolean])[] = [
    ['anonymous', anonymous(), '', 'none', false],
    ['a user with a password', aUser(), 'alice', 'gitlab_or_ldap', true],
    ['a user with an access token', aTokenUser(['api']), 'alice', 'personal_access_token', true],
    ['a deploy token', aDeployToken(), 'puller', 'deploy_token', false],
    ['a job', aJob(), 'alice', 'build', true],
    ['a job without a user', aJob(null), '', 'build', false],
  ];
  for (const [what, subject, name, type, hasPerson] of rows) {
    it(`${what}: sub ${JSON.stringify(name)}, auth_type ${type}`, () => {
      assert.deepEqual([subjectName(subject), authType(subject)], [name, type]);
      assert.deepEqual(personOf(subject), hasPerson ? aPerson() : null);
    });
  }
});
