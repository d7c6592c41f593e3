import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { optionsOfWorkers } from '../../src/server/workers/young-generation.ts';

const BIN = new URL('../../bin/cellpass', import.meta.url).pathname;

describe('the options of workers', () => {
  const rows: readonly [execArgv: readonly string[], nodeOptions: string | undefined, added: boolean][] = [
    [[], undefined, true],
    [['--enable-source-maps'], '--no-warnings', true],
    [['--max-semi-space-size=8'], undefined, false],
    [['--max_semi_space_size=8'], undefined, false],
    [[], '--no-warnings --max-semi-space-size=16', false],
    [[], '--min-semi-space-size=16', false],
  ];
  for (const [execArgv, nodeOptions, added] of rows) {
    it(`${[...execArgv, nodeOptions ?? ''].join(' ') || 'none'}: ${added ? 'with' : 'without'} a small space for new objects`, () => {
      assert.deepEqual(optionsOfWorkers(execArgv, nodeOptions), [
        ...execArgv,
        ...(added ? ['--max-semi-space-size=2'] : []),
      ]);
    });
  }

  it('start a process without workers with the same space', () => {
    const [first] = execFileSync('head', ['-1', BIN], { encoding: 'utf8' }).split('\n');
    assert.equal(first, '#!/usr/bin/env -S node --max-semi-space-size=2');
    assert.match(execFileSync(BIN, ['--version'], { encoding: 'utf8' }), /^\d+\.\d+\.\d+/);
  });
});
