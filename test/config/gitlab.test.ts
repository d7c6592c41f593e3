import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readDbKeyBase } from '../../src/config/gitlab-secrets.ts';
import { type Config, loadConfig, readGitlabUrl } from '../../src/config/load.ts';

const URL = 'postgresql://cellpass_ro@gitlab-db/gitlabhq_production';

describe('the section gitlab of the settings', () => {
  let dir: string;
  let secrets: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellpass-gitlab-config-'));
    secrets = file('gitlab-secrets.json', '{"gitlab_rails": {"db_key_base": "key-one"}}');
  });
  after(() => rmSync(dir, { recursive: true }));

  function file(name: string, text: string): string {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  }
  const load = (environment: Readonly<Record<string, string>>, yaml?: string): Config =>
    loadConfig({
      ...environment,
      ...(yaml !== undefined && { CELLPASS_CONFIG: file('cellpass.yaml', yaml) }),
    });
  const minimal = () => ({ CELLPASS_GITLAB_DATABASE_URL: URL, CELLPASS_GITLAB_SECRETS_FILE: secrets });

  it('is absent by default', () => {
    assert.equal(load({}).gitlab, null);
  });

  it('comes from variables', () => {
    assert.deepEqual(load(minimal()).gitlab, {
      databaseUrl: URL,
      ciDatabaseUrl: null,
      writeDatabaseUrl: null,
      secretsFile: secrets,
      edition: 'ce',
    });
  });

  it('comes from the file, and a variable wins over one setting of it', () => {
    const yaml = `gitlab: {database_url: ${URL}, secrets_file: ${secrets}, edition: ee}`;
    assert.equal(load({}, yaml).gitlab?.edition, 'ee');
    const { gitlab } = load({ CELLPASS_GITLAB_EDITION: 'ce' }, yaml);
    assert.deepEqual([gitlab?.edition, gitlab?.databaseUrl], ['ce', URL]);
  });

  it('takes URLs from files', () => {
    const { gitlab } = load({
      CELLPASS_GITLAB_DATABASE_URL_FILE: file('main', `${URL}\n`),
      CELLPASS_GITLAB_WRITE_DATABASE_URL_FILE: file('write', `${URL}?x=1`),
      CELLPASS_GITLAB_SECRETS_FILE: secrets,
    });
    assert.deepEqual([gitlab?.databaseUrl, gitlab?.writeDatabaseUrl], [URL, `${URL}?x=1`]);
  });

  it("gives tokens GitLab's life only where the service sets none", () => {
    const { services } = load(
      minimal(),
      'services: {open: {}, own: {token_ttl_seconds: 120}, push: {push_ttl_seconds: 90}}',
    );
    assert.deepEqual(
      services.map(({ ttlOfDirectory }) => ttlOfDirectory),
      [
        { token: true, push: true },
        { token: false, push: false },
        { token: true, push: false },
      ],
    );
    assert.equal(load({}).services[0]?.ttlOfDirectory, undefined);
  });

  const WRONG: readonly (readonly [
    what: string,
    more: () => Readonly<Record<string, string>>,
    message: RegExp,
  ])[] = [
    [
      'no secrets file',
      () => ({ CELLPASS_GITLAB_SECRETS_FILE: '' }),
      /CELLPASS_GITLAB\.secrets_file: is missing/,
    ],
    [
      'a secrets file that is not there',
      () => ({ CELLPASS_GITLAB_SECRETS_FILE: '/nowhere' }),
      /CELLPASS_GITLAB_SECRETS_FILE: can't be read/,
    ],
    [
      'a URL of another kind',
      () => ({ CELLPASS_GITLAB_CI_DATABASE_URL: 'mysql://db/x' }),
      /CELLPASS_GITLAB_CI_DATABASE_URL: must be a PostgreSQL URL/,
    ],
    [
      'another edition',
      () => ({ CELLPASS_GITLAB_EDITION: 'premium' }),
      /CELLPASS_GITLAB_EDITION: must be one of: ce, ee/,
    ],
    [
      "cellpass's own database",
      () => ({ CELLPASS_DATABASE_URL: URL }),
      /CELLPASS_GITLAB_DATABASE_URL: is the database of CELLPASS_DATABASE_URL/,
    ],
    ['no database', () => ({ CELLPASS_GITLAB_DATABASE_URL: '' }), /secrets_file|SECRETS_FILE/],
  ];
  for (const [what, more, message] of WRONG) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => load({ ...minimal(), ...more() }), message);
    });
  }

  it('gives the URL for a DBA who has no other setting', () => {
    assert.equal(readGitlabUrl({ CELLPASS_GITLAB_DATABASE_URL: URL }, 'database_url'), URL);
    assert.equal(readGitlabUrl({}, 'ci_database_url'), null);
  });
});

describe("GitLab's file of secrets", () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellpass-gitlab-secrets-'));
  });
  after(() => rmSync(dir, { recursive: true }));
  const read = (text: string): readonly string[] => {
    const path = join(dir, 'secrets');
    writeFileSync(path, text);
    return readDbKeyBase(path);
  };

  const RIGHT: readonly (readonly [text: string, keys: readonly string[]])[] = [
    ['{"gitlab_rails": {"db_key_base": "one", "secret_key_base": "x"}}', ['one']],
    ['production:\n  db_key_base: one\n', ['one']],
    ['production:\n  db_key_base:\n    - old\n    - new\n', ['old', 'new']],
    ['db_key_base: one\n', ['one']],
  ];
  for (const [text, keys] of RIGHT) {
    it(`${text.slice(0, 30)}… has ${keys.join(' and ')}`, () => {
      assert.deepEqual(read(text), keys);
    });
  }

  for (const text of [
    '',
    '{}',
    '[]',
    'production: {}',
    'db_key_base: []',
    'db_key_base: ""',
    'db_key_base: [hidden-secret, 1]',
    '{"a": "hidden-secret',
  ]) {
    it(`${text || 'nothing'} is refused, without its content`, () => {
      assert.throws(
        () => read(text),
        (error: Error) =>
          !error.message.includes('hidden-secret') && /db_key_base|neither JSON/.test(error.message),
      );
    });
  }
});
