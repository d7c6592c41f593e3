import assert from 'node:assert/strict';
import { authType, credentialOf, personOf, type Subject, subjectName } from '../../src/policy/subject.ts';
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

  const proof = { name: 'release', issuer: 'ci', subject: null, jti: null };
  const credentials: readonly (readonly [string, Subject, string])[] = [
    ['anonymous', anonymous(), 'anonymous'],
    ['a password', aUser(), 'password'],
    ['an access token', { ...aTokenUser(['api']), accessTokenId: 12 }, 'access-12'],
    ['a deploy token', { ...aDeployToken(), deployTokenId: 3 }, 'deploy-3'],
    ['a job', { ...aJob(), jobId: 7 }, 'job-7'],
    ['a job without a user', { ...aJob(null), jobId: 8 }, 'job-8'],
    ['an ID token', { ...aTokenUser(['api']), identity: proof }, 'identity-release'],
    [
      'an access token that an ID token was exchanged for',
      { ...aTokenUser(['api']), accessTokenId: 13, identity: proof },
      'access-13',
    ],
  ];
  for (const [what, subject, name] of credentials) {
    it(`${what} is ${name} in the records`, () => assert.equal(credentialOf(subject), name));
  }
});
