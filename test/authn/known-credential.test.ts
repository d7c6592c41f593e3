import assert from 'node:assert/strict';
import type { Account, CredentialRecords, IdentityRecord } from '../../src/authn/account.ts';
import type { VerifiedIdToken } from '../../src/authn/federation/verify.ts';
import { type KnownCredential, knownCredential } from '../../src/authn/known-credential.ts';

const ALICE: Account = {
  id: 1,
  username: 'alice',
  kind: 'human',
  state: 'blocked',
  admin: false,
  auditor: false,
  external: false,
  twoFactor: false,
  passwordExpired: false,
  passwordHash: null,
};
const NOTHING: CredentialRecords = {
  passwordAuthentication: true,
  job: null,
  accessToken: null,
  deployToken: null,
  account: null,
};
const TOKEN = { id: 12, scopes: [], expiresOn: null, revoked: true };
const JOB = {
  id: 7,
  projectId: 101,
  projectPath: 'acme/api',
  running: false,
  expiresAt: null,
  ciEnabled: true,
  deletionScheduled: false,
};
const ID_TOKEN: VerifiedIdToken = {
  issuer: 'ci',
  claims: { sub: 'release' },
  subject: 'release',
  jti: null,
  expiresAt: new Date('2027-01-31T00:00:00Z'),
  mustPin: ['sub'],
};
const identity = (name: string, more: Partial<IdentityRecord> = {}): IdentityRecord => ({
  id: 1,
  name,
  issuer: 'ci',
  scopes: [],
  claims: { sub: 'release' },
  expiresOn: null,
  revoked: true,
  account: ALICE,
  ...more,
});
const UNKNOWN = { name: null, account: null };

describe('what is known of credentials, for the records', () => {
  const rows: [what: string, records: Partial<CredentialRecords>, known: KnownCredential][] = [
    ['nothing', {}, UNKNOWN],
    ['the account of a login name', { account: ALICE }, { name: 'password', account: 'alice' }],
    [
      'an access token that is revoked',
      { accessToken: { ...TOKEN, name: 'ci', owner: ALICE } },
      { name: 'access-12', account: 'alice' },
    ],
    [
      'a deploy token',
      { deployToken: { id: 3, username: 'puller', scopes: [], expiresAt: null, revoked: false } },
      { name: 'deploy-3', account: 'puller' },
    ],
    ['a job', { job: { ...JOB, user: ALICE } }, { name: 'job-7', account: 'alice' }],
    ['a job without a user', { job: { ...JOB, user: null } }, { name: 'job-7', account: null }],
    [
      'a token, whatever the login name',
      { accessToken: { ...TOKEN, name: 'ci', owner: ALICE }, account: { ...ALICE, username: 'bob' } },
      { name: 'access-12', account: 'alice' },
    ],
  ];
  for (const [what, records, known] of rows) {
    it(`is of ${what}: ${known.name ?? 'nothing'}`, () => {
      assert.deepEqual(knownCredential({ ...NOTHING, ...records }, null), known);
    });
  }

  const identities: [what: string, found: readonly IdentityRecord[] | null, known: KnownCredential][] = [
    ['no records', null, UNKNOWN],
    ['no identity', [], UNKNOWN],
    ['an identity with other claims', [identity('other', { claims: { sub: 'another' } })], UNKNOWN],
    ['one identity, which is revoked', [identity('release')], { name: 'identity-release', account: 'alice' }],
    [
      'an identity whose account is gone',
      [identity('release', { account: null })],
      { name: 'identity-release', account: null },
    ],
    ['two identities', [identity('release'), identity('more')], UNKNOWN],
  ];
  for (const [what, found, known] of identities) {
    it(`is of an ID token with ${what}: ${known.name ?? 'nothing'}`, () => {
      const records =
        found === null ? NOTHING : { ...NOTHING, idToken: { identities: found, revoked: false } };
      // The login name of an ID token says nothing.
      assert.deepEqual(knownCredential({ ...records, account: ALICE }, ID_TOKEN), known);
    });
  }
});
