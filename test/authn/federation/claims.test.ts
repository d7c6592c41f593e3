import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  claimText,
  firstMismatch,
  type IdTokenClaims,
  keysOfIdentity,
  keysOfToken,
  overlap,
} from '../../../src/authn/federation/claims.ts';
import type { ClaimPins } from '../../../src/config/federated-claims.ts';

const K8S = {
  sub: 'system:serviceaccount:api:default',
  'kubernetes.io': { namespace: 'api', serviceaccount: { name: 'default', uid: 'u-1' } },
};

describe('a claim as text', () => {
  const cases: [what: string, claims: object, path: string, text: string | null][] = [
    ['a text', { sub: 'a' }, 'sub', 'a'],
    ['a number', { project_id: 42 }, 'project_id', '42'],
    ['a number below zero', { n: -7 }, 'n', '-7'],
    ['a number over what is exact', { n: 2 ** 53 }, 'n', null],
    ['a fraction', { n: 1.5 }, 'n', null],
    ['a truth value', { ref_protected: true }, 'ref_protected', null],
    ['a list', { aud: ['a'] }, 'aud', null],
    ['an object', K8S, 'kubernetes.io', null],
    ['null', { sub: null }, 'sub', null],
    ['nothing', {}, 'sub', null],
    ['a nested claim', K8S, 'kubernetes.io.serviceaccount.uid', 'u-1'],
    [
      'a name with dots and a slash',
      { 'oidc.circleci.com/project-id': 'p' },
      'oidc.circleci.com/project-id',
      'p',
    ],
    ['the exact name before members', { 'a.b': 'exact', a: { b: 'member' } }, 'a.b', 'exact'],
    ['the longest name first', { 'a.b': { c: 'long' }, a: { 'b.c': 'short' } }, 'a.b.c', 'long'],
    ['a shorter name, if the longest leads nowhere', { 'a.b': {}, a: { 'b.c': 'short' } }, 'a.b.c', 'short'],
    ['what every object has', {}, 'constructor.name', null],
    ['what every object has, as a member', { a: {} }, 'a.__proto__', null],
    ['a member of a list', { a: ['x'] }, 'a.0', null],
    ['a member of a text', { a: 'x' }, 'a.length', null],
    ['an empty path', { '': 'x' }, '', 'x'],
  ];
  for (const [what, claims, path, text] of cases) {
    it(`of ${what}: ${text}`, () => assert.equal(claimText(claims as IdTokenClaims, path), text));
  }

  it('of an own property with the name of the prototype', () => {
    const claims: IdTokenClaims = JSON.parse('{"__proto__": {"sub": "x"}}');
    assert.equal(claimText(claims, 'sub'), null);
    assert.equal(claimText(claims, '__proto__.sub'), 'x');
  });
});

describe('a claim with the name of what every object has', () => {
  for (const name of ['constructor', 'toString', 'valueOf', 'hasOwnProperty']) {
    it(`${name} is pinned as any other`, () => {
      const pins: ClaimPins = { sub: 'a', [name]: 'x' };
      assert.deepEqual(
        [firstMismatch(pins, { sub: 'a', [name]: 'x' }), firstMismatch(pins, { sub: 'a' })],
        [null, name],
      );
      assert.deepEqual([overlap(pins, { sub: 'a' }), overlap({ sub: 'a' }, pins)], [true, true]);
      assert.equal(overlap(pins, { sub: 'a', [name]: ['y'] }), false);
    });
  }
});

