/**
 * Where GitLab decides otherwise than cellpass. A directory that is GitLab's own database is judged
 * as GitLab would judge it, so that nothing changes for its users.
 */

export type DialectName = 'cellpass' | 'gitlab';

/** The decisions in which the two differ. */
export interface Dialect {
  /** Whether a deactivated user may log in. */
  readonly deactivatedMayLogIn: boolean;
  /** Whether the admin flag opens `registry:*` scopes, whatever the credential allows. */
  readonly adminFlagOpensRegistry: boolean;
  /** Whether a deploy token pulls internal projects that it does not belong to. */
  readonly deployTokenPullsInternal: boolean;
  /** The claim `auth_type` of a job that has no user. */
  readonly jobWithoutUser: 'build' | 'ci';
}

const DIALECTS: Readonly<Record<DialectName, Dialect>> = {
  cellpass: {
    deactivatedMayLogIn: false,
    adminFlagOpensRegistry: false,
    deployTokenPullsInternal: false,
    jobWithoutUser: 'build',
  },
  gitlab: {
    deactivatedMayLogIn: true,
    adminFlagOpensRegistry: true,
    deployTokenPullsInternal: true,
    jobWithoutUser: 'ci',
  },
};

/** Facts that name no dialect are from cellpass's own tables. */
export function dialectOf(named: { readonly dialect?: DialectName }): Dialect {
  return DIALECTS[named.dialect ?? 'cellpass'];
}

interface Difference {
  readonly what: string;
  /** How it is on cellpass's own tables. */
  readonly cellpass: string;
  /** How it is on GitLab's database. */
  readonly gitlab: string;
}

/** For docs/policy.md. The first lines are the members of `Dialect`; the others are in the facts. */
export const DIFFERENCES: readonly Difference[] = [
  inWords('deactivatedMayLogIn', 'a deactivated user', ['may log in', 'is refused']),
  inWords('adminFlagOpensRegistry', '`registry:*` scopes', [
    'the admin flag of a user is enough, whatever the scopes of the token',
    'only for an admin, with a password or a token with `api`',
  ]),
  inWords('deployTokenPullsInternal', 'a deploy token, elsewhere', [
    'pulls public and internal projects whose registry is enabled',
    'pulls public projects whose registry is enabled',
  ]),
  {
    what: '`auth_type` of a job without a user',
    cellpass: `\`${DIALECTS.cellpass.jobWithoutUser}\``,
    gitlab: `\`${DIALECTS.gitlab.jobWithoutUser}\``,
  },
  {
    what: 'a role',
    cellpass: 'follows from memberships and invitations, which end on their date',
    gitlab: 'is what `project_authorizations` holds: it ends when GitLab removes it',
  },
  {
    what: 'IP allowlists',
    cellpass: 'of every group above the project',
    gitlab: 'of the root group (`edition: ee`); `globally_allowed_ips` pass',
  },
  {
    what: 'a job of a project that is scheduled for deletion',
    cellpass: 'is refused',
    gitlab: 'is refused only once GitLab deletes the project (`pending_delete`)',
  },
  {
    what: 'storage limits',
    cellpass: 'refuse pushes',
    gitlab: 'do not exist on a self-managed GitLab',
  },
];

function inWords(
  decision: 'deactivatedMayLogIn' | 'adminFlagOpensRegistry' | 'deployTokenPullsInternal',
  what: string,
  [yes, no]: readonly [string, string],
): Difference {
  const say = (name: DialectName): string => (DIALECTS[name][decision] ? yes : no);
  return { what, cellpass: say('cellpass'), gitlab: say('gitlab') };
}
