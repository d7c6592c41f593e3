import assert from 'node:assert/strict';
import { createProgram } from '../../src/cli/program.ts';

/** What a command writes, whether it succeeds or not. */
async function written(args: readonly string[]): Promise<string> {
  let text = '';
  const write = (more: string) => (text += more);
  const program = createProgram({ environment: {}, stdout: write, stderr: write }, '0');
  await assert.rejects(program.parseAsync([...args], { from: 'user' }));
  return text;
}

describe('a wrong use of a command', () => {
  const rows: [args: readonly string[], hint: string][] = [
    [['nothing'], '(cellpass --help lists the commands)'],
    [['keys', 'nothing'], '(cellpass keys --help lists the commands)'],
    [['token', 'create'], '(cellpass token create --help explains the options)'],
    [['who-can', 'write', 'acme/web'], '(cellpass who-can --help explains the options)'],
  ];
  for (const [args, hint] of rows) {
    it(`names the help of that command: ${args.join(' ')}`, async () => {
      assert.ok((await written(args)).includes(hint));
    });
  }
});

describe('cellpass --help', () => {
  it('fits into 80 columns', async () => {
    const lines = (await written(['--help'])).split('\n');
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [],
    );
  });
});

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
