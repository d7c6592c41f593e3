import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { checkDirectory } from '../../src/directory/check.ts';
import { describeOnBoth } from '../support/directory/document.ts';

const example = () => readFileSync('examples/acme.yaml', 'utf8');

describeOnBoth('an exported directory', (directory) => {
  it('changes nothing when it is applied', async () => {
    await directory.apply(example());
    const text = await directory.export();
    assert.deepEqual(checkDirectory(text).problems, []);
    const { changed, sections } = await directory.apply(text, { prune: true });
    assert.equal(changed, false);
    assert.equal(sections['projects']?.unchanged, 13);
    assert.equal(await directory.export(), text);
  });

  it('changes nothing when it is empty', async () => {
    assert.equal((await directory.apply(await directory.export(), { prune: true })).changed, false);
  });

  it('changes nothing when it holds what the admin API and the command line made', async () => {
    await directory.apply(example());
    await directory.query(
      "UPDATE job_tokens SET user_id = (SELECT id FROM users WHERE kind = 'project_bot'), running = false WHERE id = 1",
    );
    await directory.query('UPDATE access_tokens SET minted = true');
    await directory.query("UPDATE access_tokens SET name = 'laptop' WHERE name = 'lost phone'");
    await directory.query('DELETE FROM project_deploy_tokens');
    assert.equal((await directory.apply(await directory.export(), { prune: true })).changed, false);
  });

  it('holds every field that was declared, and no secret', async () => {
    await directory.apply(example());
    const text = await directory.export();
    for (const secret of ['token:', 'token_sha256', 'password:', 'password_hash', 'hash 1', '_bot_']) {
      assert.ok(!text.includes(secret), secret);
    }
    const declared = example()
      .replaceAll(/#.*/g, '')
      .match(/\b[a-z_]+(?=: )/g);
    const left = [...new Set(declared)].filter((field) => !text.includes(`${field}:`));
    assert.deepEqual(left, ['password', 'token', 'running']); // a job runs by default
  });

  it('gives the directory back after changes', async () => {
    await directory.apply(example());
    const text = await directory.export();
    await directory.apply({
      settings: { maintenance_mode: true },
      projects: [{ path: 'acme/web' }],
      users: [{ username: 'alice', id: 11, state: 'blocked' }],
    });
    assert.notEqual(await directory.export(), text);
    await directory.apply(text);
    assert.equal(await directory.export(), text);
  });

  it('reads alike as YAML 1.2 and as YAML 1.1, whatever the names look like', async () => {
    const usernames = ['y', 'n', 'yes', 'No', 'on', 'OFF', 'null', '010', '0b11', '1_000', '1e3', '0x1F'];
    const days = ['2026-01-31', '2001-1-1', '1.5_0', '685_230.15'];
    const names = [
      '=',
      '<<',
      '~',
      '12:30',
      '190:20:30',
      '190:20:30.15',
      '+1',
      '-0',
      '.5',
      '.inf',
      'true',
      '!x',
    ];
    await directory.apply({
      organizations: [{ path: 'default', id: 1 }],
      users: [...usernames, ...days].map((username) => ({ username })),
      access_tokens: names.map((name, at) => ({
        name,
        kind: 'personal',
        user: 'yes',
        scopes: ['api'],
        token: `a random text of enough characters ${at}`,
      })),
    });
    const text = await directory.export();
    const [read, readAs11] = [parse(text), parse(text, { version: '1.1' })];
    assert.deepEqual(readAs11, read);
    const found = (list: readonly Record<string, unknown>[], field: string) =>
      new Set(list.map((one) => one[field]));
    for (const name of [...usernames, ...days]) assert.ok(found(read.users, 'username').has(name), name);
    for (const name of names) assert.ok(found(readAs11.access_tokens, 'name').has(name), name);
    assert.match(text, /name: "="/);
    assert.equal((await directory.apply(text, { prune: true })).changed, false);
  });
});
