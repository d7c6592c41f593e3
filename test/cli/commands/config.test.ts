import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgram } from '../../../src/cli/program.ts';

async function run(args: readonly string[], environment: Record<string, string>): Promise<string> {
  let stdout = '';
  const terminal = { environment, stdout: (text: string) => (stdout += text), stderr: () => undefined };
  await createProgram(terminal, '0').parseAsync([...args], { from: 'user' });
  return stdout;
}

describe('config show', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cellpass-config-'));
  });
  after(() => rmSync(folder, { recursive: true }));
  const environment = (): Record<string, string> => ({
    CELLPASS_DATA_DIR: join(folder, 'no-server-here'),
    CELLPASS_DATABASE_URL: 'postgresql://cellpass:hunter2@db.example.com/cellpass',
  });

  it('prints name, value and source as JSON, without a server', async () => {
    const { settings } = JSON.parse(await run(['config', 'show', '--json'], environment()));
    for (const setting of settings) assert.deepEqual(Object.keys(setting), ['name', 'value', 'source']);
    const [database] = settings.filter(({ name }: { name: string }) => name === 'database_url');
    assert.deepEqual(database, {
      name: 'database_url',
      value: 'postgresql://cellpass:***@db.example.com/cellpass',
      source: 'environment',
    });
  });

  it('prints a table with the variable or the line', async () => {
    const file = join(folder, 'c.yaml');
    writeFileSync(file, 'issuer: mine\n');
    const text = await run(['config', 'show'], { ...environment(), CELLPASS_CONFIG: file });
    assert.match(text, /^SETTING +VALUE +SOURCE\n/);
    assert.match(
      text,
      /^database_url +postgresql:\/\/cellpass:\*\*\*@db.* +environment \(CELLPASS_DATABASE_URL\)$/m,
    );
    assert.match(text, /^issuer +mine +file \(line 1\)$/m);
    assert.match(text, /^workers +1 +default$/m);
    assert.doesNotMatch(text, /hunter2/);
  });

  it('shows the issuer that the cells file gives this cell', async () => {
    const cells = join(folder, 'cells.yaml');
    writeFileSync(
      cells,
      'cells:\n  - {id: 1, legacy: true, url: "https://one.example.com", issuer: cell-1}\n  - {id: 2, url: "https://two.example.com", issuer: cell-2}\n',
    );
    const { settings } = JSON.parse(
      await run(['config', 'show', '--json'], {
        ...environment(),
        CELLPASS_CELL: '2',
        CELLPASS_CELLS_FILE: cells,
      }),
    );
    assert.deepEqual(
      settings.filter(({ name }: { name: string }) => name === 'issuer'),
      [{ name: 'issuer', value: 'cell-2', source: 'file' }],
    );
  });
});
