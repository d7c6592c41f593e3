import assert from 'node:assert/strict';
import type { ComparedAnswer, ComparedToken } from '../../src/comparison/answer.ts';
import { readToken } from '../../src/comparison/answer.ts';
import { compareAnswers } from '../../src/comparison/compare.ts';
import { railsToken } from '../support/rails/stand-in.ts';

const META = {
  project_path: 'acme/app',
  project_id: 100,
  root_namespace_id: 10,
  tag_deny_access_patterns: { push: ['v.*', 'release'], delete: ['v.*'] },
};
const TOKEN: ComparedToken = {
  access: [
    { type: 'repository', name: 'acme/app', actions: ['pull', 'push'], meta: META },
    { type: 'registry', name: 'catalog', actions: ['*'], meta: {} },
  ],
  authType: 'personal_access_token',
  aud: 'container_registry',
  sub: 'dev',
  exp: 1_800_000_300,
  iat: 1_800_000_000,
};
const [APP, CATALOG] = TOKEN.access;
assert.ok(APP && CATALOG);

const answer = (token: ComparedToken): ComparedAnswer => ({ status: 200, token });
const REFUSED: ComparedAnswer = { status: 403, token: null };

/** `part`, or the outcome. */
function compare(rails: ComparedAnswer, cellpass: ComparedAnswer, endsWithCredential = false): string {
  const comparison = compareAnswers(rails, cellpass, { endsWithCredential });
  return comparison.outcome === 'differing'
    ? comparison.differences.map(({ part }) => part).join()
    : comparison.outcome;
}

type Row = readonly [what: string, rails: ComparedAnswer, expected: string];
const changed = (what: string, change: Partial<ComparedToken>, expected: string): Row => [
  what,
  answer({ ...TOKEN, ...change }),
  expected,
];
const withMeta = (what: string, meta: Readonly<Record<string, unknown>>, expected: string): Row =>
  changed(what, { access: [{ ...APP, meta: { ...META, ...meta } }, CATALOG] }, expected);

