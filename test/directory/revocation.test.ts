import assert from 'node:assert/strict';
import { describeOnBoth } from '../support/directory/document.ts';

const SECRET = 'glpat-example-alice-phone-0001';
const NEW_SECRET = 'glpat-example-alice-phone-0002';
const users = [{ username: 'alice' }, { username: 'bob' }];
const phone = { name: 'phone', kind: 'personal', user: 'alice', scopes: ['api'], token: SECRET };
const groups = [{ path: 'acme' }];
const projects = [{ path: 'acme/api' }];

describeOnBoth('a revocation', (directory) => {
  /** Names of tokens that work with this secret. */
  const working = async (secret = SECRET): Promise<string> => {
    const digest = `sha256('${secret}')`;
    const [row] = await directory.query(`SELECT concat_ws(' ',
      (SELECT name FROM access_tokens WHERE NOT revoked AND token_digest = ${digest}),
      (SELECT username FROM deploy_tokens WHERE NOT revoked AND token_digest = ${digest}),
      (SELECT 'job' FROM job_tokens WHERE running AND token_digest = ${digest})) AS names`);
    return String(row?.['names']);
  };

  const ways: [undoing: string, documents: [document: object, options?: { prune: boolean }][]][] = [
    ['revoked: false', [[{ access_tokens: [{ ...phone, revoked: false }] }]]],
    [
      'another name for the same secret',
      [[{ access_tokens: [{ ...phone, name: 'tablet' }] }, { prune: true }]],
    ],
    ['another owner of the same secret', [[{ access_tokens: [{ ...phone, user: 'bob' }] }, { prune: true }]]],
    [
      'removing it and adding it again',
      [[{ access_tokens: [] }, { prune: true }], [{ access_tokens: [phone] }]],
    ],
    [
      'removing its owner and adding both again',
      [[{ users: [{ username: 'bob' }] }, { prune: true }], [{ users, access_tokens: [phone] }]],
    ],
    [
      'another secret and the first one again',
      [[{ access_tokens: [{ ...phone, token: NEW_SECRET }] }], [{ access_tokens: [phone] }]],
    ],
    [
      'a deploy token with the same secret',
      [
        [
          {
            access_tokens: [],
            deploy_tokens: [{ username: 'puller', group: 'acme', scopes: ['read_registry'], token: SECRET }],
          },
          { prune: true },
        ],
      ],
    ],
    [
      'a job token with the same secret',
      [[{ access_tokens: [], job_tokens: [{ project: 'acme/api', token: SECRET }] }, { prune: true }]],
    ],
  ];
  const revocations: [how: string, revoke: () => Promise<unknown>][] = [
    ['by a document', () => directory.apply({ access_tokens: [{ ...phone, revoked: true }] })],
    ['by the command line', () => directory.query('UPDATE access_tokens SET revoked = true')],
  ];
  for (const [how, revoke] of revocations) {
    for (const [undoing, documents] of ways) {
      it(`${how} is not undone by ${undoing}`, async () => {
        await directory.apply({ users, groups, projects, access_tokens: [phone] });
        assert.equal(await working(), 'phone');
        await revoke();
        for (const [document, options] of documents) {
          await directory.apply(document, options);
          assert.equal(await working(), '');
        }
      });
    }
  }

  it('of a deploy token is not undone either', async () => {
    const puller = { username: 'puller', group: 'acme', scopes: ['read_registry'], token: SECRET };
    await directory.apply({ groups, deploy_tokens: [{ ...puller, revoked: true }] });
    await directory.apply({ deploy_tokens: [] }, { prune: true });
    await directory.apply({ deploy_tokens: [{ ...puller, username: 'other' }] });
    assert.equal(await working(), '');
  });

  it('that a document does not know of changes nothing when it is applied', async () => {
    await directory.apply({ users, access_tokens: [phone] });
    await directory.query('UPDATE access_tokens SET revoked = true');
    assert.equal((await directory.apply({ users, access_tokens: [phone] })).changed, false);
  });

  it('does not touch a new secret under the old name', async () => {
    await directory.apply({ users, access_tokens: [{ ...phone, revoked: true }] });
    await directory.apply({ access_tokens: [{ ...phone, token: NEW_SECRET }] });
    assert.deepEqual([await working(SECRET), await working(NEW_SECRET)], ['', 'phone']);
  });

  it('is not what pruning does', async () => {
    await directory.apply({ users, access_tokens: [phone] });
    await directory.apply({ access_tokens: [] }, { prune: true });
    await directory.apply({ access_tokens: [phone] });
    assert.equal(await working(), 'phone');
  });
});
