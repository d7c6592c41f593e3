import assert from 'node:assert/strict';
import { createProgram } from '../../src/cli/program.ts';

describe('a typing error on the command line', () => {
  const rows: [args: readonly string[], says: RegExp][] = [
    [['confg'], /unknown command 'confg'\n\(Did you mean config\?\)/],
    [['keys', 'lst'], /unknown command 'lst'\n\(Did you mean list\?\)/],
    [['keys', 'list', '--jsn'], /unknown option '--jsn'\n\(Did you mean --json\?\)/],
    [['directory', 'aply'], /\(Did you mean apply\?\)/],
  ];
  for (const [args, says] of rows) {
    it(`is named for ${args.join(' ')}`, async () => {
      let stderr = '';
      const terminal = {
        environment: {},
        stdout: () => undefined,
        stderr: (text: string) => (stderr += text),
      };
      await assert.rejects(createProgram(terminal, '0').parseAsync([...args], { from: 'user' }));
      assert.match(stderr, says);
    });
  }
});
