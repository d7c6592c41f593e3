import assert from 'node:assert/strict';
import { checkDirectory } from '../../src/directory/check.ts';
import type { DirectoryDocument } from '../../src/directory/document/document.ts';
import { checkIdentities } from '../../src/directory/document/identity-rules.ts';
import { listIdentities } from '../../src/store/federation/identities.ts';
import {
  restoreIdentity,
  revokeConfiguredIdentity,
  revokeIdentity,
} from '../../src/store/federation/revocations.ts';
import { describeOnBoth, messages } from '../support/directory/document.ts';

const REVOKED_AT = new Date('2026-11-24T11:00:00Z');

const BASE = {
  organizations: [
    { path: 'default', id: 1 },
    { path: 'labs', id: 2 },
  ],
  users: [
    { username: 'alice', id: 1 },
    { username: 'release-bot', id: 2, kind: 'service_account' },
  ],
  groups: [
    { path: 'acme', id: 11 },
    { path: 'labs', id: 12, organization: 'labs' },
  ],
  projects: [{ path: 'acme/api', id: 101 }],
};
const OF_ACCOUNT = {
  name: 'api-release',
  issuer: 'github',
  account: 'release-bot',
  scopes: ['read_registry', 'write_registry'],
  expires_at: '2027-06-30',
  claims: { repository_id: '456789', ref: { prefix: 'refs/tags/v' }, environment: ['release', 'beta'] },
};
const OF_PROJECT = {
  name: 'web-pull',
  issuer: 'gitlab',
  project: 'acme/api',
  role: 'reporter',
  scopes: ['read_registry'],
  claims: { project_id: '42' },
};
const OF_GROUP = {
  name: 'pods',
  issuer: 'prod',
  group: 'acme',
  role: 'guest',
  scopes: ['read_registry'],
  claims: { sub: ['system:serviceaccount:api:default', 'system:serviceaccount:*'] },
};
const ALL = { ...BASE, federated_identities: [OF_ACCOUNT, OF_PROJECT, OF_GROUP] };
const BOTS = "SELECT username, kind, organization_id FROM users WHERE kind LIKE '%bot' ORDER BY id";

const EXCHANGED = `
  INSERT INTO access_tokens (kind, name, user_id, scopes, minted, token_digest, ends_at, identity_id, identity_name, identity_issuer)
  SELECT 'personal', 'exchanged', user_id, scopes, true, decode(md5(name), 'hex'), now(), id, name, issuer FROM federated_identities`;

