import assert from 'node:assert/strict';
import type {
  AccessTokenRecord,
  Account,
  CredentialRecords,
  DeployTokenRecord,
  JobRecord,
} from '../../src/authn/account.ts';
import { type Authenticator, authenticate } from '../../src/authn/authenticate.ts';
import { UNAUTHORIZED_MESSAGE, unauthorized } from '../../src/authn/basic.ts';
import { CREDENTIAL_KINDS, questionOf } from '../../src/authn/credential-kinds.ts';
import { mintRoutableToken } from '../../src/cells/routable-token.ts';
import { CellpassError } from '../../src/errors.ts';

const NOW = new Date('2026-06-15T12:00:00Z');

const alice: Account = {
  id: 11,
  username: 'alice',
  kind: 'human',
  state: 'active',
  admin: false,
  auditor: false,
  external: false,
  twoFactor: false,
  passwordExpired: false,
  passwordHash: 'the hash',
};
const bot: Account = { ...alice, id: 12, username: 'project_1_bot', kind: 'project_bot', passwordHash: null };
const accessToken: AccessTokenRecord = {
  id: 1,
  name: 'laptop',
  scopes: ['api'],
  expiresOn: null,
  revoked: false,
  owner: alice,
};
const deployToken: DeployTokenRecord = {
  id: 2,
  username: 'puller',
  scopes: ['read_registry'],
  expiresAt: null,
  revoked: false,
};
const job: JobRecord = {
  id: 3,
  projectId: 101,
  projectPath: 'acme/api',
  running: true,
  expiresAt: null,
  ciEnabled: true,
  deletionScheduled: false,
  user: alice,
};
const nothing: CredentialRecords = {
  passwordAuthentication: true,
  job: null,
  accessToken: null,
  deployToken: null,
  account: null,
};

interface Attempt {
  readonly username?: string;
  readonly password?: string;
  readonly found?: Partial<CredentialRecords>;
}

/** Never limits; writes down what it is told, in order. */
function countingAttempts(counted: string[]): Authenticator['failedAttempts'] {
  const told = (what: string, { network, loginKey }: { network: string; loginKey: string }): void => {
    counted.push(`${what} ${loginKey} from ${network}`);
  };
  return {
    refuseKnown: (attempt) => told('known', attempt),
    admitPassword: async (attempt) => {
      told('admit', attempt);
      return {
        refuseIfLimited: () => void counted.push('once more'),
        failed: async (reason) => {
          told('failed', attempt);
          return unauthorized(reason);
        },
        succeeded: () => told('succeeded', attempt),
      };
    },
    tokenFailed: async (attempt, reason) => {
      told('token failed', attempt);
      return unauthorized(reason);
    },
  };
}

/**
 * Runs one attempt at which the source answers `found`; says which kinds it was asked for, and what
 * the attempt cost.
 */
async function attempt({ username = 'alice', password = 'secret', found = {} }: Attempt) {
  const asked: string[] = [];
  const hashes: (string | null)[] = [];
  const counted: string[] = [];
  const authenticator: Authenticator = {
    passwords: {
      refuseIfFull: () => void counted.push('room'),
      charge: () => undefined,
      inTurn: (_holder, work) =>
        work(async (hash, given) => {
          counted.push('hash');
          hashes.push(hash);
          return hash === 'the hash' && given === 'right';
        }),
    },
    failedAttempts: countingAttempts(counted),
  };
  const credentials = username === '' && password === '' ? null : { username, password };
  const circumstances = { now: NOW, network: '192.0.2.1', clientGone: () => new AbortController().signal };
  const run = async () => {
    const question = questionOf(credentials);
    if (question !== null) asked.push(question.kinds.join(', '));
    return authenticate(authenticator, credentials, { ...nothing, ...found }, circumstances);
  };
  const outcome = await run().catch((error: unknown) => error);
  return { outcome, asked, hashes, counted };
}

