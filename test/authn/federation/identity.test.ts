import assert from 'node:assert/strict';
import type { Account, IdentityRecord } from '../../../src/authn/account.ts';
import { fromIdentity, fromIdToken } from '../../../src/authn/federation/identity.ts';
import { dialectOf } from '../../../src/policy/dialect.ts';

const NOW = new Date('2026-11-27T12:00:00Z');
const ACCOUNT: Account = {
  id: 1,
  username: 'Release-Bot',
  kind: 'service_account',
  state: 'active',
  admin: false,
  auditor: false,
  external: false,
  twoFactor: true,
  passwordExpired: false,
  passwordHash: null,
};
const IDENTITY: IdentityRecord = {
  id: 1,
  name: 'release',
  issuer: 'ci',
  scopes: ['read_registry'],
  claims: { sub: 'a' },
  expiresOn: null,
  revoked: false,
  account: ACCOUNT,
};
const PROOF = { name: 'release', issuer: 'ci', subject: 'a', jti: null };

describe('an identity as a subject', () => {
  const reading = { username: 'oidc', now: NOW, dialect: dialectOf({}) };
  const from = (change: Partial<IdentityRecord>, endsAt: Date | null = null) =>
    fromIdentity({ ...IDENTITY, ...change }, PROOF, reading, endsAt);
  const endOf = (change: Partial<IdentityRecord>, endsAt: Date | null): string | null => {
    const subject = from(change, endsAt);
    assert.ok(typeof subject === 'object');
    return subject.expiresAt?.toISOString() ?? null;
  };

  it('ends with the ID token or with the identity, whichever is first', () => {
    const soon = new Date('2026-11-27T13:00:00Z');
    assert.equal(endOf({}, null), null);
    assert.equal(endOf({}, soon), '2026-11-27T13:00:00.000Z');
    assert.equal(endOf({ expiresOn: '2026-11-28' }, soon), '2026-11-27T13:00:00.000Z');
    assert.equal(endOf({ expiresOn: '2026-11-28' }, new Date('2026-12-01')), '2026-11-28T00:00:00.000Z');
  });

  const refused: [what: string, change: Partial<IdentityRecord>, reason: string][] = [
    ['on its last day', { expiresOn: '2026-11-27' }, 'identity_expired'],
    ['revoked', { revoked: true }, 'identity_revoked'],
    ['without an account', { account: null }, 'identity_account'],
    ['with a blocked account', { account: { ...ACCOUNT, state: 'blocked' } }, 'account_blocked'],
    ['with a locked account', { account: { ...ACCOUNT, state: 'locked' } }, 'account_locked'],
    [
      'with an account whose rights only GitLab can judge',
      { account: { ...ACCOUNT, unjudged: 'composite_identity' } },
      'composite_identity',
    ],
  ];
  for (const [what, change, reason] of refused) {
    it(`is refused ${what}`, () => assert.equal(from(change), reason));
  }

  it('does not mind what is about passwords', () => {
    const subject = from({ account: { ...ACCOUNT, unjudged: 'external_identity', passwordsAreOff: true } });
    assert.ok(typeof subject === 'object');
    assert.deepEqual(subject.tokenScopes, ['read_registry']);
  });

  it('matches nothing where the issuer demands a claim that it does not pin', () => {
    const token = {
      issuer: 'ci',
      claims: { sub: 'a' },
      subject: 'a',
      jti: null,
      expiresAt: NOW,
      mustPin: ['sub', 'aud'],
    };
    const records = { identities: [IDENTITY], revoked: false };
    assert.equal(fromIdToken(token, records, reading), 'identity_unknown');
    assert.equal(typeof fromIdToken({ ...token, mustPin: ['sub'] }, records, reading), 'object');
    assert.equal(
      fromIdToken({ ...token, mustPin: [] }, { ...records, revoked: true }, reading),
      'id_token_revoked',
    );
  });
});
