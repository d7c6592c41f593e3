import assert from 'node:assert/strict';
import type { Subject } from '../../src/policy/subject.ts';
import { buildClaims, type ClaimInput } from '../../src/token/claims.ts';
import { toAsciiJson } from '../../src/token/sign.ts';

const NOW = new Date('2026-06-15T12:00:00.900Z');
const SECONDS = Date.parse('2026-06-15T12:00:00Z') / 1000;
const person = { id: 11, username: 'alice', admin: false, auditor: false, external: false };
const none = { abilities: new Set<never>(), expiresAt: null };
const user: Subject = {
  ...none,
  kind: 'user',
  authType: 'personal_access_token',
  person,
  tokenScopes: ['api'],
};

const input: ClaimInput = {
  issuer: 'cellpass',
  service: 'container_registry',
  cell: 2,
  subject: user,
  access: [],
  now: NOW,
  ttlSeconds: 300,
  validUntil: null,
  tokenId: '0b8b8a3e-9d3a-4c1e-8f43-2f2a52f0a1aa',
};

describe('the claim set', () => {
  it('has what distribution and GitLab read, in whole seconds', () => {
    assert.deepEqual(buildClaims(input), {
      iss: 'cellpass',
      sub: 'alice',
      aud: 'container_registry',
      iat: SECONDS - 5,
      nbf: SECONDS - 5,
      exp: SECONDS + 300,
      jti: input.tokenId,
      auth_type: 'personal_access_token',
      access: [],
      cell: 'cell-2',
    });
  });

  const soon = new Date(NOW.getTime() + 60_000);
  const later = new Date(NOW.getTime() + 3_600_000);
  const ends: [what: string, credential: Date | null, validUntil: Date | null, expected: number][] = [
    ['its own life', null, null, 300],
    ["the credential's end", soon, null, 60],
    ['the end of a membership', null, soon, 60],
    ['the earlier of both', later, soon, 60],
    ['its own life where the others last longer', later, later, 300],
  ];
  for (const [what, expiresAt, validUntil, expected] of ends) {
    it(`ends at ${what}`, () => {
      const { exp } = buildClaims({ ...input, subject: { ...user, expiresAt }, validUntil });
      assert.equal(exp, SECONDS + expected);
    });
  }

  const subjects: [subject: Subject, sub: string, authType: string][] = [
    [{ ...none, kind: 'anonymous' }, '', 'none'],
    [{ ...user, authType: 'gitlab_or_ldap' }, 'alice', 'gitlab_or_ldap'],
    [
      { ...none, kind: 'deploy_token', deployTokenId: 1, username: 'puller', tokenScopes: [] },
      'puller',
      'deploy_token',
    ],
    [{ ...none, kind: 'job', jobId: 1, projectId: 1, projectPath: 'a/b', person }, 'alice', 'build'],
    [{ ...none, kind: 'job', jobId: 1, projectId: 1, projectPath: 'a/b', person: null }, '', 'build'],
  ];
  for (const [subject, sub, authType] of subjects) {
    it(`is about "${sub}" by ${authType}`, () => {
      const claims = buildClaims({ ...input, subject });
      assert.deepEqual([claims.sub, claims.auth_type], [sub, authType]);
    });
  }
});

describe('the payload', () => {
  it('is ASCII without the three characters that base64url writes differently, whatever the names', () => {
    const claims = { sub: 'a>b?c~d', iss: 'grüße 🦊\u007f\u2028' };
    const text = toAsciiJson(claims);
    assert.match(text, /^[\x20-\x3d\x40-\x7d]*$/);
    assert.deepEqual(JSON.parse(text), claims);
    assert.doesNotMatch(Buffer.from(text).toString('base64url'), /[-_]/);
  });
});