describeOnBoth('federated identities', (directory) => {
  it('stand for a service account, or for a bot that is made for them', async () => {
    const { sections } = await directory.apply(ALL);
    assert.deepEqual(sections['federated_identities'], { added: 3, changed: 0, unchanged: 0, removed: 0 });
    const rows = await directory.query(
      `SELECT identity.name, identity.kind, users.kind AS user, members.role, identity.claims, identity.expires_at
       FROM federated_identities AS identity JOIN users ON users.id = user_id
       LEFT JOIN members ON members.user_id = users.id ORDER BY identity.id`,
    );
    assert.deepEqual(
      rows.map(({ name, kind, user, role }) => [name, kind, user, role]),
      [
        ['api-release', 'account', 'service_account', null],
        ['web-pull', 'project', 'project_bot', 'reporter'],
        ['pods', 'group', 'group_bot', 'guest'],
      ],
    );
    assert.deepEqual(rows[0]?.['claims'], OF_ACCOUNT.claims);
    assert.equal(rows[0]?.['expires_at'], '2027-06-30');
  });

  it('change nothing when they are applied again, or exported and applied', async () => {
    await directory.apply(ALL);
    assert.equal((await directory.apply(ALL, { prune: true })).changed, false);
    const text = await directory.export();
    assert.equal((await directory.apply(text, { prune: true })).changed, false);
    assert.equal(await directory.export(), text);
    for (const part of [
      'api-release',
      'role: reporter',
      'prefix: refs/tags/v',
      'group: acme',
      'issuer: prod',
    ])
      assert.ok(text.includes(part), part);
    assert.ok(!text.includes('_bot_'));
  });

  const changes: [what: string, identity: object][] = [
    ['its scopes', { ...OF_ACCOUNT, scopes: ['read_registry'] }],
    ['a claim', { ...OF_ACCOUNT, claims: { ...OF_ACCOUNT.claims, ref: 'refs/heads/main' } }],
    ['a claim less', { ...OF_ACCOUNT, claims: { repository_id: '456789' } }],
    ['its end', { ...OF_ACCOUNT, expires_at: '2027-07-30' }],
    ['its issuer', { ...OF_ACCOUNT, issuer: 'gitlab' }],
    ['the role of its bot', { ...OF_PROJECT, role: 'developer' }],
    ['its owner', { ...OF_PROJECT, project: undefined, group: 'acme' }],
    [
      'a service account in the place of its bot',
      { ...OF_PROJECT, project: undefined, role: undefined, account: 'release-bot' },
    ],
  ];
  for (const [what, identity] of changes) {
    it(`count as changed by ${what}`, async () => {
      await directory.apply(ALL);
      const { sections } = await directory.apply({ federated_identities: [identity] });
      assert.deepEqual(sections['federated_identities'], { added: 0, changed: 1, unchanged: 0, removed: 0 });
      const again = await directory.apply({ federated_identities: [identity] });
      assert.equal(again.changed, false);
    });
  }

  it('keep their bot while they keep its owner, and no longer', async () => {
    await directory.apply(ALL);
    const [before] = await directory.query(BOTS);
    await directory.apply({
      federated_identities: [{ ...OF_PROJECT, role: 'owner', claims: { project_id: '7' } }],
    });
    assert.deepEqual((await directory.query(BOTS))[0], before);
    await directory.apply({ federated_identities: [{ ...OF_PROJECT, project: undefined, group: 'acme' }] });
    const after = await directory.query(BOTS);
    assert.ok(!after.some(({ username }) => username === before?.['username']));
    assert.equal(after.length, 2);
  });

  it('are found by their id, which lets their name change', async () => {
    await directory.apply(ALL);
    const [row] = await directory.query("SELECT id FROM federated_identities WHERE name = 'web-pull'");
    const { sections } = await directory.apply({
      federated_identities: [{ ...OF_PROJECT, name: 'web-read', id: row?.['id'] }],
    });
    assert.equal(sections['federated_identities']?.changed, 1);
    assert.equal((await directory.query(BOTS)).length, 2);
  });

  it('go with their bots when they are pruned, and not without pruning', async () => {
    await directory.apply(ALL);
    await directory.apply({ federated_identities: [OF_ACCOUNT] });
    assert.equal((await directory.query(BOTS)).length, 2);
    const { sections } = await directory.apply(
      { ...BASE, federated_identities: [OF_ACCOUNT] },
      { prune: true },
    );
    assert.equal(sections['federated_identities']?.removed, 2);
    assert.deepEqual(await directory.query(BOTS), []);
  });

  it('go with the project, the group or the account that they stand for', async () => {
    await directory.apply(ALL);
    const {
      users: [alice],
      groups: [, labs],
    } = BASE;
    await directory.apply({ users: [alice], groups: [labs], projects: [] }, { prune: true });
    assert.deepEqual(await directory.query('SELECT name FROM federated_identities'), []);
    assert.deepEqual(await directory.query(BOTS), []);
  });

  it('take the access tokens with them that their ID tokens were exchanged for', async () => {
    await directory.apply(ALL);
    await directory.query(EXCHANGED);
    assert.ok(!(await directory.export()).includes('exchanged'));
    assert.equal((await directory.apply(ALL, { prune: true })).changed, false);
    assert.equal((await directory.query('SELECT FROM access_tokens')).length, 3);
    await directory.apply({ ...BASE, federated_identities: [OF_ACCOUNT] }, { prune: true });
    assert.deepEqual(await directory.query('SELECT identity_name FROM access_tokens'), [
      { identity_name: 'api-release' },
    ]);
  });

  it('follow their project into another organization, with their bots', async () => {
    await directory.apply(ALL);
    await directory.apply({ projects: [{ path: 'labs/api', id: 101 }] });
    const [moved] = await directory.query(BOTS);
    assert.equal(moved?.['organization_id'], 2);
    assert.ok((await directory.export()).includes('project: labs/api'));
  });

  const refused: [what: string, identity: object, at: string, message: RegExp][] = [
    ['a person', { account: 'alice' }, '.account', /is a person: name a user with kind: service_account/],
    ['nobody', { account: 'ghost' }, '.account', /there is no user "ghost"/],
    [
      'no account',
      { account: undefined },
      '',
      /must have one of: account, project with role, group with role/,
    ],
    ['two owners', { project: 'acme/api' }, '', /must have one of/],
    ['a role beside an account', { role: 'owner' }, '.role', /must not be given together with account/],
    ['a project without role', { account: undefined, project: 'acme/api' }, '', /must have a role/],
    [
      'a project that is none',
      { account: undefined, project: 'acme/x', role: 'guest' },
      '.project',
      /there is no project/,
    ],
    [
      'a group that is none',
      { account: undefined, group: 'x', role: 'guest' },
      '.group',
      /there is no group/,
    ],
    ['no claims', { claims: {} }, '.claims', /must name at least one claim/],
    ['claims in a list', { claims: ['sub'] }, '.claims', /must be a mapping/],
    ['an empty value', { claims: { sub: '' } }, '.claims.sub', /must not be empty/],
    ['an empty list', { claims: { sub: [] } }, '.claims.sub', /must not be an empty list/],
    ['an empty value in a list', { claims: { sub: ['a', ''] } }, '.claims.sub[1]', /must not be empty/],
    [
      'an empty prefix',
      { claims: { sub: 'a', ref: { prefix: '' } } },
      '.claims.ref.prefix',
      /must not be empty/,
    ],
    [
      'a prefix of another claim',
      { claims: { sub: { prefix: 'repo:acme/' } } },
      '.claims.sub',
      /a prefix is for the claim ref alone/,
    ],
    [
      'a number',
      { claims: { repository_id: 456789 } },
      '.claims.repository_id',
      /must be text: put it in quotes/,
    ],
    [
      'a truth value',
      { claims: { ref_protected: true } },
      '.claims.ref_protected',
      /must be text: put it in quotes/,
    ],
    ['another kind of match', { claims: { sub: { regex: '.*' } } }, '.claims.sub', /must be a text, a list/],
    [
      'a claim __proto__',
      { claims: JSON.parse('{"__proto__": "x", "sub": "a"}') },
      '.claims',
      /must not pin __proto__/,
    ],
    ['half a character', { claims: { sub: 'a\ud800' } }, '.claims.sub', /control characters/],
    ['a claim without a name', { claims: { '': 'a' } }, '.claims.', /must not be empty/],
    ['no scopes', { scopes: [] }, '.scopes', /must name at least one scope/],
    ['a name in upper case', { name: 'Release' }, '.name', /lower case/],
  ];
  for (const [what, change, at, message] of refused) {
    it(`are refused with ${what}`, async () => {
      const problems = await directory.refusal({
        ...BASE,
        federated_identities: [{ ...OF_ACCOUNT, ...change }],
      });
      const [[path, said] = [], ...others] = Object.entries(messages(problems));
      assert.equal(path, `federated_identities[0]${at}`);
      assert.match(String(said), message);
      assert.deepEqual(others, []);
    });
  }

  it('are refused with a name that another has', async () => {
    const problems = await directory.refusal({ ...BASE, federated_identities: [OF_ACCOUNT, OF_ACCOUNT] });
    assert.deepEqual(messages(problems), {
      'federated_identities[1].name': 'is the same as federated_identities[0].name',
    });
  });

  it('are refused where a rename by id takes the name of a stored one', async () => {
    await directory.apply(ALL);
    const [row] = await directory.query("SELECT id FROM federated_identities WHERE name = 'web-pull'");
    const renamed = { ...OF_PROJECT, id: row?.['id'], name: 'pods' };
    const problems = await directory.refusal({ federated_identities: [renamed] });
    assert.match(String(messages(problems)['federated_identities[0].name']), /is taken by the stored entry/);
  });

  it('may swap their names', async () => {
    await directory.apply(ALL);
    const rows = await directory.query('SELECT id, name FROM federated_identities');
    const idOf = (name: string) => rows.find((row) => row['name'] === name)?.['id'];
    await directory.apply({
      federated_identities: [
        { ...OF_PROJECT, id: idOf('web-pull'), name: 'pods' },
        { ...OF_GROUP, id: idOf('pods'), name: 'web-pull' },
      ],
    });
    assert.ok((await directory.export()).includes('project: acme/api'));
  });

  it('keep their account a service account', async () => {
    await directory.apply(ALL);
    const problems = await directory.refusal({ users: [{ username: 'release-bot', kind: 'human' }] });
    assert.match(String(messages(problems)['users[0].kind']), /must stay service_account/);
  });

  it('keep claims as they are, also one that is named like a column', async () => {
    const claims = { sub: 'a', expires_at: '2027-01-31T00:00:00+01:00' };
    const document = { ...BASE, federated_identities: [{ ...OF_ACCOUNT, claims }] };
    await directory.apply(document);
    assert.equal((await directory.apply(document)).changed, false);
  });

  const ending: [what: string, change: object][] = [
    ['account', { account: 'other-bot' }],
    ['claims', { claims: { sub: 'x' } }],
    ['scopes', { scopes: ['read_registry'] }],
    ['end', { expires_at: '2027-07-01' }],
  ];
  for (const [what, change] of ending) {
    it(`end what was exchanged by them when their ${what} changes`, async () => {
      await directory.apply({
        ...ALL,
        users: [...BASE.users, { username: 'other-bot', id: 3, kind: 'service_account' }],
      });
      await directory.query(EXCHANGED);
      await directory.apply({ federated_identities: [OF_ACCOUNT] });
      assert.equal((await directory.query('SELECT FROM access_tokens')).length, 3);
      await directory.apply({ federated_identities: [{ ...OF_ACCOUNT, ...change }] });
      assert.equal((await directory.query('SELECT FROM access_tokens')).length, 2);
    });
  }

  it('leave no document the tokens that were exchanged by them', async () => {
    await directory.apply(ALL);
    await directory.query(EXCHANGED);
    const [row] = await directory.query("SELECT id FROM access_tokens WHERE identity_name = 'api-release'");
    const token = { id: row?.['id'], kind: 'personal', name: 'mine', user: 'release-bot', scopes: ['api'] };
    const problems = await directory.refusal({ access_tokens: [token] });
    assert.match(String(messages(problems)['access_tokens[0].id']), /no document can change it/);
  });

  for (const username of ['oidc', 'OIDC']) {
    it(`leave no user the name ${username}`, async () => {
      const problems = await directory.refusal({ users: [{ username }] });
      assert.match(String(messages(problems)['users[0].username']), /with which clients show ID tokens/);
    });
  }

  it('are applied with a warning where no issuer is configured', async () => {
    const { warnings } = await directory.apply(ALL);
    assert.deepEqual(
      warnings.map(({ path, message }) => [path, message]),
      [
        [
          'federated_identities',
          'this server has no issuers (federation in the file of CELLPASS_CONFIG), so no ID token is taken',
        ],
      ],
    );
  });
});

