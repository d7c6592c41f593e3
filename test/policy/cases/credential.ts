import { createHash, randomBytes } from 'node:crypto';
import { emailOf, type Names, type Sections } from './names.ts';
import type { Situation, TokenKind } from './situation.ts';
import { NotUnderstood } from './words/phrases.ts';
import type { Paths } from './words/request.ts';

/** All users of a run share a password, because hashing takes time. */
export interface SharedPassword {
  readonly password: string;
  readonly hash: string;
}

export interface SqlStatement {
  readonly text: string;
  readonly params: readonly unknown[];
}

/** The expected claims `sub` (null: a bot, which cellpass names) and `auth_type`. */
export interface Identity {
  readonly subject: string | null;
  readonly authType: string;
}

const PREFIXES: Partial<Record<TokenKind, string>> = {
  pat: 'glpat-',
  project_access_token: 'glpat-',
  group_access_token: 'glpat-',
  deploy_token: 'gldt-',
  job_token: 'glcbt-',
};

/** Makes a new secret. */
export function newSecret(kind: TokenKind): string {
  return `${PREFIXES[kind] ?? ''}${randomBytes(20).toString('hex')}`;
}

/** The document section that holds the row's token, if it has one. */
export function tokens(situation: Situation, names: Names, { targets }: Paths, token: string): Sections {
  const { credential, job, memberships } = situation;
  const { kind, revoked, expiresOn } = credential;
  const reach = credential.reach ?? 'own';
  const own = reach === 'other' ? [names.originProject] : [...targets.values()];
  const group = { own: names.group, other: names.origin, top_group: names.top }[reach];
  const common = { scopes: scopesOf(credential), revoked, expires_at: expiresOn, token };
  // In another project the role doesn't matter, if it has any rights.
  const role = memberships?.[0]?.role ?? (reach === 'other' ? 'developer' : null);
  const expires = expiresOn && `${expiresOn}T00:00:00Z`;
  switch (kind) {
    case 'pat':
      return { access_tokens: [{ kind: 'personal', name: names.user, user: names.user, ...common }] };
    case 'project_access_token':
      return {
        access_tokens: [
          { kind: 'project', name: names.user, project: own[0], role: botRole(role), ...common },
        ],
      };
    case 'group_access_token':
      return { access_tokens: [{ kind: 'group', name: names.user, group, role: botRole(role), ...common }] };
    case 'deploy_token': {
      const place = credential.ofGroup || reach === 'top_group' ? { group } : { projects: own };
      return { deploy_tokens: [{ username: names.deployToken, ...place, ...common, expires_at: expires }] };
    }
    case 'job_token': {
      const account = job.hasUser ? names.user : null;
      return {
        job_tokens: [{ project: own[0], user: account, running: job.running, expires_at: expires, token }],
      };
    }
    default:
      return {};
  }
}

function botRole(role: string | null): string {
  if (role === null) throw new NotUnderstood('a bot without a role', 'role_on_project');
  return role;
}

/**
 * A document refuses an empty list of scopes, but an import may contain one, so a SQL statement
 * empties it.
 */
function scopesOf({ kind, scopes }: Situation['credential']): readonly string[] {
  if (scopes.length > 0 || kind === 'job_token') return scopes;
  if (kind === 'deploy_token') throw new NotUnderstood('a deploy token without scopes', 'token_scopes');
  return ['read_user'];
}

/** SQL for what no document can say: a token without scopes, and the state of a bot. */
export function statements({ credential }: Situation, token: string): readonly SqlStatement[] {
  const { kind, scopes, botState } = credential;
  const digest = createHash('sha256').update(token).digest();
  const isAccessToken = kind === 'pat' || kind === 'project_access_token' || kind === 'group_access_token';
  const ofBot =
    'UPDATE users SET state = $2 WHERE id = (SELECT user_id FROM access_tokens WHERE token_digest = $1)';
  return [
    ...(isAccessToken && scopes.length === 0
      ? [{ text: "UPDATE access_tokens SET scopes = '{}' WHERE token_digest = $1", params: [digest] }]
      : []),
    ...(isAccessToken && botState !== 'active' ? [{ text: ofBot, params: [digest, botState] }] : []),
  ];
}

/** The user name and password of the Basic header. */
export function login(
  { credential }: Situation,
  names: Names,
  token: string,
  { password }: SharedPassword,
): [string, string] {
  const { kind } = credential;
  const right =
    kind === 'job_token' ? 'gitlab-ci-token' : kind === 'deploy_token' ? names.deployToken : names.user;
  const usernames = { right, wrong: `${names.top}-somebody`, empty: '', email: emailOf(names) };
  const secret = kind === 'password' ? password : token;
  return [
    usernames[credential.username],
    { right: secret, wrong: newSecret(kind), empty: '' }[credential.secret],
  ];
}

export function identity({ credential, job }: Situation, names: Names): Identity {
  switch (credential.kind) {
    case 'none':
      return { subject: '', authType: 'none' };
    case 'pat':
      return { subject: names.user, authType: 'personal_access_token' };
    case 'project_access_token':
    case 'group_access_token':
      return { subject: null, authType: 'personal_access_token' };
    case 'password':
      return { subject: names.user, authType: 'gitlab_or_ldap' };
    case 'deploy_token':
      return { subject: names.deployToken, authType: 'deploy_token' };
    case 'job_token':
      return { subject: job.hasUser ? names.user : '', authType: 'build' };
  }
}