describe('the comparison of two answers', () => {
  const ROWS: readonly Row[] = [
    ['the status', REFUSED, 'status'],
    changed(
      'an action more',
      { access: [{ ...APP, actions: ['pull', 'push', 'delete'] }, CATALOG] },
      'access',
    ),
    changed('an action less', { access: [{ ...APP, actions: ['pull'] }, CATALOG] }, 'access'),
    changed('an entry less', { access: [APP] }, 'access'),
    changed(
      'an entry more',
      { access: [...TOKEN.access, { ...APP, name: 'acme/other', actions: ['pull'] }] },
      'access',
    ),
    changed('the type of an entry', { access: [APP, { ...CATALOG, type: 'repository' }] }, 'access,access'),
    changed('no access', { access: [] }, 'access,access,access'),
    withMeta('the id of the project', { project_id: 101 }, 'meta'),
    withMeta('the path of the project', { project_path: 'acme/App' }, 'meta'),
    withMeta('the root group', { root_namespace_id: 11 }, 'meta'),
    withMeta('a pattern more', { tag_deny_access_patterns: { push: ['v.*'], delete: ['v.*'] } }, 'meta'),
    withMeta(
      'patterns of another action',
      { tag_deny_access_patterns: { push: ['v.*'], delete: ['v.*', 'release'] } },
      'meta',
    ),
    withMeta('something that nobody knows', { later: true }, 'meta'),
    changed('auth_type', { authType: 'gitlab_or_ldap' }, 'auth_type'),
    changed('no auth_type', { authType: null }, 'auth_type'),
    changed('aud', { aud: 'other' }, 'aud'),
    changed('sub', { sub: 'other' }, 'sub'),
    changed('exp, later', { exp: TOKEN.exp + 3 }, 'exp'),
    changed('exp, sooner', { exp: TOKEN.exp - 3 }, 'exp'),
    // What does not count.
    changed('nothing', {}, 'equal'),
    changed('exp, within two seconds', { exp: TOKEN.exp + 2 }, 'equal'),
    changed('no sub of Rails', { sub: null }, 'equal'),
    changed('the order of entries', { access: [CATALOG, APP] }, 'equal'),
    changed('the order of actions', { access: [{ ...APP, actions: ['push', 'pull'] }, CATALOG] }, 'equal'),
    changed(
      'one entry as two',
      { access: [{ ...APP, actions: ['pull'] }, { ...APP, actions: ['push'] }, CATALOG] },
      'equal',
    ),
    changed(
      'an entry without actions',
      { access: [...TOKEN.access, { ...APP, name: 'x', actions: [] }] },
      'equal',
    ),
    withMeta('an organization here alone', { organization_id: 1 }, 'equal'),
    withMeta('something that is null', { later: null }, 'equal'),
    withMeta(
      'the order of patterns',
      { tag_deny_access_patterns: { delete: ['v.*'], push: ['release', 'v.*'] } },
      'equal',
    ),
  ];
  for (const [what, rails, expected] of ROWS) {
    it(`with another answer of Rails in ${what}: ${expected}`, () => {
      assert.equal(compare(rails, answer(TOKEN)), expected);
    });
  }

  it('counts an organization where both have one', () => {
    const of = (id: number): ComparedAnswer =>
      answer({ ...TOKEN, access: [{ ...APP, meta: { ...META, organization_id: id } }] });
    assert.deepEqual([compare(of(1), of(1)), compare(of(1), of(2))], ['equal', 'meta']);
  });

  it('takes refusals of one status for equal, whatever they say', () => {
    assert.equal(compare(REFUSED, REFUSED), 'equal');
    assert.equal(compare(REFUSED, { status: 401, token: null }), 'status');
  });

  it('takes an end with the credential for sooner, and not the other way round', () => {
    const sooner = answer({ ...TOKEN, exp: TOKEN.exp - 100 });
    assert.equal(compare(answer(TOKEN), sooner, true), 'ends_sooner');
    assert.equal(compare(answer(TOKEN), sooner, false), 'exp');
    assert.equal(compare(sooner, answer(TOKEN), true), 'exp');
  });

  it('lets the life of a token of Rails begin later, as Rails was slow', () => {
    const outcome = (exp: number, iat: number | null, waitedSeconds: number): string =>
      compareAnswers(
        answer({ ...TOKEN, exp: TOKEN.exp + exp, iat: iat === null ? null : (TOKEN.iat ?? 0) + iat }),
        answer(TOKEN),
        { endsWithCredential: false, waitedSeconds },
      ).outcome;
    assert.equal(outcome(6, 6, 5.1), 'equal');
    assert.equal(outcome(8, 6, 5.1), 'equal');
    assert.equal(outcome(3, 6, 5.1), 'differing');
    assert.equal(outcome(9, 6, 5.1), 'differing');
    // A wait alone is no reason, and no token was signed later than it came.
    assert.equal(outcome(6, 0, 10), 'differing');
    assert.equal(outcome(6, null, 10), 'differing');
    assert.equal(outcome(60, 60, 5.1), 'differing');
    assert.equal(outcome(0, -60, 5.1), 'equal');
  });

  it('names all differences, so that none hides another', () => {
    const other = { ...APP, name: 'acme/other' };
    const rails = answer({
      ...{ authType: 'x', aud: 'y', sub: 'z', exp: TOKEN.exp + 100, iat: TOKEN.iat },
      access: [{ ...APP, actions: ['pull'], meta: {} }, other],
    });
    const comparison = compareAnswers(rails, answer(TOKEN), { endsWithCredential: false });
    assert.ok(comparison.outcome === 'differing');
    assert.deepEqual(
      comparison.differences.map(({ part, name, action }) => [part, name, action].filter(Boolean).join(' ')),
      [
        'access acme/app push',
        'access acme/other pull',
        'access acme/other push',
        'access catalog *',
        'meta acme/app',
        'auth_type',
        'aud',
        'sub',
        'exp',
      ],
    );
  });

  it('compares each meta of a name, whichever comes last', () => {
    const of = (...ids: readonly number[]): ComparedAnswer =>
      answer({
        ...TOKEN,
        access: ids.map((id, n) => ({
          ...APP,
          actions: n === 0 ? ['pull', 'push'] : ['pull'],
          meta: { ...META, project_id: id },
        })),
      });
    assert.equal(compare(of(2, 1), of(1)), 'meta');
    assert.equal(compare(of(1, 2), of(1)), 'meta');
    assert.equal(compare(of(1), of(1, 2)), 'meta');
    assert.equal(compare(of(1, 1), of(1)), 'equal');
    assert.equal(compare(of(2, 1), of(1, 2)), 'equal');
  });

  it('names the entry and the action', () => {
    const less = answer({ ...TOKEN, access: [{ ...APP, actions: ['pull'] }, CATALOG] });
    assert.deepEqual(compareAnswers(less, answer(TOKEN), { endsWithCredential: false }), {
      outcome: 'differing',
      differences: [{ part: 'access', name: 'acme/app', action: 'push' }],
    });
  });
});

describe('what a token of Rails grants', () => {
  const read = (claims: object): ComparedToken | null =>
    readToken(JSON.parse(String(railsToken(claims).body)).token);

  it('is read without its signature', () => {
    const claims = {
      access: TOKEN.access,
      auth_type: 'x',
      aud: 'y',
      sub: 'z',
      exp: 5,
      iat: 4,
      iss: 'i',
      other: [],
    };
    assert.deepEqual(read(claims), {
      access: TOKEN.access,
      authType: 'x',
      aud: 'y',
      sub: 'z',
      exp: 5,
      iat: 4,
    });
  });

  it('may lack all but its end', () => {
    assert.deepEqual(read({ exp: 5 }), {
      access: [],
      authType: null,
      aud: null,
      sub: null,
      exp: 5,
      iat: null,
    });
    assert.deepEqual(read({ exp: 5, access: null, sub: null })?.access, []);
  });

  it('is null for what can not be read', () => {
    for (const claims of [{}, { exp: 'x' }, { exp: 5, access: {} }, { exp: 5, aud: ['a', 'b'] }])
      assert.equal(read(claims), null);
    for (const text of ['', 'x', 'a.b.c', '..']) assert.equal(readToken(text), null);
  });
});