describe('who is asking', () => {
  it('is anonymous without credentials, and no secret is looked up', async () => {
    const { outcome, asked } = await attempt({ username: '', password: '' });
    assert.deepEqual(outcome, { kind: 'anonymous', abilities: new Set(['pull']), expiresAt: null });
    assert.deepEqual(asked, []);
  });

  it('is asked with the secret and the user name as they came, in one question', () => {
    const question = questionOf({ username: 'Alice', password: 'Abc' });
    assert.deepEqual([question?.username, question?.secret.reveal()], ['Alice', 'Abc']);
  });

  const accepted: [what: string, attempt: Attempt, expected: Record<string, unknown>][] = [
    [
      'an access token, whatever the login name',
      { username: 'anything', password: 'glpat-x', found: { accessToken } },
      { kind: 'user', authType: 'personal_access_token', tokenScopes: ['api'], expiresAt: null },
    ],
    [
      'an access token of an unknown form',
      { password: 'no-prefix-at-all', found: { accessToken } },
      { kind: 'user', authType: 'personal_access_token' },
    ],
    [
      'an access token on the day before it expires, which also ends what it buys',
      { password: 'glpat-x', found: { accessToken: { ...accessToken, expiresOn: '2026-06-16' } } },
      { expiresAt: new Date('2026-06-16T00:00:00Z') },
    ],
    [
      "an access token of a bot, whose owner's password can't expire",
      {
        password: 'glpat-x',
        found: { accessToken: { ...accessToken, owner: { ...bot, passwordExpired: true } } },
      },
      { person: { id: 12, username: 'project_1_bot', admin: false, auditor: false, external: false } },
    ],
    [
      'a deploy token by its user name',
      { username: 'puller', password: 'gldt-x', found: { deployToken } },
      {
        kind: 'deploy_token',
        username: 'puller',
        deployTokenId: 2,
        abilities: new Set(['pull']),
        expiresAt: null,
      },
    ],
    [
      'a deploy token before its last moment',
      {
        username: 'puller',
        password: 'gldt-x',
        found: { deployToken: { ...deployToken, expiresAt: new Date('2026-06-15T12:00:01Z') } },
      },
      { expiresAt: new Date('2026-06-15T12:00:01Z') },
    ],
    [
      'a job token',
      { username: 'gitlab-ci-token', password: 'glcbt-x', found: { job } },
      { kind: 'job', jobId: 3, projectId: 101, projectPath: 'acme/api', expiresAt: null },
    ],
    [
      'a job token before its last moment',
      {
        username: 'gitlab-ci-token',
        password: 'x',
        found: { job: { ...job, expiresAt: new Date('2026-06-15T12:00:01Z') } },
      },
      { expiresAt: new Date('2026-06-15T12:00:01Z') },
    ],
    [
      'a job token of a job without user',
      { username: 'gitlab-ci-token', password: 'x', found: { job: { ...job, user: null } } },
      { person: null },
    ],
    [
      'a password',
      { password: 'right', found: { account: alice } },
      { kind: 'user', authType: 'gitlab_or_ldap', tokenScopes: null, expiresAt: null },
    ],
    [
      "an access token behind the user name of jobs, because the secret is no job's",
      { username: 'gitlab-ci-token', password: 'glpat-x', found: { accessToken } },
      { kind: 'user', authType: 'personal_access_token', accessTokenId: 1 },
    ],
    [
      'a deploy token whose own user name is that of jobs',
      {
        username: 'gitlab-ci-token',
        password: 'gldt-x',
        found: { deployToken: { ...deployToken, username: 'gitlab-ci-token' } },
      },
      { kind: 'deploy_token', username: 'gitlab-ci-token' },
    ],
    [
      'a password behind the user name of jobs, if it has no form of a token',
      { username: 'gitlab-ci-token', password: 'right', found: { account: alice } },
      { kind: 'user', authType: 'gitlab_or_ldap' },
    ],
    [
      'the job where a secret is both a job and a token: the first kind decides',
      { username: 'gitlab-ci-token', password: 'glcbt-x', found: { job, accessToken } },
      { kind: 'job', jobId: 3 },
    ],
    [
      'the access token where a secret is also a deploy token',
      { username: 'puller', password: 'x', found: { accessToken, deployToken } },
      { kind: 'user', accessTokenId: 1 },
    ],
    [
      "the access token under another user name, though the secret is also a job's",
      { username: 'alice', password: 'x', found: { job, accessToken } },
      { kind: 'user', accessTokenId: 1 },
    ],
  ];
  for (const [what, input, expected] of accepted) {
    it(`is told by ${what}`, async () => {
      const { outcome } = await attempt(input);
      assert.ok(
        typeof outcome === 'object' && outcome !== null && !(outcome instanceof Error),
        String(outcome),
      );
      const relevant = Object.fromEntries(Object.entries(outcome).filter(([key]) => key in expected));
      assert.deepEqual(relevant, expected);
    });
  }

  const states = ['blocked', 'locked', 'unconfirmed', 'deactivated'] as const;
  const refused: [what: string, attempt: Attempt, reason: string][] = [
    ['an unknown secret', { found: {} }, 'unknown'],
    ['a wrong password', { password: 'wrong', found: { account: alice } }, 'wrong_password'],
    [
      'an account without password',
      { password: 'right', found: { account: { ...alice, passwordHash: null } } },
      'wrong_password',
    ],
    [
      'password authentication switched off',
      { password: 'right', found: { account: alice, passwordAuthentication: false } },
      'password_authentication_off',
    ],
    [
      'an account that only GitLab can judge',
      { password: 'right', found: { account: { ...alice, unjudged: 'external_identity' } } },
      'external_identity',
    ],
    ['two-factor', { password: 'right', found: { account: { ...alice, twoFactor: true } } }, 'two_factor'],
    [
      'an expired password',
      { password: 'right', found: { account: { ...alice, passwordExpired: true } } },
      'password_expired',
    ],
    ...states.map((state): [string, Attempt, string] => [
      `a password of somebody ${state}`,
      { password: 'right', found: { account: { ...alice, state } } },
      `account_${state}`,
    ]),
    ...states.map((state): [string, Attempt, string] => [
      `an access token of somebody ${state}`,
      { password: 'glpat-x', found: { accessToken: { ...accessToken, owner: { ...alice, state } } } },
      `account_${state}`,
    ]),
    [
      'an access token of a bot that is blocked',
      {
        password: 'glpat-x',
        found: { accessToken: { ...accessToken, owner: { ...bot, state: 'blocked' } } },
      },
      'account_blocked',
    ],
    [
      'an access token whose owner has an expired password',
      {
        password: 'glpat-x',
        found: { accessToken: { ...accessToken, owner: { ...alice, passwordExpired: true } } },
      },
      'password_expired',
    ],
    [
      'a revoked access token',
      { password: 'glpat-x', found: { accessToken: { ...accessToken, revoked: true } } },
      'token_revoked',
    ],
    [
      'an access token on the day that it expires',
      { password: 'glpat-x', found: { accessToken: { ...accessToken, expiresOn: '2026-06-15' } } },
      'token_expired',
    ],
    [
      "somebody else's user name with a deploy token",
      { username: 'Puller', password: 'gldt-x', found: { deployToken } },
      'deploy_token_username',
    ],
    [
      'a revoked deploy token',
      { username: 'puller', password: 'gldt-x', found: { deployToken: { ...deployToken, revoked: true } } },
      'token_revoked',
    ],
    [
      'an expired deploy token',
      { username: 'puller', password: 'gldt-x', found: { deployToken: { ...deployToken, expiresAt: NOW } } },
      'token_expired',
    ],
    ['an unknown job token', { username: 'gitlab-ci-token', password: 'glcbt-x' }, 'unknown'],
    ['an unknown secret as a job', { username: 'gitlab-ci-token', password: 'x' }, 'unknown'],
    ["a job's token under another user name", { password: 'glcbt-x', found: { job } }, 'unknown'],
    [
      'a job that ended, though the secret is also an access token: the first kind decides',
      {
        username: 'gitlab-ci-token',
        password: 'glcbt-x',
        found: { job: { ...job, running: false }, accessToken },
      },
      'job_not_running',
    ],
    [
      'a revoked access token behind the user name of jobs',
      {
        username: 'gitlab-ci-token',
        password: 'glpat-x',
        found: { accessToken: { ...accessToken, revoked: true } },
      },
      'token_revoked',
    ],
    [
      'a deploy token behind the user name of jobs, which is not its own',
      { username: 'gitlab-ci-token', password: 'gldt-x', found: { deployToken } },
      'deploy_token_username',
    ],
    [
      'a wrong password behind the user name of jobs',
      { username: 'gitlab-ci-token', password: 'wrong', found: { account: alice } },
      'wrong_password',
    ],
    [
      'a job that ended',
      { username: 'gitlab-ci-token', password: 'x', found: { job: { ...job, running: false } } },
      'job_not_running',
    ],
    [
      'a job token that expired',
      { username: 'gitlab-ci-token', password: 'x', found: { job: { ...job, expiresAt: NOW } } },
      'job_token_expired',
    ],
    [
      'CI switched off',
      { username: 'gitlab-ci-token', password: 'x', found: { job: { ...job, ciEnabled: false } } },
      'ci_disabled',
    ],
    [
      'a project scheduled for deletion',
      { username: 'gitlab-ci-token', password: 'x', found: { job: { ...job, deletionScheduled: true } } },
      'project_deletion_scheduled',
    ],
    [
      'a job of somebody blocked',
      {
        username: 'gitlab-ci-token',
        password: 'x',
        found: { job: { ...job, user: { ...alice, state: 'blocked' } } },
      },
      'account_blocked',
    ],
    ['an empty name with a secret', { username: '', password: 'something' }, 'unknown'],
  ];
  for (const [what, input, reason] of refused) {
    it(`is refused for ${what}, with the one message for all`, async () => {
      const { outcome } = await attempt(input);
      assert.ok(outcome instanceof CellpassError, 'must be refused');
      assert.deepEqual(
        [outcome.code, outcome.message, outcome.details.reason],
        ['unauthorized', UNAUTHORIZED_MESSAGE, reason],
      );
    });
  }
});

