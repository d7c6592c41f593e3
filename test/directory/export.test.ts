import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { checkDirectory } from '../../src/directory/check.ts';
import { describeOnBoth } from '../support/directory/document.ts';

const example = () => readFileSync('examples/acme.yaml', 'utf8');

describeOnBoth('an exported directory', (directory) => {
  it('changes nothing when it is applied', async () => {
    await directory.apply(example());
    const text = await directory.export();
    assert.deepEqual(checkDirectory(text), []);
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
});
