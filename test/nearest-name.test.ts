import assert from 'node:assert/strict';
import { array, assert as check, constantFrom, property, string } from 'fast-check';
import { nearestName } from '../src/nearest-name.ts';

/** The definition, without any shortcut. */
function distanceOf(one: string, other: string): number {
  const table = Array.from({ length: one.length + 1 }, (_, row) =>
    Array.from({ length: other.length + 1 }, (_, column) => (row === 0 ? column : column === 0 ? row : 0)),
  );
  for (let row = 1; row <= one.length; row += 1) {
    for (let column = 1; column <= other.length; column += 1) {
      const isSwap =
        row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      table[row]![column] = Math.min(
        table[row - 1]![column]! + 1,
        table[row]![column - 1]! + 1,
        table[row - 1]![column - 1]! + (one[row - 1] === other[column - 1] ? 0 : 1),
        isSwap ? table[row - 2]![column - 2]! + 1 : Number.POSITIVE_INFINITY,
      );
    }
  }
  return table[one.length]![other.length]!;
}

describe('the nearest name', () => {
  const rows: [name: string, names: readonly string[], nearest: string | null][] = [
    ['alise', ['bob', 'alice', 'alicia'], 'alice'],
    ['alcie', ['alice'], 'alice'],
    ['ALICE', ['alice'], 'alice'],
    ['alic', ['alice'], 'alice'],
    ['alicee', ['alice'], 'alice'],
    ['developper', ['developer', 'deployer'], 'developer'],
    ['acme/platfrom/api', ['acme/web', 'acme/platform', 'acme/platform/api'], 'acme/platform/api'],
    ['ace', ['acme', 'ice'], 'acme'],
    ['bob', ['alice', 'carol'], null],
    ['ab', ['cd', 'abc'], null],
    ['rle', ['role'], 'role'],
    ['bbo', ['bab', 'bob'], 'bob'],
    ['gitlab', ['github'], null],
    ['alice', ['alice'], null],
    ['', ['a'], null],
    ['a'.repeat(201), ['a'.repeat(200)], null],
    ['x', [], null],
  ];
  for (const [name, names, nearest] of rows)
    it(`of ${name.slice(0, 20)} in ${names.join(', ').slice(0, 40)} is ${nearest}`, () =>
      assert.equal(nearestName(name, names), nearest));

  it('is the one that a plain table of distances finds', () => {
    const word = string({ unit: constantFrom('a', 'b', 'c', 'd'), minLength: 3, maxLength: 14 });
    check(
      property(word, array(word, { maxLength: 8 }), (name, names) => {
        const others = names.filter((one) => one !== name);
        const most = name.length === 3 ? 1 : Math.min(3, Math.floor(name.length / 4));
        const found = nearestName(name, others);
        const isTooShort = (one: string): boolean =>
          name.length === 3 &&
          one.length === 3 &&
          [...new Set(name)].sort().join() !== [...new Set(one)].sort().join();
        const distances = others.filter((one) => !isTooShort(one)).map((one) => distanceOf(name, one));
        const least = Math.min(...distances);
        if (least > most) assert.equal(found, null);
        else assert.equal(found === null ? null : distanceOf(name, found), least);
      }),
      { numRuns: 2000, seed: 20261127 },
    );
  });

  it('does not take long to find among 100,000 names', () => {
    const names = Array.from({ length: 100_000 }, (_, at) => `group-${at % 300}/project-number-${at}`);
    const started = process.cpuUsage();
    for (let at = 0; at < 4; at += 1) nearestName(`group-${at}/projekt-nmber-${99_000 + at}x`, names);
    const { user } = process.cpuUsage(started);
    assert.ok(user < 6_000_000, `${user / 1000} ms for 4 searches`);
  });
});