describe('what an attempt costs', () => {
  const TOKEN = 'access_token, deploy_token';
  const TOKEN_OR_PASSWORD = `${TOKEN}, password`;
  const rows: [what: string, attempt: Attempt, kinds: string, hashes: (string | null)[]][] = [
    ['an unknown user: one hash, of nobody', { found: {} }, TOKEN_OR_PASSWORD, [null]],
    ['a wrong password: one hash', { found: { account: alice } }, TOKEN_OR_PASSWORD, ['the hash']],
    [
      'password authentication off: one hash',
      { found: { account: alice, passwordAuthentication: false } },
      TOKEN_OR_PASSWORD,
      ['the hash'],
    ],
    [
      'a locked account: one hash',
      { found: { account: { ...alice, state: 'locked' } } },
      TOKEN_OR_PASSWORD,
      ['the hash'],
    ],
    [
      'two-factor: one hash',
      { found: { account: { ...alice, twoFactor: true } } },
      TOKEN_OR_PASSWORD,
      ['the hash'],
    ],
    [
      'a refused token without a known form: one hash, like a password',
      { password: 'old-token', found: { accessToken: { ...accessToken, revoked: true } } },
      TOKEN_OR_PASSWORD,
      [null],
    ],
    ['a good token: none', { password: 'old-token', found: { accessToken } }, TOKEN_OR_PASSWORD, []],
    [
      "a token's form is never tried as a password",
      { password: 'glpat-unknown', found: { account: alice } },
      TOKEN,
      [],
    ],
    [
      'nor behind the user name of jobs',
      { username: 'gitlab-ci-token', password: 'glpat-unknown', found: { account: alice } },
      `job, ${TOKEN}`,
      [],
    ],
    [
      'a secret without that form behind the user name of jobs: one hash, like a password',
      { username: 'gitlab-ci-token', password: 'wrong', found: { account: alice } },
      `job, ${TOKEN_OR_PASSWORD}`,
      ['the hash'],
    ],
    [
      'a refused job without a known form: one hash, like a password',
      { username: 'gitlab-ci-token', password: 'old-job', found: { job: { ...job, running: false } } },
      `job, ${TOKEN_OR_PASSWORD}`,
      [null],
    ],
    [
      'a good job without a known form: none',
      { username: 'gitlab-ci-token', password: 'old-job', found: { job } },
      `job, ${TOKEN_OR_PASSWORD}`,
      [],
    ],
  ];
  for (const [what, input, kinds, expected] of rows) {
    it(what, async () => {
      const { asked, hashes } = await attempt(input);
      assert.deepEqual([asked, hashes], [[kinds], expected]);
    });
  }

  it('an empty password: nothing at all', async () => {
    const { outcome, asked, hashes, counted } = await attempt({
      password: '',
      found: { account: alice },
    });
    assert.ok(outcome instanceof CellpassError);
    assert.deepEqual([outcome.code, outcome.details.reason], ['unauthorized', 'no_password']);
    assert.deepEqual([asked, hashes, counted], [[], [], []]);
  });

  const counts: [what: string, attempt: Attempt, expected: readonly string[]][] = [
    [
      'a wrong password, which is counted before the next is hashed',
      { username: 'Alice', password: 'wrong', found: { account: alice } },
      [
        'known alice from 192.0.2.1',
        'room',
        'admit alice from 192.0.2.1',
        'once more',
        'hash',
        'failed alice from 192.0.2.1',
      ],
    ],
    [
      'a right password of somebody with two-factor, which nobody may learn',
      { password: 'right', found: { account: { ...alice, twoFactor: true } } },
      [
        'known alice from 192.0.2.1',
        'room',
        'admit alice from 192.0.2.1',
        'once more',
        'hash',
        'failed alice from 192.0.2.1',
      ],
    ],
    [
      'a right password',
      { password: 'right', found: { account: alice } },
      [
        'known alice from 192.0.2.1',
        'room',
        'admit alice from 192.0.2.1',
        'once more',
        'hash',
        'succeeded alice from 192.0.2.1',
      ],
    ],
    ['an unknown token', { password: 'glpat-x' }, ['token failed alice from 192.0.2.1']],
    [
      'an expired token',
      { password: 'glpat-x', found: { accessToken: { ...accessToken, expiresOn: '2026-06-15' } } },
      ['token failed alice from 192.0.2.1'],
    ],
    [
      'an unknown job token',
      { username: 'gitlab-ci-token', password: 'glcbt-x' },
      ['token failed gitlab-ci-token from 192.0.2.1'],
    ],
    [
      'what may be a password behind the user name of jobs like a password',
      { username: 'gitlab-ci-token', password: 'wrong' },
      [
        'known gitlab-ci-token from 192.0.2.1',
        'room',
        'admit gitlab-ci-token from 192.0.2.1',
        'once more',
        'hash',
        'failed gitlab-ci-token from 192.0.2.1',
      ],
    ],
    ['a valid token: nothing', { password: 'glpat-x', found: { accessToken } }, []],
    ['a valid token of any form: nothing', { password: 'old-token', found: { accessToken } }, []],
    ['nobody: nothing', { username: '', password: '' }, []],
  ];
  for (const [what, input, expected] of counts) {
    it(`counts ${what}`, async () => {
      assert.deepEqual((await attempt(input)).counted, expected);
    });
  }

  const routable = mintRoutableToken('glpat-', { c: 1n, o: 1n, u: 11n });

  it('a routable token is looked up whole', () => {
    const question = questionOf({ username: 'alice', password: routable });
    assert.equal(question?.secret.reveal(), routable);
    assert.deepEqual(question.kinds, ['access_token', 'deploy_token']);
  });
});

describe('the kinds of credentials', () => {
  it('are tried in the order of the policy', () => {
    const names = CREDENTIAL_KINDS.map(({ name }) => name);
    assert.deepEqual(names, ['id_token', 'job', 'access_token', 'deploy_token', 'password']);
  });

  it('are none for an ID token that is not verified, and about which nothing is known', () => {
    const [kind] = CREDENTIAL_KINDS;
    assert.ok(kind?.proof === 'record');
    const evidence = { credentials: { username: 'oidc', password: 'x' }, records: nothing, now: NOW };
    assert.equal(kind.verify(evidence), null);
    const idToken = { issuer: 'ci', claims: {}, subject: null, jti: null, expiresAt: NOW, mustPin: [] };
    assert.equal(kind.verify({ ...evidence, idToken }), null);
    assert.equal(kind.admits(evidence.credentials), false);
  });

  it('end with those that a hash proves, which leave no secret to another kind', () => {
    const proofs = CREDENTIAL_KINDS.map(({ proof }) => proof);
    assert.deepEqual(proofs, proofs.toSorted().toReversed());
  });
});
