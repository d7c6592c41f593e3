import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/load.ts';
import { isUnencrypted, warnOfUnencrypted } from '../../src/config/unencrypted.ts';

const REMOTE = ['10.0.0.5', 'db', 'localhost.example.com', '[2001:db8::1]', '0.0.0.0', '127.0.0.1.nip.io'];
const LOCAL = ['localhost', 'LOCALHOST', '127.0.0.1', '127.8.9.10', '[::1]'];

describe('a connection in clear text', () => {
  for (const host of REMOTE) {
    it(`leaves this machine with http://${host}, and not with https`, () => {
      assert.equal(isUnencrypted(`http://${host}:5000/path`), true);
      assert.equal(isUnencrypted(`HTTP://${host}`), true);
      assert.equal(isUnencrypted(`https://${host}`), false);
    });
  }
  for (const host of LOCAL) {
    it(`does not leave this machine with http://${host}`, () => {
      assert.equal(isUnencrypted(`http://${host}:5000`), false);
    });
  }

  describe('to the database is worth a warning', () => {
    const warned = (url: string): boolean =>
      warnOfUnencrypted({ databaseUrl: url, databaseListenUrl: null, registries: [] }).length > 0;
    const rows: readonly [url: string, isWarned: boolean][] = [
      ['postgresql://u:p@db/cellpass', true],
      ['postgresql://u:p@10.0.0.5:6000/cellpass', true],
      ['postgresql://u:p@[2001:db8::1]/cellpass', true],
      ['postgresql://u:p@localhost,db/cellpass', true],
      ['postgresql://u:p@/cellpass?host=db', true],
      ['postgresql://u:p@db/cellpass?sslmode=disable', true],
      ['postgresql://u:p@db/cellpass?ssl=0', true],
      ['postgresql://u:p@db/cellpass?ssl=false', true],
      ['postgresql://u:p@db/cellpass?application_name=sslmode', true],
      ['postgresql://u:p@db/cellpass?sslmode=verify-full&sslmode=disable', true],
      ['postgresql://u:p@db/cellpass?sslrootcert=ca.pem&sslmode=disable', true],
      ['postgresql://u:p@db/cellpass?sslmode=verify-full', false],
      ['postgresql://u:p@db/cellpass?sslmode=require', false],
      ['postgresql://u:p@db/cellpass?ssl=true', false],
      ['postgresql://u:p@db/cellpass?sslrootcert=ca.pem', false],
      ['postgresql://u:p@db/cellpass?sslnegotiation=direct', false],
      ['postgresql://u:p@a,b/cellpass?sslmode=verify-full&target_session_attrs=read-write', false],
      ['postgresql://u:p@localhost/cellpass', false],
      ['postgresql://u:p@127.0.0.2:6000,[::1]/cellpass', false],
      ['postgresql://u:p@%2Frun%2Fpostgresql/cellpass', false],
      ['postgresql:///cellpass', false],
    ];
    for (const [url, isWarned] of rows) {
      it(`${isWarned ? '' : 'not '}with ${url}`, () => assert.equal(warned(url), isWarned));
    }

    it('for each of its URLs, without the password', () => {
      const warnings = warnOfUnencrypted(
        loadConfig({
          CELLPASS_DATABASE_URL: 'postgresql://u:hidden@pooler/x',
          CELLPASS_DATABASE_LISTEN_URL: 'postgresql://u:hidden@primary/x',
        }),
      );
      assert.match(warnings[0] ?? '', /^CELLPASS_DATABASE_URL: .*pooler.*sslmode=verify-full/);
      assert.match(warnings[1] ?? '', /^CELLPASS_DATABASE_LISTEN_URL: .*primary/);
      assert.doesNotMatch(warnings.join(), /hidden/);
    });

    it('never where the database is embedded', () => {
      assert.deepEqual(warnOfUnencrypted(loadConfig({})), []);
    });
  });

  it('to a registry is worth a warning, unless the registry says insecure: true', () => {
    const registry = {
      name: 'main',
      url: 'http://registry:5000',
      service: 'x',
      insecure: false,
      trusts: null,
    };
    const warned = (changes: Partial<typeof registry>) =>
      warnOfUnencrypted({
        databaseUrl: null,
        databaseListenUrl: null,
        registries: [{ ...registry, ...changes }],
      });
    assert.match(warned({}).join(), /^registries: main .*http:\/\/registry:5000.*insecure: true/);
    for (const changes of [
      { insecure: true },
      { url: 'https://registry:5000' },
      { url: 'http://127.0.0.1:5000' },
    ]) {
      assert.deepEqual(warned(changes), [], JSON.stringify(changes));
    }
  });
});
