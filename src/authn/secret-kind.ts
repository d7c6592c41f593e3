import type { Credentials } from './basic.ts';

/** Which secrets are looked for: a job's; a token's; or a password's as well. */
export type SecretKind = 'job' | 'token' | 'token_or_password';

const JOB_USERNAME = 'gitlab-ci-token';
/** What GitLab puts before its tokens; a secret of this form is never tried as a password. */
export const TOKEN_FORM = /^gl[a-z]{1,10}-/;

export function secretKind({ username, password }: Credentials): SecretKind {
  if (username === JOB_USERNAME) return 'job';
  return TOKEN_FORM.test(password) ? 'token' : 'token_or_password';
}
