import assert from 'node:assert/strict';
import { lowerCaseAscii } from '../../src/ascii.ts';
import {
  type DroppedScope,
  parseScope,
  parseScopes,
  printScope,
  projectPaths,
  splitScopes,
} from '../../src/policy/scope.ts';

/** The scope as it would be printed, or why it was dropped. */
function read(text: string): string {
  const scope = parseScope(text);
  return 'why' in scope ? scope.why : printScope(scope);
}

const LONGEST = `a/${'b'.repeat(253)}`;

describe('parseScope: the grammar', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['repository:acme/app:pull', 'repository:acme/app:pull'],
    ['repository:acme/app:push,pull', 'repository:acme/app:push,pull'],
    ['repository:acme/app:pull,pull,push', 'repository:acme/app:pull,push'],
    ['repository:acme/app:*', 'repository:acme/app:*'],
    ['repository:acme/app:delete', 'repository:acme/app:delete'],
    ['repository(plugin):acme/app:pull', 'repository:acme/app:pull'],
    ['repository(v2):acme/app:pull', 'repository:acme/app:pull'],
    ['registry:catalog:*', 'registry:catalog:*'],
    ['registry:statistics:*', 'registry:statistics:*'],
    ['registry:background-migrations:*', 'registry:background-migrations:*'],
    ['registry:CATALOG:pull', 'registry:catalog:pull'],

    ['', 'syntax'],
    ['repository', 'syntax'],
    ['repository:acme/app', 'syntax'],
    ['repositoryacme/app:pull', 'syntax'],
    [':acme/app:pull', 'syntax'],
    ['Repository:acme/app:pull', 'syntax'],
    [' repository:acme/app:pull', 'syntax'],
    ['repository():acme/app:pull', 'syntax'],
    ['repository(Plugin):acme/app:pull', 'syntax'],
    ['repository(plugin:acme/app:pull', 'syntax'],
    ['repository(plugin)x:acme/app:pull', 'syntax'],
    ['image:acme/app:pull', 'unknown_type'],
    ['invalid:aa:bb', 'unknown_type'],
    ['xrepository:acme/app:pull', 'unknown_type'],

    ['repository:host:5000/acme/app:pull', 'name'],
    ['repository:acme/app:1.0:pull', 'name'],
    ['repository::pull', 'name'],
    ['registry:acme/app:*', 'name'],
    ['registry:other:*', 'name'],

    ['repository:acme/app:', 'no_known_action'],
    ['repository:acme/app:foo', 'no_known_action'],
    ['registry:catalog:*,foo', 'no_known_action'],
    ['repository:acme/app:PULL', 'no_known_action'],
    ['repository:acme/app:pull,foo', 'repository:acme/app:pull'],
    ['repository:acme/app:,push,', 'repository:acme/app:push'],
  ];
  for (const [text, expected] of rows) {
    it(`${text || '(empty)'} → ${expected}`, () => assert.equal(read(text), expected));
  }

  it('hands back the text that it drops', () => {
    for (const text of ['nonsense', 'image:a/b:pull', 'repository:a:pull', 'repository:a/b:foo']) {
      const scope = parseScope(text);
      assert.equal('text' in scope && scope.text, text);
    }
  });
});

describe('parseScope: repository names', () => {
  const good: readonly (readonly [string, string])[] = [
    ['acme/app', 'acme/app'],
    ['Acme/APP', 'acme/app'],
    ['a/b', 'a/b'],
    ['0/9', '0/9'],
    ['acme/my.app', 'acme/my.app'],
    ['acme/my_app', 'acme/my_app'],
    ['acme/my__app', 'acme/my__app'],
    ['acme/my-app', 'acme/my-app'],
    ['acme/my---app', 'acme/my---app'],
    ['a.b_c__d-e/f', 'a.b_c__d-e/f'],
    ['abc/def/ghi', 'abc/def/ghi'],
    ['a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s', 'a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s'],
    [LONGEST, LONGEST],
  ];
  for (const [name, expected] of good) {
    it(`takes ${name.slice(0, 40)}`, () =>
      assert.equal(read(`repository:${name}:pull`), `repository:${expected}:pull`));
  }

  const bad = [
    'app',
    '/app',
    'acme/',
    'acme//app',
    'acme/.app',
    'acme/app.',
    'acme/-app',
    'acme/app-',
    '_acme/app',
    'acme_/app',
    'acme/my..app',
    'acme/my___app',
    'acme/my.-app',
    'acme/my._app',
    'acme/../app',
    'acme/./app',
    'acme/a%2fb',
    'acme/a\\b',
    'acme/äpp',
    'acme/\u212Aey',
    'acme/app\n',
    '\nacme/app',
    'a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t',
    `${LONGEST}b`,
    `acme/${'a'.repeat(240)}!`,
  ];
  for (const name of bad) {
    it(`drops ${JSON.stringify(name.slice(0, 42))}`, () =>
      assert.equal(read(`repository:${name}:pull`), 'name'));
  }
});

