import type { Login } from '../../support/directory/acme.ts';
import { newSecret } from '../../support/directory/town.ts';

/** One kind of request, and the reason why it is refused or granted nothing. */
export interface TimedCase {
  readonly name: string;
  /** Null: an anonymous client. */
  readonly as: Login | null;
  readonly scope: string;
  /**
   * The rules that refused, or the reason, as the log must show it: so no other refusal is measured
   * by mistake.
   */
  readonly because: string;
}

/** Cases that a client must not be able to tell apart; the first two are the same request. */
export interface Group {
  readonly name: string;
  readonly status: number;
  /** How many requests of each case are measured. */
  readonly requests: number;
  /** How many requests of each case warm up the server; they are not measured. */
  readonly warmUp: number;
  readonly cases: readonly [TimedCase, TimedCase, ...TimedCase[]];
}

const VISITOR: Login = ['visitor', newSecret('glpat-')];
const EXPIRED = newSecret('glpat-');
const REVOKED = newSecret('glpat-');
/** All passwords differ, and all names and secrets have the same length. */
const PASSWORDS = {
  anyone: newSecret(''),
  normal: newSecret(''),
  closed: newSecret(''),
  second: newSecret(''),
  lapsed: newSecret(''),
};

export const DIRECTORY: object = {
  version: 1,
  users: [
    { username: 'visitor' },
    { username: 'normal', password: PASSWORDS.normal },
    { username: 'closed', password: PASSWORDS.closed, state: 'blocked' },
    { username: 'second', password: PASSWORDS.second, two_factor: true },
    { username: 'lapsed', password: PASSWORDS.lapsed, password_expired: true },
    { username: 'warden' },
  ],
  groups: [
    { path: 'vault', members: [{ user: 'warden', role: 'owner' }] },
    { path: 'stuff', members: [{ user: 'warden', role: 'owner' }], over_storage_limit: true },
  ],
  projects: [
    { path: 'vault/gold', visibility: 'private' },
    { path: 'stuff/gold', visibility: 'private' },
    {
      path: 'vault/seal',
      visibility: 'private',
      protected_repositories: [{ pattern: 'vault/seal/app*', minimum_role_for_push: 'owner' }],
    },
  ],
  access_tokens: [
    { name: 'good', kind: 'personal', user: 'visitor', scopes: ['api'], token: VISITOR[1] },
    {
      name: 'late',
      kind: 'personal',
      user: 'visitor',
      scopes: ['api'],
      expires_at: '2020-01-01',
      token: EXPIRED,
    },
    { name: 'gone', kind: 'personal', user: 'visitor', scopes: ['api'], revoked: true, token: REVOKED },
  ],
};

/** All names here have the same length, and all scopes the same actions. */
const NOWHERE = 'repository:vault/lead/app:pull,push';
const HIDDEN = 'repository:vault/gold/app:pull,push';
const FULL = 'repository:stuff/gold/app:pull,push';
const SEALED = 'repository:vault/seal/app:pull,push';

const byVisitor = (name: string, scope: string, because: string): TimedCase => ({
  ...{ name, scope, because },
  as: VISITOR,
});
const byNobody = (name: string, scope: string, because: string): TimedCase => ({
  ...{ name, scope, because },
  as: null,
});
const byLogin = (name: string, as: Login, because: string): TimedCase => ({
  ...{ name, as, because },
  scope: HIDDEN,
});

const unknownToken: Login = ['visitor', newSecret('glpat-')];
const unknownUser: Login = ['nobody', PASSWORDS.anyone];

export const GROUPS: readonly Group[] = [
  {
    name: 'what a project is, to somebody with a token who may not see it',
    status: 200,
    requests: 2000,
    warmUp: 300,
    cases: [
      byVisitor('no such project', NOWHERE, 'project_unknown'),
      byVisitor('no such project, again', NOWHERE, 'project_unknown'),
      byVisitor('private project', HIDDEN, 'role'),
      byVisitor('private project, over its storage limit', FULL, 'role'),
      byVisitor('private project, protected path', SEALED, 'role'),
    ],
  },
  {
    name: 'what a project is, to nobody',
    status: 403,
    requests: 2000,
    warmUp: 300,
    cases: [
      byNobody('no such project', NOWHERE, 'project_unknown'),
      byNobody('no such project, again', NOWHERE, 'project_unknown'),
      byNobody('private project', HIDDEN, 'not_public credential_ability'),
    ],
  },
  {
    name: 'why a password is refused',
    status: 401,
    // Each request hashes a password, so the group takes four minutes.
    requests: 2000,
    warmUp: 10,
    cases: [
      byLogin('unknown user', unknownUser, 'unknown'),
      byLogin('unknown user, again', unknownUser, 'unknown'),
      byLogin('wrong password', ['normal', PASSWORDS.anyone], 'wrong_password'),
      byLogin('blocked user, right password', ['closed', PASSWORDS.closed], 'account_blocked'),
      byLogin('two-factor, right password', ['second', PASSWORDS.second], 'two_factor'),
      byLogin('password expired, right password', ['lapsed', PASSWORDS.lapsed], 'password_expired'),
    ],
  },
  {
    name: 'why an access token is refused',
    status: 401,
    requests: 2000,
    warmUp: 300,
    cases: [
      byLogin('unknown', unknownToken, 'unknown'),
      byLogin('unknown, again', unknownToken, 'unknown'),
      byLogin('expired', ['visitor', EXPIRED], 'token_expired'),
      byLogin('revoked', ['visitor', REVOKED], 'token_revoked'),
    ],
  },
];
