import assert from 'node:assert/strict';
import { readYaml } from '../../src/config/yaml.ts';
import { type Problem, printProblems } from '../../src/errors.ts';

/** A list of `size` numbers behind an anchor, and a list of `count` aliases to it. */
function sharedList(size: number, count: number): string {
  return `shared: &shared [${Array(size).fill('1').join(', ')}]\nuses: [${Array(count).fill('*shared').join(', ')}]`;
}

describe('reading YAML', () => {
  it('gives an empty mapping for an empty file', () => {
    for (const text of ['', '# only a comment\n', 'null']) assert.deepEqual(readYaml(text).content, {});
  });

  const refused: [what: string, text: string, line: number | undefined, message: RegExp][] = [
    ['a list', '- a\n- b', 1, /^must be a YAML mapping .*but is a list$/],
    ['plain text', 'not YAML at all', 1, /^must be a YAML mapping .*but is plain text$/],
    ['a second document', 'a: 1\n---\nb: 2', 2, /a second document begins here/],
    ['an alias without an anchor', 'a: 1\nb: *c', 2, /c/],
    ['an alias inside its own anchor', 'a: 1\nb: &b [1, *b]', 2, /stands inside its own anchor/],
    ['aliases that expand too much', sharedList(101, 100), 2, /the alias \*shared expands the file too much/],
  ];
  for (const [what, text, line, message] of refused) {
    it(`refuses ${what}, with one problem`, () => {
      const { content, problems } = readYaml(text);
      assert.equal(content, null);
      assert.equal(problems.length, 1, JSON.stringify(problems));
      assert.equal(problems[0]?.line, line);
      assert.match(problems[0]?.message ?? '', message);
    });
  }

  it('takes as many aliases as the length of the file allows', () => {
    const { content, problems } = readYaml(sharedList(20, 5000));
    assert.deepEqual(problems, []);
    assert.deepEqual(Object.keys(content ?? {}), ['shared', 'uses']);
    assert.equal(readYaml(sharedList(60, 5000)).content, null);
  });

  it('gives the line of a place, or of the nearest place above it', () => {
    const { lineOf } = readYaml('a:\n  - b: 1\n  -\n    c: 2\nd: 3');
    assert.deepEqual(
      [lineOf(['a', 0, 'b']), lineOf(['a', 1, 'c']), lineOf(['a', 1, 'x']), lineOf(['d'])],
      [2, 4, 4, 5],
    );
    assert.equal(lineOf(['nowhere']), 1);
  });
});

describe('printing problems', () => {
  const problem = (line: number): Problem => ({ line, path: `a[${line}]`, message: 'is wrong' });

  it('names the line, the place and the file', () => {
    assert.equal(
      printProblems([problem(3), { path: '', message: 'is missing' }]),
      'line 3: a[3]: is wrong; is missing',
    );
    assert.equal(printProblems([problem(3)], 'cells.yaml'), 'line 3 of cells.yaml: a[3]: is wrong');
  });

  it('prints twenty problems and counts the others', () => {
    const text = printProblems(Array.from({ length: 25 }, (_, at) => problem(at + 1)));
    assert.equal(text.split('; ').length, 21);
    assert.match(text, /a\[20\]: is wrong; and 5 more$/);
  });
});