describe('a check of federated identities', () => {
  const ISSUERS = { github: ['repository_id'], prod: ['sub'] };
  const check = (...identities: readonly object[]) =>
    checkDirectory(JSON.stringify({ version: 1, federated_identities: identities }), ISSUERS);
  const said = (list: readonly { readonly path: string; readonly message: string }[]) =>
    list.map(({ path, message }) => `${path}: ${message}`);

  it('finds an issuer that the settings do not name, also one that every object has', () => {
    for (const issuer of ['gitlab', 'constructor']) {
      assert.deepEqual(said(check({ ...OF_ACCOUNT, issuer }).problems), [
        `federated_identities[0].issuer: there is no issuer "${issuer}": the settings of the server name github, prod`,
      ]);
    }
  });

  const unreadable: [claims: unknown, says: RegExp][] = [
    [{ repository_id: 456789 }, /claims\.repository_id: must be text: put it in quotes$/],
    [{ repository_id: [] }, /claims\.repository_id: must not be an empty list$/],
    [{ repository_id: '1', ref: { prefix: '' } }, /claims\.ref\.prefix: must not be empty$/],
    [{ repository_id: '1', repository: { prefix: 'acme/' } }, /claims\.repository: must be a whole value/],
    [{}, /claims: must name at least one claim/],
    ['repository_id', /claims: must be a mapping/],
    [undefined, /claims: is missing$/],
  ];
  for (const [claims, says] of unreadable) {
    it(`finds one mistake in claims such as ${JSON.stringify(claims)}, and no other`, () => {
      const good = { ...OF_ACCOUNT, name: 'good', claims: { repository_id: '1' } };
      const { problems, warnings } = check(good, { ...OF_ACCOUNT, name: 'wrong', claims });
      assert.match(said(problems).join('\n'), says);
      assert.deepEqual([problems.length, warnings], [1, []]);
    });
  }

  it('finds claims that its issuer demands', () => {
    const { problems } = check({ ...OF_ACCOUNT, claims: { repository: 'acme/api' } });
    assert.deepEqual(said(problems), [
      'federated_identities[0].claims: must pin repository_id, because github signs tokens of others, too',
    ]);
  });

  it('warns of two that one token could match, naming both', () => {
    const narrow = { ...OF_ACCOUNT, name: 'narrow' };
    const wide = { ...OF_ACCOUNT, name: 'wide', claims: { repository_id: '456789' } };
    const { problems, warnings } = check(narrow, wide, {
      ...wide,
      name: 'elsewhere',
      claims: { repository_id: '1' },
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(said(warnings), [
      'federated_identities[1]: narrow and wide overlap: a token that matches both is refused, so make a claim that both pin differ',
    ]);
  });

  for (const name of ['constructor', 'toString', 'valueOf']) {
    it(`takes a claim that is named ${name} as any other`, () => {
      const one = { ...OF_ACCOUNT, name: 'one', claims: { repository_id: '1', [name]: 'x' } };
      const { problems, warnings } = check(
        one,
        { ...one, name: 'two', claims: { repository_id: '1' } },
        { ...one, name: 'three', claims: { repository_id: '1', [name]: 'y' } },
        { ...one, name: 'four', claims: { repository_id: '1', [name]: 'z' } },
      );
      assert.deepEqual(problems, []);
      assert.deepEqual(
        warnings.map(({ message }) => message.split(' overlap')[0]),
        ['one and two', 'two and three', 'two and four'],
      );
    });
  }

  it('does not compare without end where identities hardly differ', () => {
    const values = (length: number, name: string): readonly string[] =>
      Array.from({ length }, (_, at) => `${name}-${at}`);
    const many = Array.from({ length: 3000 }, (_, at) => ({
      ...OF_ACCOUNT,
      at,
      name: `identity-${at}`,
      claims: {
        repository_id: [...values(99, `repository-${at}`), 'common'],
        environment: values(98, `environment-${at}`),
      },
    }));
    const said: string[] = [];
    checkIdentities(
      { federated_identities: many } as unknown as DirectoryDocument,
      { issuers: ISSUERS, unknownIssuers: '' },
      { report: (_, message) => void said.push(message), warn: (_, message) => void said.push(message) },
    );
    assert.deepEqual(said, []);
  });

  it('does not warn of identities of different issuers', () => {
    const pod = { ...OF_ACCOUNT, issuer: 'prod', claims: { sub: 'x' } };
    assert.deepEqual(
      check({ ...OF_ACCOUNT, claims: { repository_id: '1' } }, { ...pod, name: 'pod' }).warnings,
      [],
    );
  });

  it('finds an overlap among thousands', () => {
    const many = Array.from({ length: 5000 }, (_, at) => ({
      ...OF_ACCOUNT,
      name: `identity-${at}`,
      claims: { repository_id: String(at), repository_owner_id: '1' },
    }));
    const prefix = {
      ...OF_ACCOUNT,
      name: 'last',
      claims: { repository_id: ['4', 'x'], ref: { prefix: 'refs/' } },
    };
    const { warnings } = check(...many, prefix);
    assert.deepEqual(
      warnings.map(({ message }) => message.split(' overlap')[0]),
      ['identity-4 and last'],
    );
  });

  it('warns where the settings are not known', () => {
    const text = JSON.stringify({ version: 1, federated_identities: [OF_ACCOUNT] });
    const { problems, warnings } = checkDirectory(text);
    assert.deepEqual(problems, []);
    assert.match(warnings[0]?.message ?? '', /it is not known which claims each issuer must pin/);
    assert.deepEqual(checkDirectory('version: 1').warnings, []);
  });
});

describeOnBoth('the revocation of a federated identity', (directory) => {
  const named = (...identities: readonly (readonly [id: number, name: string])[]) => ({
    ...BASE,
    federated_identities: identities.map(([id, name]) => ({
      ...OF_ACCOUNT,
      id,
      name,
      claims: { ...OF_ACCOUNT.claims, environment: String(id) },
    })),
  });
  const revoke = (name: string) => revokeIdentity(directory.database, name, REVOKED_AT);
  const revoked = async (): Promise<readonly string[]> => {
    const listed = await listIdentities(directory.database, '', 100);
    return listed.filter(({ revokedAt }) => revokedAt !== null).map(({ name }) => name);
  };
  beforeEach(() => directory.query('DELETE FROM revoked_identities'));

  type Identities = readonly (readonly [id: number, name: string])[];
  const rows: [what: string, before: Identities, revoke: string[], then: Identities[], revoked: string[]][] =
    [
      ['follows it to another name', [[1, 'a']], ['a'], [[[1, 'b']]], ['b']],
      ['follows it through two names', [[1, 'a']], ['a'], [[[1, 'b']], [[1, 'c']]], ['c']],
      [
        'follows it and not its old name',
        [[1, 'a']],
        ['a'],
        [
          [
            [1, 'b'],
            [2, 'a'],
          ],
        ],
        ['b'],
      ],
      [
        'does not move to the identity that swaps names with it',
        [
          [1, 'a'],
          [2, 'b'],
        ],
        ['a'],
        [
          [
            [1, 'b'],
            [2, 'a'],
          ],
        ],
        ['b'],
      ],
      [
        'stays with both that swap their names',
        [
          [1, 'a'],
          [2, 'b'],
          [3, 'c'],
        ],
        ['a', 'b'],
        [
          [
            [1, 'b'],
            [2, 'a'],
            [3, 'c'],
          ],
        ],
        ['a', 'b'],
      ],
      ['waits for its name to come back', [[1, 'a']], ['a'], [[], [[2, 'a']]], ['a']],
      [
        'follows the identity that has its name again',
        [[1, 'a']],
        ['a'],
        [[], [[2, 'a']], [[2, 'b']]],
        ['b'],
      ],
    ];
  for (const [what, before, toRevoke, changes, expected] of rows) {
    it(what, async () => {
      await directory.apply(named(...before), { prune: true });
      for (const name of toRevoke) await revoke(name);
      for (const change of changes) await directory.apply(named(...change), { prune: true });
      assert.deepEqual(await revoked(), expected);
    });
  }

  it('ends the tokens that were exchanged by it, whatever its name was then', async () => {
    await directory.apply(named([1, 'a'], [2, 'b']));
    await directory.query(EXCHANGED);
    await directory.apply(named([1, 'b'], [2, 'a']));
    assert.equal(await revoke('b'), 1);
    const ended = await directory.query('SELECT identity_id FROM access_tokens WHERE revoked');
    assert.deepEqual(ended, [{ identity_id: 1 }]);
  });

  it('lists an identity once, and since the first of its revocations', async () => {
    await directory.apply(named([1, 'a']));
    await revokeConfiguredIdentity(directory.database, 'a', new Date(REVOKED_AT.getTime() - 1000));
    await revoke('a');
    const listed = await listIdentities(directory.database, '', 100);
    assert.deepEqual(
      listed.map(({ revokedAt }) => revokedAt),
      [new Date(REVOKED_AT.getTime() - 1000)],
    );
    assert.equal(await restoreIdentity(directory.database, 'a'), true);
    assert.deepEqual(await revoked(), []);
  });

  it('needs an identity', async () => {
    await directory.apply(named([1, 'a']));
    assert.equal(await revoke('b'), null);
    assert.deepEqual(await directory.query('SELECT FROM revoked_identities'), []);
  });
});
