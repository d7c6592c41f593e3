import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readTopology } from '../../src/cells/current-topology.ts';
import { createProgram } from '../../src/cli/program.ts';
import { loadConfig } from '../../src/config/load.ts';
import { CellpassError, type Problem } from '../../src/errors.ts';

const DOCUMENT = 'version: 1\nusers:\n  - username: alice\n  - username: bob\n';
const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le');

const FILES: readonly (readonly [what: string, bytes: Buffer, message: RegExp])[] = [
  ['a picture', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d]), /binary data/],
  ['an archive', gzipSync(DOCUMENT), /binary data/],
  ['UTF-16 with its mark', Buffer.concat([Buffer.from([0xff, 0xfe]), utf16(DOCUMENT)]), /is UTF-16: save it/],
  [
    'UTF-16 in the other order',
    Buffer.concat([Buffer.from([0xfe, 0xff]), utf16(DOCUMENT).swap16()]),
    /UTF-16/,
  ],
  ['UTF-16 without its mark', utf16(DOCUMENT), /UTF-16: save it as text in UTF-8/],
  ['Latin-1', Buffer.from('issuer: M\u00fcller\n', 'latin1'), /is not UTF-8, but .* Latin-1: save it/],
  ['tabs', Buffer.from('version: 1\nusers:\n\t- username: alice\n\t- username: bob\n'), /[Tt]ab/],
  ['a mail', Buffer.from('Dear all,\n\nthis: is: no: YAML\n\tregards\n  {["\n'), /./],
  ['JSON that was cut off', Buffer.from('{"version": 1, "users": [{"username": "alice"'), /./],
  ['a program', Buffer.from('function f(a) {\n  return a ? [1, 2 : {};\n}\n%%%\n'), /./],
];

/** All problems that a function throws. */
function problemsOf(work: () => unknown): readonly Problem[] {
  try {
    work();
    return [];
  } catch (error) {
    assert.ok(error instanceof CellpassError, String(error));
    return error.details.problems ?? [{ path: '', message: error.message }];
  }
}

describe('a file that is not YAML is one error', () => {
  let file: string;
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cellpass-not-yaml-'));
    file = join(folder, 'file.yaml');
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const [what, bytes, message] of FILES) {
    it(`of the settings: ${what}`, () => {
      writeFileSync(file, bytes);
      const problems = problemsOf(() => loadConfig({ CELLPASS_CONFIG: file }));
      assert.equal(problems.length, 1, JSON.stringify(problems));
      assert.match(problems[0]?.message ?? '', message);
    });

    it(`of the cells: ${what}`, () => {
      writeFileSync(file, bytes);
      const problems = problemsOf(() => readTopology(file, 1));
      assert.equal(problems.length, 1, JSON.stringify(problems));
      assert.match(problems[0]?.message ?? '', message);
    });

    it(`of a directory document: ${what}`, async () => {
      writeFileSync(file, bytes);
      let stdout = '';
      const terminal = {
        environment: {},
        stdout: (text: string) => (stdout += text),
        stderr: () => undefined,
      };
      const args = ['directory', 'check', '-f', file, '--json'];
      await assert.rejects(createProgram(terminal, '0').parseAsync(args, { from: 'user' }), /a problem/);
      const { problems } = JSON.parse(stdout);
      assert.equal(problems.length, 1, stdout);
      assert.match(problems[0].message, message);
      assert.ok(problems[0].line >= 1);
    });
  }

  it('but UTF-8 with its mark is YAML', () => {
    writeFileSync(file, '\ufeffissuer: M\u00fcller\n');
    assert.equal(loadConfig({ CELLPASS_CONFIG: file }).issuer, 'M\u00fcller');
  });
});
