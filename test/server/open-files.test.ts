import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/load.ts';
import { fitOpenFiles } from '../../src/server/open-files.ts';

describe('limits.connections and ulimit -n', () => {
  const config = loadConfig({});
  const withTotal = (total: number) => ({
    ...config,
    limits: { ...config.limits, connections: { ...config.limits.connections, total } },
  });
  // A process needs 128 files of its own, and as many for connections that get a 503 (256 at most).
  const rows: [what: string, total: number, openFiles: number | null, expected: number][] = [
    ['the default fits into a usual limit', 4096, 1_048_576, 4096],
    ['exactly as many as needed', 4096, 4096 + 256 + 128, 4096],
    ['one too few', 4096, 4096 + 256 + 127, 4095],
    ['the hard limit of old systems', 4096, 4096, 4096 - 256 - 128],
    ['so few that half of them are for a 503', 4096, 328, 100],
    ['fewer than the process itself needs', 4096, 64, 1],
    ['a small setting needs few', 100, 328, 100],
    ['unknown', 4096, null, 4096],
  ];
  for (const [what, total, openFiles, expected] of rows) {
    it(`${what}: ${openFiles} files and ${total} connections make ${expected}`, () => {
      const warnings: object[] = [];
      const log = { warn: (fields: object) => warnings.push(fields) };
      const fitted = fitOpenFiles(withTotal(total), log, openFiles);
      assert.equal(fitted.limits.connections.total, expected);
      assert.equal(warnings.length, expected === total ? 0 : 1);
    });
  }

  it('reads the limit of this process', () => {
    const warnings: object[] = [];
    const log = { warn: (fields: object) => warnings.push(fields) };
    fitOpenFiles(withTotal(Number.MAX_SAFE_INTEGER), log);
    assert.equal(warnings.length, process.platform === 'linux' ? 1 : 0);
  });
});
