import assert from 'node:assert/strict';
import { readDatabaseUrl } from '../../src/config/database-url.ts';
import { loadConfig } from '../../src/config/load.ts';

type Expected = readonly (readonly [name: string, port: number])[];

describe('the URL of the database', () => {
  const hosts: [url: string, hosts: Expected, firstHostUrl?: string][] = [
    ['postgresql://u@db/cellpass', [['db', 5432]]],
    ['postgres://u:p@db:6000/cellpass?sslmode=disable', [['db', 6000]]],
    ['postgresql://u@[::1]:6000/db', [['::1', 6000]]],
    ['postgresql://u@/db', [['', 5432]]],
    ['postgresql:///db', [['', 5432]]],
    ['postgresql://u@%2Frun%2Fpostgresql/db', [['/run/postgresql', 5432]]],
    ['postgresql://u@/db?host=/run/postgresql', [['/run/postgresql', 5432]]],
    [
      'postgresql://u:p%40w@a:1,b:2/db?target_session_attrs=read-write&sslmode=disable',
      [
        ['a', 1],
        ['b', 2],
      ],
      'postgresql://u:p%40w@a:1/db?sslmode=disable',
    ],
    [
      'postgresql://u@a,[fe80::1]:7/db',
      [
        ['a', 5432],
        ['fe80::1', 7],
      ],
      'postgresql://u@a:5432/db',
    ],
    [
      'postgresql://u@/db?host=a,b&port=7',
      [
        ['a', 7],
        ['b', 7],
      ],
      'postgresql://u@a:7/db',
    ],
    [
      'postgresql://u@/db?host=a,b&port=7,8',
      [
        ['a', 7],
        ['b', 8],
      ],
      'postgresql://u@a:7/db',
    ],
  ];
  for (const [url, expected, firstHostUrl = url] of hosts) {
    it(`names its hosts in their order: ${url}`, () => {
      const read = readDatabaseUrl(url);
      assert.ok(!('problem' in read), 'problem' in read ? read.problem : '');
      assert.deepEqual(
        read.hosts.map(({ name, port }) => [name, port]),
        expected,
      );
      assert.equal(read.firstHostUrl, firstHostUrl);
    });
  }

  const targets = ['any', 'primary', 'read-write'];
  for (const target of targets) {
    it(`may say target_session_attrs=${target}`, () => {
      assert.ok('hosts' in readDatabaseUrl(`postgresql://u@a,b/db?target_session_attrs=${target}`));
    });
  }

  const wrong: [url: string, problem: RegExp][] = [
    ['mysql://db', /must be a PostgreSQL URL/],
    ['postgresql://u@a:b:c/db', /must be a PostgreSQL URL/],
    ['postgresql://u@a:0/db', /must be a PostgreSQL URL/],
    ['postgresql://u@a:70000,b/db', /must be a PostgreSQL URL/],
    ['postgresql://u@a,,b/db', /has no name/],
    ['postgresql://u@db/x?target_session_attrs=standby', /target_session_attrs=standby/],
    ['postgresql://u@db/x?target_session_attrs=prefer-standby', /target_session_attrs=prefer-standby/],
    ['postgresql://u@db/x?target_session_attrs=read-only', /target_session_attrs=read-only/],
    ['postgresql://u@db/x?load_balance_hosts=random', /load_balance_hosts/],
    ['postgresql://u@db/x?hostaddr=10.0.0.1', /hostaddr/],
  ];
  for (const [url, problem] of wrong) {
    it(`is refused by name: ${url}`, () => {
      const read = readDatabaseUrl(url);
      assert.ok('problem' in read);
      assert.match(read.problem, problem);
      assert.throws(
        () => loadConfig({ CELLPASS_DATABASE_URL: url }),
        (error: Error) => error.message.includes('CELLPASS_DATABASE_URL') && problem.test(error.message),
      );
    });
  }

  it('never shows its password', () => {
    for (const rest of ['a:b:c/db', 'db/x?target_session_attrs=standby', 'a,,b/db']) {
      const read = readDatabaseUrl(`postgresql://u:hunter2@${rest}`);
      assert.ok('problem' in read);
      assert.doesNotMatch(read.problem, /hunter2/);
    }
    const read = readDatabaseUrl('postgresql://u:hunter2@a:1,b:2/db');
    assert.equal('label' in read && read.label, 'a:1,b:2/db');
  });

  it('for LISTEN needs a database that has one', () => {
    assert.throws(
      () => loadConfig({ CELLPASS_DATABASE_LISTEN_URL: 'postgresql://u@db/x' }),
      /CELLPASS_DATABASE_LISTEN_URL: needs CELLPASS_DATABASE_URL/,
    );
  });
});
