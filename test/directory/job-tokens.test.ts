import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { CellpassError } from '../../src/errors.ts';
import { deleteJobToken, type JobToken, putJobToken } from '../../src/store/directory/job-tokens.ts';
import { describeOnBoth } from '../support/directory/document.ts';

const SECRET = 'glcbt-example-api-job-0001';
const OTHER_SECRET = 'glcbt-example-api-job-0002';
const digest = (secret: string) => createHash('sha256').update(secret).digest();

const JOB: JobToken = {
  id: 7,
  project: 'Acme/API',
  user: 'Alice',
  running: true,
  expiresAt: new Date('2099-01-31T00:00:00Z'),
  digest: digest(SECRET),
};

describeOnBoth('the token of a CI job', (directory) => {
  const put = (change: Partial<JobToken> = {}) => putJobToken(directory.database, { ...JOB, ...change });
  const stored = () =>
    directory.query(
      "SELECT j.id, p.path, u.username, j.running, j.expires_at, encode(j.token_digest, 'hex') AS digest FROM job_tokens j JOIN projects p ON p.id = j.project_id LEFT JOIN users u ON u.id = j.user_id ORDER BY j.id",
    );
  beforeEach(async () => {
    await directory.apply({
      users: [{ username: 'alice' }],
      groups: [{ path: 'acme' }],
      projects: [{ path: 'acme/api' }, { path: 'acme/web' }],
      deploy_tokens: [
        { username: 'puller', group: 'acme', scopes: ['api'], token: 'gldt-example-acme-puller-0001' },
      ],
    });
  });

  it('is put, put again and deleted', async () => {
    await put();
    const row = {
      id: 7,
      path: 'acme/api',
      username: 'alice',
      running: true,
      expires_at: JOB.expiresAt,
      digest: digest(SECRET).toString('hex'),
    };
    assert.deepEqual(await stored(), [row]);
    await put({
      project: 'acme/web',
      user: null,
      running: false,
      expiresAt: null,
      digest: digest(OTHER_SECRET),
    });
    assert.deepEqual(await stored(), [
      {
        ...row,
        path: 'acme/web',
        username: null,
        running: false,
        expires_at: null,
        digest: digest(OTHER_SECRET).toString('hex'),
      },
    ]);
    assert.equal(await deleteJobToken(directory.database, 7), true);
    assert.equal(await deleteJobToken(directory.database, 7), false);
    assert.deepEqual(await stored(), []);
  });

  const refused: [what: string, change: Partial<JobToken>, code: string, paths: string[]][] = [
    ['an unknown project and user', { project: 'acme/none', user: 'ghost' }, 'invalid', ['project', 'user']],
    ['the secret of another job', { id: 8 }, 'conflict', []],
    [
      'the secret of a token of another kind',
      { id: 8, digest: digest('gldt-example-acme-puller-0001') },
      'conflict',
      [],
    ],
  ];
  for (const [what, change, code, paths] of refused) {
    it(`is refused with ${what}`, async () => {
      await put();
      await assert.rejects(put(change), (error) => {
        assert.ok(error instanceof CellpassError);
        assert.deepEqual([error.code, error.details.problems?.map(({ path }) => path) ?? []], [code, paths]);
        return true;
      });
      assert.equal((await stored()).length, 1);
    });
  }

  it('never runs with a secret that was revoked', async () => {
    await directory.apply({
      access_tokens: [
        { name: 'n', kind: 'personal', user: 'alice', scopes: ['api'], revoked: true, token: SECRET },
      ],
    });
    await directory.apply({ access_tokens: [] }, { prune: true });
    await put();
    assert.deepEqual(
      (await stored()).map(({ running }) => running),
      [false],
    );
  });

  it('has an id that no document gives to another', async () => {
    for (const id of [1, 2, 4]) await put({ id, digest: digest(`glcbt-example-api-job-1-${id}`) });
    await directory.apply({
      job_tokens: [SECRET, OTHER_SECRET].map((token) => ({ project: 'acme/api', token })),
    });
    assert.deepEqual(
      (await stored()).map(({ id }) => id),
      [1, 2, 3, 4, 5],
    );
  });
});