describe('parseScopes', () => {
  function printed(...texts: readonly string[]): string {
    return parseScopes(splitScopes(texts)).scopes.map(printScope).join(' ');
  }

  it('splits every parameter on any run of white space', () => {
    assert.deepEqual(splitScopes([' a  b\tc\r\n', '', ' ', 'd']), ['a', 'b', 'c', 'd']);
  });

  const joined = 'repository:acme/app:pull,push repository:acme/web:pull';
  const rows: readonly (readonly [string, readonly string[], string])[] = [
    ['nothing', [], ''],
    ['empty parameters', ['', ' ', '\t\n'], ''],
    [
      'repeated parameters',
      ['repository:acme/app:pull', 'repository:acme/app:push', 'repository:acme/web:pull'],
      joined,
    ],
    [
      'scopes joined by white space',
      [' repository:acme/app:pull  repository:acme/app:push\trepository:acme/web:pull '],
      joined,
    ],
    [
      'duplicates',
      [
        'repository:acme/app:pull,push repository:acme/app:pull',
        'repository:acme/web:pull',
        'repository:acme/app:push',
      ],
      joined,
    ],
    [
      'classes and case',
      ['repository(plugin):ACME/app:pull repository:acme/app:push repository:acme/web:pull'],
      joined,
    ],
    [
      'another order of actions',
      ['repository:acme/app:push', 'repository:acme/app:pull'],
      'repository:acme/app:push,pull',
    ],
    [
      'what does not parse in between',
      ['repository:acme/app:pull x repository:acme/app:push', 'image:a/b:pull repository:acme/web:pull,foo'],
      joined,
    ],
    [
      'several types',
      ['registry:catalog:* repository:acme/app:pull registry:catalog:pull'],
      'registry:catalog:*,pull repository:acme/app:pull',
    ],
  ];
  for (const [what, texts, expected] of rows) {
    it(`reads ${what}`, () => assert.equal(printed(...texts), expected));
  }

  it('tells what was dropped and why, in order', () => {
    const expected: readonly DroppedScope[] = [
      { text: 'x', why: 'syntax' },
      { text: 'image:a/b:pull', why: 'unknown_type' },
      { text: 'repository:a:pull', why: 'name' },
      { text: 'repository:a/b:foo', why: 'no_known_action' },
    ];
    const texts = ['x', 'image:a/b:pull', 'repository:a/b:pull', 'repository:a:pull', 'repository:a/b:foo'];
    assert.deepEqual(parseScopes(texts), {
      scopes: [{ type: 'repository', name: 'a/b', actions: ['pull'] }],
      dropped: expected,
    });
  });
});

describe('projectPaths', () => {
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['a', []],
    ['a/b', ['a/b']],
    ['a/b/c', ['a/b/c', 'a/b']],
    ['a/b/c/d', ['a/b/c/d', 'a/b/c', 'a/b']],
    ['a/b/c/d/e', ['a/b/c/d/e', 'a/b/c/d', 'a/b/c']],
  ];
  for (const [name, expected] of rows) {
    it(`${name} → ${expected.join(' ') || 'none'}`, () => assert.deepEqual(projectPaths(name), expected));
  }
});

describe('lowerCaseAscii', () => {
  it('lowers A to Z and leaves every other letter alone', () => {
    assert.equal(lowerCaseAscii('AcMeZ/ÄÉ\u212Aİ-09'), 'acmez/ÄÉ\u212Aİ-09');
  });
});
