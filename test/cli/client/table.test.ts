import assert from 'node:assert/strict';
import { entryWithId, shortener } from '../../../src/cli/client/short-id.ts';
import { cuttable, printTable, whole } from '../../../src/cli/client/table.ts';
import { toMinute } from '../../../src/cli/client/time.ts';

describe('tables on a terminal', () => {
  const long = (length: number): string => 'x'.repeat(length);

  it('have columns two spaces apart, as wide as their longest cell', () => {
    const rows = [
      ['1', 'laptop'],
      ['12', ''],
    ];
    assert.equal(printTable([whole('ID'), cuttable('NAME')], rows), 'ID  NAME\n1   laptop\n12\n');
  });

  it('fit in 120 columns: the longest cells are cut, ids and short cells are not', () => {
    const columns = [whole('ID'), cuttable('A'), cuttable('B'), cuttable('C')];
    const [, row] = printTable(columns, [[long(36), long(90), long(200), 'short']]).split('\n');
    assert.equal(row!.length, 120);
    const [id, a, b, c] = row!.split('  ');
    assert.deepEqual([id, c], [long(36), 'short']);
    for (const cell of [a, b]) assert.match(cell!, /^x{35,36}…$/);
  });

  it('keep 8 characters of every cell, and whole cells even where they are too wide', () => {
    const [, row] = printTable([whole('ID'), cuttable('NAME')], [[long(130), long(20)]]).split('\n');
    assert.equal(row, `${long(130)}  ${long(7)}…`);
  });

  it('show no control characters of a cell', () => {
    assert.equal(printTable([cuttable('NAME')], [['a\u001b[2J\nb']]), 'NAME\na?[2J?b\n');
  });

  it('show times in UTC to the minute', () => {
    assert.equal(toMinute('2027-01-31T13:05:59.999+01:00'), '2027-01-31 12:05Z');
  });
});

describe('short ids', () => {
  const rows: [what: string, ids: string[], shown: string[]][] = [
    ['8 characters are enough', ['0123456789', 'abcdefghij'], ['01234567', 'abcdefgh']],
    ['the same id twice', ['0123456789', '0123456789'], ['01234567', '01234567']],
    ['as many as tell them apart', ['0123456789', '0123456780'], ['0123456789', '0123456780']],
    ['an id that another begins with', ['01234567', '0123456789'], ['01234567', '012345678']],
    ['none', [], []],
  ];
  for (const [what, ids, shown] of rows) {
    it(`are prefixes: ${what}`, () => assert.deepEqual(ids.map(shortener(ids)), shown));
  }

  const search = {
    entries: [['ABCD:EFGH:1', 'thumbprint-1'], ['ABCD:EFGH:2', 'thumbprint-2'], ['ABCD:EFGH']],
    idsOf: (ids: string[]) => ids,
    noun: 'key',
    listedBy: 'cellpass keys list',
  };
  it('name the one entry with the id, or with an id that begins with it', () => {
    assert.equal(entryWithId('ABCD:EFGH:2', search), search.entries[1]);
    assert.equal(entryWithId('thumbprint-1', search), search.entries[0]);
    assert.equal(entryWithId('ABCD:EFGH', search), search.entries[2]);
  });

  const refused: [id: string, code: string, message: RegExp][] = [
    ['ABCD:EFG', 'conflict', /^the ids of 3 keys begin with ABCD:EFG: .*"cellpass keys list --json"/],
    ['thumbprint', 'conflict', /^the ids of 2 keys/],
    [
      'thumbpr',
      'not_found',
      /^no key has the id thumbpr, and a prefix needs 8 characters.*"cellpass keys list"/,
    ],
    ['unknown-id', 'not_found', /^no key has the id unknown-id: see "cellpass keys list"$/],
    ['', 'not_found', /8 characters/],
  ];
  for (const [id, code, message] of refused) {
    it(`${id || '(empty)'} is refused`, () => {
      assert.throws(() => entryWithId(id, search), { code, message });
    });
  }
});
