import assert from 'node:assert/strict';
import { type Closers, closeAll, openAll } from '../../src/server/closers.ts';

describe('what a server has opened', () => {
  const open = (opened: Closers, closed: string[], ...names: readonly string[]): void => {
    for (const name of names) {
      opened.push(async () => {
        closed.push(name);
        if (name.startsWith('broken')) throw new Error(name);
      });
    }
  };

  const rows: [what: string, names: readonly string[], isThrown: (error: Error) => boolean][] = [
    ['the one error', ['a', 'broken', 'c'], ({ message }) => message === 'broken'],
    [
      'every error',
      ['broken 1', 'b', 'broken 2'],
      (error) => error instanceof AggregateError && error.message === 'Error: broken 2; Error: broken 1',
    ],
  ];
  for (const [what, names, isThrown] of rows) {
    it(`is closed from the last to the first, whatever fails to, and then tells ${what}`, async () => {
      const opened: Closers = [];
      const closed: string[] = [];
      open(opened, closed, ...names);
      await assert.rejects(closeAll(opened), isThrown);
      assert.deepEqual(closed, names.toReversed());
      await closeAll(opened);
      assert.deepEqual(closed, names.toReversed(), 'once');
    });
  }

  it('is closed where the next can not be opened, whose error is the one that is told', async () => {
    const closed: string[] = [];
    const opening = openAll(async (opened) => {
      open(opened, closed, 'a', 'broken');
      throw new Error('the port is taken');
    });
    await assert.rejects(opening, /the port is taken/);
    assert.deepEqual(closed, ['broken', 'a']);
  });
});
