import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { CONSOLE_BLOCK, commandsOf, runExamples } from '../support/example-runs.ts';

const TEXT = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

describe('docs/operations.md', () => {
  it('shows what each of its commands prints on the example company (npm run docs:operations)', async function () {
    // It runs some sixty commands, one after the other.
    this.timeout(300_000);
    assert.equal(await runExamples(TEXT), TEXT);
  });

  describe('the tables of questions and changes', () => {
    const outputs = outputsOf(TEXT);
    const rows = [...TEXT.matchAll(/^\| \[[^\]]+\]\([^)]+\) \| `([^`]+)` \| (.*) \|$/gm)];

    it('has rows', () => assert.ok(rows.length >= 15, `${rows.length}`));

    for (const [row, command = '', output = ''] of rows) {
      it(`shows a line of the output: ${command}`, () => {
        const lines = outputs.get(command.replaceAll('\\|', '|'));
        assert.ok(lines, 'no console block runs this command');
        const [, shown = ''] = /^`([^`]+)`$/.exec(output) ?? [];
        assert.ok(shown !== '' && lines.includes(shown), `${row}\nis no line of\n${lines.join('\n')}`);
      });
    }
  });
});

/** The lines that each command prints, without the spaces that align columns. */
function outputsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const blocks = [...text.matchAll(CONSOLE_BLOCK)].map(([block]) => block);
  return new Map(
    blocks.flatMap((block) =>
      commandsOf(block).map((command, at, all) => {
        const from = block.indexOf(`$ ${command}\n`) + command.length + 3;
        const next = all[at + 1];
        const until = next === undefined ? block.length : block.indexOf(`$ ${next}\n`, from);
        const lines = block.slice(from, until).split('\n');
        return [command, lines.map((line) => line.trim().replace(/ {2,}/g, ' '))] as const;
      }),
    ),
  );
}
