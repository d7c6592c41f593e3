import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { parse } from 'yaml';
import { type Cellpass, startCellpass } from '../support/e2e/cellpass.ts';
import { directoryOf, makePeople } from '../support/e2e/directory.ts';
import { type Canary, createSinks, dumpOf } from './fixtures/canaries.ts';

/** What stands in GitLab's tables and files that nobody may see, by the tables' columns. */
const SECRET_COLUMNS: readonly (readonly [table: string, column: string])[] = [
  ['users', 'encrypted_password'],
  ['personal_access_tokens', 'token_digest'],
  ['deploy_tokens', 'token_encrypted'],
  ['p_ci_builds', 'token_encrypted'],
  ['application_settings', "encode(encrypted_ci_job_token_signing_key, 'hex')"],
];

describe("security check 34 on a GitLab's database: none of its secrets leaks", function () {
  this.timeout(120_000);
  const sinks = createSinks();
  const people = makePeople();
  const canaries: Canary[] = Object.entries(people).map(([name, { password }]) => ({
    name,
    secret: password,
  }));
  let cellpass: Cellpass;
  let owner: pg.Client;

  before(async () => {
    cellpass = await startCellpass({
      services: { container_registry: {} },
      directory: directoryOf(people),
      onGitlab: true,
      settings: { log_level: 'trace' },
    });
    const settings = parse(await readFile(join(cellpass.keysDir, '../cellpass.yaml'), 'utf8')).gitlab;
    const { db_key_base } = JSON.parse(await readFile(settings.secrets_file, 'utf8')).gitlab_rails;
    canaries.push(
      { name: 'db_key_base', secret: db_key_base },
      { name: 'its key', secret: db_key_base.slice(0, 32) },
    );
    const url = new URL(settings.database_url);
    url.username = 'postgres';
    owner = new pg.Client(url.href);
    await owner.connect();
    for (const [table, column] of SECRET_COLUMNS) {
      const { rows } = await owner.query(`SELECT ${column} AS secret FROM ${table} WHERE ${column} <> ''`);
      assert.ok(rows.length > 0, table);
      for (const { secret } of rows) canaries.push({ name: `${table}.${column}`, secret });
    }
  });
  after(async () => {
    await owner.end();
    await cellpass.stop();
  });

  const askAll = async (): Promise<void> => {
    const query = 'service=container_registry&scope=repository:acme/app:pull,push,delete';
    for (const { username, password } of Object.values(people)) {
      for (const login of [`${username}:${password}`, `somebody:${password}`, `${password}:${username}`]) {
        const authorization = `Basic ${Buffer.from(login).toString('base64')}`;
        const response = await fetch(`${cellpass.url}/jwt/auth?${query}`, { headers: { authorization } });
        const text = await response.text();
        sinks.add(
          `an answer ${response.status}`,
          [...response.headers].join('\n') + (response.ok ? '' : text),
        );
        if (response.ok) {
          const [, claims = ''] = JSON.parse(text).token.split('.');
          sinks.add('the claims of a token', Buffer.from(claims, 'base64url').toString());
        }
      }
    }
  };
  const command = async (...args: string[]): Promise<void> => {
    sinks.add(args.join(' '), await cellpass.command(...args).catch((error: unknown) => String(error)));
  };

  it('clients ask with every credential, also while GitLab is being upgraded', async () => {
    await askAll();
    for (const [table, column] of [
      ['users', 'encrypted_password'],
      ['users', 'state'],
      ['personal_access_tokens', 'token_digest'],
      ['deploy_tokens', 'token_encrypted'],
    ]) {
      await owner.query(`ALTER TABLE ${table} RENAME COLUMN ${column} TO gone`);
      await askAll();
      await command('gitlab', 'check', '--json');
      await owner.query(`ALTER TABLE ${table} RENAME COLUMN gone TO ${column}`);
    }
    await askAll();
  });

  it('admins ask for all that they may see', async () => {
    await command('gitlab', 'check', '--json');
    await command('gitlab', 'grants');
    await command('doctor', '--json');
    await command('token', 'list', '--json');
    await command('audit', '--json');
    for (const as of ['user:developer', 'token:1', 'job:1', 'deploy-token:deployer'])
      await command('explain', '--as', as, '--scope', 'repository:acme/app:pull,push', '--json');
    const ids = cellpass.child.output().match(/(?<="request_id":")[0-9a-f-]{36}/g) ?? [];
    assert.ok(ids.length > 50);
    for (const id of ids.slice(-20)) await command('explain', '--request', id, '--json');
    for (const [table, text] of await dumpOf(cellpass.databaseUrl)) sinks.add(`the table ${table}`, text);
    sinks.add('the log and what was printed', cellpass.child.output());
  });

  it('no secret is in any of it', () => {
    assert.ok(canaries.length > 12);
    assert.deepEqual(sinks.findings(canaries), []);
  });
});
