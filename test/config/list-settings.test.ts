import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listSettings } from '../../src/config/list-settings.ts';
import { settings } from '../../src/config/settings.ts';

/** In every value that must not be seen. */
const SECRET = 'hunter2secret';

function listed(environment: Record<string, string>) {
  return new Map(listSettings(environment).map((setting) => [setting.name, setting]));
}

describe('the list of settings', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cellpass-settings-'));
  });
  after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('has every setting, each once', () => {
    const names = listSettings({}).map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const name of Object.keys(settings.shape))
      assert.ok(
        names.some((one) => one === name || one.startsWith(`${name}.`)),
        name,
      );
    for (const name of ['limits.token_days', 'gitlab.rails_url', 'federation.issuers', 'admin_token'])
      assert.ok(names.includes(name), name);
  });

  it('says where each value comes from; the environment wins', () => {
    const config = file(
      'cellpass.yaml',
      'issuer: a\nworkers: 1\nlimits:\n  scopes: 5\ngitlab: {mode: serve}\n',
    );
    const found = listed({
      CELLPASS_CONFIG: config,
      CELLPASS_ISSUER: 'b',
      CELLPASS_LISTEN: '[::1]:9000',
      CELLPASS_GITLAB_EDITION: 'ee',
    });
    const rows: [name: string, value: unknown, source: string, place: string | null][] = [
      ['issuer', 'b', 'environment', 'CELLPASS_ISSUER'],
      ['listen', '[::1]:9000', 'environment', 'CELLPASS_LISTEN'],
      ['gitlab.edition', 'ee', 'environment', 'CELLPASS_GITLAB_EDITION'],
      ['gitlab.mode', 'serve', 'file', 'line 5'],
      ['limits.scopes', 5, 'file', 'line 4'],
      ['limits.username_bytes', 255, 'default', null],
      ['limits.failed_attempts_per_address', 30, 'default', null],
      ['database_url', null, 'default', null],
      ['config', config, 'environment', 'CELLPASS_CONFIG'],
    ];
    for (const [name, value, source, place] of rows)
      assert.deepEqual(found.get(name), { name, value, source, place });
  });

  it('fills in defaults that come from other settings', () => {
    const config = file(
      'derived.yaml',
      'token_ttl_seconds: 600\npublic_url: https://auth.example.com\nfederation: {issuers: {github: {preset: github}}}\ngitlab: {rails_url: "https://gitlab.example.com"}\n',
    );
    const found = listed({ CELLPASS_CONFIG: config });
    const value = (name: string): unknown => found.get(name)?.value;
    assert.match(JSON.stringify(value('services')), /"token_ttl_seconds":600,"push_ttl_seconds":600/);
    assert.equal(value('federation.audience'), 'https://auth.example.com');
    assert.deepEqual(value('gitlab.pass_services'), ['dependency_proxy']);
  });

  const databases = ['DATABASE_URL', 'DATABASE_LISTEN_URL'] as const;
  const urls: [url: string, shown: string][] = [
    [`postgresql://cellpass:${SECRET}@db/cellpass`, 'postgresql://cellpass:***@db/cellpass'],
    [`postgresql://cellpass:${SECRET}:x@db1,db2:5433/c`, 'postgresql://cellpass:***@db1,db2:5433/c'],
    [`postgresql://u:${encodeURIComponent(`@/${SECRET}`)}@[::1]:5432/c`, 'postgresql://u:***@[::1]:5432/c'],
    [`postgresql://u:12/${SECRET}@db/c`, 'postgresql://u:***@db/c'],
    [`postgresql://u:12?${SECRET}@db/c`, 'postgresql://u:***@db/c'],
    [
      `postgresql:///c?host=/run/pg&password=${SECRET}&sslmode=require`,
      'postgresql:///c?host=/run/pg&password=***&sslmode=require',
    ],
    [`postgresql://u@db/c?options=-c%20a.b%3D${SECRET}`, 'postgresql://u@db/c?options=***'],
    [`postgresql://u@db/c?${SECRET}`, 'postgresql://u@db/c?***'],
  ];
  for (const [url, shown] of urls) {
    it(`shows ${shown}`, () => {
      const found = listed(Object.fromEntries(databases.map((name) => [`CELLPASS_${name}`, url])));
      assert.deepEqual(
        databases.map((name) => found.get(name.toLowerCase())?.value),
        [shown, shown],
      );
      assert.doesNotMatch(JSON.stringify([...found]), new RegExp(SECRET));
    });
  }

  it('masks what a file holds, and says where the name of the file is set', () => {
    const secret = file('database-url', `postgresql://u:${SECRET}@db/c\n`);
    const found = listed({ CELLPASS_DATABASE_URL_FILE: secret });
    assert.deepEqual(found.get('database_url'), {
      name: 'database_url',
      value: 'postgresql://u:***@db/c',
      source: 'environment',
      place: 'CELLPASS_DATABASE_URL_FILE',
    });
    assert.equal(found.get('database_url_file')?.value, secret);
  });

  it('masks secrets wherever they stand, also where none belongs', () => {
    const secrets = file('secrets.yml', `production: {db_key_base: ${SECRET}}\n`);
    const config = file(
      'everywhere.yaml',
      `
database_url: postgresql://cellpass@db/cellpass
issuer: https://user:${SECRET}@issuer.example.com/?key=${SECRET}#${SECRET}
tls_cert: "-----BEGIN CERTIFICATE-----\\n${SECRET}"
tls_key: "-----BEGIN PRIVATE KEY-----\\n${SECRET}"
services: {"https://${SECRET}@service.example.com": {}}
registries: [{name: "glpat-${SECRET}12345678", url: "https://registry.example.com", service: "https://${SECRET}@service.example.com"}]
gitlab:
  database_url: postgresql://u:${SECRET}@gitlab/main
  ci_database_url: postgresql://u:${SECRET}@gitlab/ci
  write_database_url: postgresql://u:${SECRET}@gitlab/main
  secrets_file: ${secrets}
federation:
  audience: a
  issuers:
    own:
      issuer: https://u:${SECRET}@id.example.com
      jwks_uri: https://id.example.com/keys?token=${SECRET}
      must_pin: [sub]
  identities:
    - {name: n, issuer: own, account: bot, scopes: [api], claims: {sub: "https://u:${SECRET}@id.example.com"}}
`,
    );
    const found = listSettings({
      CELLPASS_CONFIG: config,
      CELLPASS_ADMIN_TOKEN: SECRET,
      CELLPASS_ADMIN_TOKEN_FILE: '/run/admin-token',
      CELLPASS_ADMIN_URL: `https://u:${SECRET}@admin.example.com`,
    });
    assert.doesNotMatch(JSON.stringify(found), new RegExp(SECRET));
    const value = (name: string): unknown => found.find((setting) => setting.name === name)?.value;
    assert.equal(value('admin_token'), '***');
    assert.equal(value('admin_token_file'), '/run/admin-token');
    assert.equal(value('gitlab.secrets_file'), secrets);
    assert.equal(value('gitlab.ci_database_url'), 'postgresql://u:***@gitlab/ci');
    assert.equal(value('issuer'), 'https://***:***@issuer.example.com/?key=***#***');
  });

  it('refuses wrong settings, and repeats no URL that stands in the place of a file', () => {
    assert.throws(() => listSettings({ CELLPASS_LISTEN: '8080' }), /CELLPASS_LISTEN: must be host:port/);
    assert.throws(
      () => listSettings({ CELLPASS_DATABASE_URL_FILE: `postgresql://u:${SECRET}@db/c` }),
      (error: Error) => /must be the path of a file/.test(error.message) && !error.message.includes(SECRET),
    );
  });
});