describe('an identity and the claims of a token', () => {
  const token = {
    sub: 'repo:acme/api:ref:refs/heads/main',
    repository_id: '456',
    ref: 'refs/tags/v1.2',
    n: 7,
  };
  const cases: [what: string, pins: ClaimPins, mismatch: string | null][] = [
    ['match by every claim', { repository_id: '456', ref: 'refs/tags/v1.2' }, null],
    ['match by a number', { n: '7' }, null],
    ['match by one of a list', { repository_id: ['123', '456'] }, null],
    ['match by the beginning of a ref', { ref: { prefix: 'refs/tags/v' } }, null],
    ['differ in one claim', { repository_id: '456', ref: 'refs/heads/main' }, 'ref'],
    [
      'differ where the token lacks the claim',
      { repository_id: '456', environment: 'release' },
      'environment',
    ],
    ['differ in case', { sub: 'REPO:acme/api:ref:refs/heads/main' }, 'sub'],
    ['differ where a value is longer', { repository_id: '4567' }, 'repository_id'],
    ['differ where a value is the beginning', { repository_id: '45' }, 'repository_id'],
    ['differ though a wildcard would match', { sub: 'repo:acme/*' }, 'sub'],
    ['differ though a pattern would match', { sub: '.*' }, 'sub'],
    ['differ where nothing is pinned', {}, ''],
    ['differ where a list is empty', { sub: [] }, 'sub'],
    ['differ where the beginning is empty', { ref: { prefix: '' } }, 'ref'],
    ['differ where the value is empty', { missing: '' }, 'missing'],
  ];
  for (const [what, pins, mismatch] of cases) {
    it(what, () => assert.equal(firstMismatch(pins, token), mismatch));
  }

  const name = fc.constantFrom('sub', 'repository_id', 'ref', 'a.b', 'n');
  const value = fc.constantFrom('x', 'y', 'refs/heads/main', '7', '*');
  const pin = fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 }), fc.record({ prefix: value }));
  const pins = fc.dictionary(name, pin, { minKeys: 1, maxKeys: 4 });
  const claim = fc.oneof(
    value,
    fc.integer({ min: 6, max: 8 }),
    fc.constant(null),
    fc.array(value),
    fc.record({ b: value }),
  );
  const claims = fc.dictionary(fc.constantFrom('sub', 'repository_id', 'ref', 'a', 'a.b', 'n'), claim);

  it('match only if every pinned claim is equal', () => {
    fc.assert(
      fc.property(pins, claims, (pinned, token) => {
        const isEqual = Object.entries(pinned).every(([path, wanted]) => {
          const member = token['a'] as { b?: unknown } | null | undefined;
          const found = Object.hasOwn(token, path) ? token[path] : path === 'a.b' ? member?.b : undefined;
          if (typeof found !== 'string' && typeof found !== 'number') return false;
          const text = String(found);
          if (typeof wanted === 'string') return wanted === text;
          return Array.isArray(wanted)
            ? (wanted as readonly string[]).includes(text)
            : text.startsWith((wanted as { prefix: string }).prefix);
        });
        assert.equal(firstMismatch(pinned, token) === null, isEqual);
      }),
      { numRuns: 20_000 },
    );
  });

  it('share a look-up key whenever they match', () => {
    fc.assert(
      fc.property(pins, claims, (pinned, token) => {
        if (firstMismatch(pinned, token) !== null) return;
        const keys = new Set(keysOfToken(token));
        assert.ok(keysOfIdentity(pinned).some((key) => keys.has(key)));
      }),
      { numRuns: 20_000 },
    );
  });

  it('of two identities overlap whenever one token matches both', () => {
    fc.assert(
      fc.property(pins, pins, claims, (one, other, token) => {
        if (firstMismatch(one, token) !== null || firstMismatch(other, token) !== null) return;
        assert.ok(overlap(one, other));
      }),
      { numRuns: 20_000 },
    );
  });

  it('of two identities do not overlap where a common claim has other values', () => {
    assert.equal(overlap({ sub: 'a', ref: 'x' }, { sub: ['b', 'c'] }), false);
    assert.equal(overlap({ ref: { prefix: 'refs/tags/' } }, { ref: 'refs/heads/main' }), false);
    assert.equal(overlap({ ref: { prefix: 'refs/tags/' } }, { ref: { prefix: 'refs/' } }), true);
    assert.equal(overlap({ ref: { prefix: 'refs/' } }, { ref: { prefix: 'refs/tags/' } }), true);
    assert.equal(overlap({ ref: { prefix: 'a' } }, { ref: { prefix: 'b' } }), false);
    assert.equal(overlap({ sub: 'a' }, { ref: 'x' }), true);
    assert.equal(overlap({ sub: ['a', 'b'] }, { sub: ['b', 'c'] }), true);
    assert.equal(overlap({ sub: ['a', 'b'] }, { sub: ['c', 'd'] }), false);
    assert.equal(overlap({ ref: { prefix: 'b' } }, { ref: ['a', 'b1'] }), true);
  });
});
