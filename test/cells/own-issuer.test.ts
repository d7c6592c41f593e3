import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withOwnIssuer } from '../../src/cells/own-issuer.ts';
import { loadConfig } from '../../src/config/load.ts';

describe('the issuer of a cell', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-issuers-'));
  const file = join(folder, 'cells.yaml');
  after(() => rmSync(folder, { recursive: true }));

  const issuer = (environment: Readonly<Record<string, string>>, cells: string | null): string => {
    if (cells !== null) writeFileSync(file, cells);
    const more = cells === null ? {} : { CELLPASS_CELLS_FILE: file };
    return withOwnIssuer(loadConfig({ CELLPASS_CELL: '2', ...more, ...environment })).issuer;
  };
  const NONE = 'cells: [{id: 2, legacy: true, url: https://a}]';
  const OWN =
    'cells: [{id: 1, legacy: true, url: https://a, issuer: one}, {id: 2, url: https://b, issuer: two}]';

  it('is that of the settings where cells.yaml names none', () => {
    assert.equal(issuer({}, null), 'cellpass');
    assert.equal(issuer({}, NONE), 'cellpass');
    assert.equal(issuer({ CELLPASS_ISSUER: 'mine' }, NONE), 'mine');
  });

  it('is its own in cells.yaml', () => {
    assert.equal(issuer({}, OWN), 'two');
    assert.equal(issuer({ CELLPASS_ISSUER: 'two' }, OWN), 'two');
    assert.equal(issuer({ CELLPASS_CELL: '1' }, OWN), 'one');
  });

  it('is refused where it is an issuer of ID tokens', () => {
    const settings = join(folder, 'cellpass.yaml');
    const federate = (name: string): string => {
      const entry = { issuer: name, jwks_uri: 'https://ci.example.com/keys', must_pin: ['sub'] };
      const federation = {
        audience: 'https://registry.example.com',
        issuers: { first: { preset: 'github' }, ci: entry },
      };
      writeFileSync(settings, JSON.stringify({ federation }));
      return issuer({ CELLPASS_CONFIG: settings }, OWN);
    };
    assert.throws(
      () => federate('two'),
      /CELLPASS_FEDERATION\.issuers\.ci\.issuer: is this server itself \(cell 2 of /,
    );
    for (const name of ['one', 'two/', 'TWO']) assert.equal(federate(name), 'two');
  });

  it('is refused where both name one, and differ', () => {
    for (const name of ['one', 'cellpass'])
      assert.throws(
        () => issuer({ CELLPASS_ISSUER: name }, OWN),
        /CELLPASS_ISSUER: is .*cell 2 signs as two/,
      );
  });
});
