import assert from 'node:assert/strict';
import { escapeOutput, escapeUnprintable } from '../src/printable.ts';
import { runToEnd } from './support/processes/child.ts';
import { ROOT } from './support/processes/site.ts';

describe('text that clients chose', () => {
  const rows: [what: string, text: string, printed: string][] = [
    ['an escape sequence', 'a\u001b[2Jb', 'a\\u001b[2Jb'],
    ['a bell and DEL', '\u0007\u007f', '\\u0007\\u007f'],
    ['C1, which some terminals read as an escape', '\u009b31m', '\\u009b31m'],
    ['a carriage return, which writes over the line', 'x\ry', 'x\\u000dy'],
    ['what changes the direction of text', '\u202e\u2066\u200f\u061c', '\\u202e\\u2066\\u200f\\u061c'],
    ['line separators', '\u2028\u2029', '\\u2028\\u2029'],
    ['letters of any script', 'жест 東京 🚀', 'жест 東京 🚀'],
  ];
  for (const [what, text, printed] of rows) {
    it(`is printed without ${what}`, () => {
      assert.equal(escapeUnprintable(text), printed);
      assert.equal(escapeOutput(text), printed);
    });
  }

  it('stays valid JSON, with the same value', () => {
    const value = { text: 'a\u009b\u202e\u007f\n\t"\\' };
    assert.deepEqual(JSON.parse(escapeOutput(JSON.stringify(value, null, 2))), value);
  });

  it('keeps line feeds and tabs of output, and escapes those in one text', () => {
    assert.equal(escapeOutput('a\tb\n'), 'a\tb\n');
    assert.equal(escapeUnprintable('a\tb\n'), 'a\\u0009b\\u000a');
  });

  it('reaches a terminal escaped, whichever command prints it', async () => {
    const args = ['directory', 'check', '-f', '/none/\u001b[31mx'];
    const { code, stderr } = await runToEnd(`${ROOT}/bin/cellpass`, args, { env: {}, cwd: ROOT });
    assert.equal(code, 1);
    assert.match(stderr, /\\u001b\[31mx/);
    assert.ok(!stderr.includes('\u001b'));
  });
});
