import { credentialName } from '../policy/subject.ts';
import type { CredentialRecords } from './account.ts';
import { matches } from './federation/identity.ts';
import type { VerifiedIdToken } from './federation/verify.ts';

/** What the directory knows of credentials, whether it accepts or refuses them; for the records. */
export interface KnownCredential {
  /** As `credentialName`; null: the secret is that of no token, and no account has the login name. */
  readonly name: string | null;
  /** The name of the account, or of the deploy token; null: there is none. */
  readonly account: string | null;
}

/** Never what the client wrote: an unverified login name may be a password in the wrong field. */
export function knownCredential(
  { job, accessToken, deployToken, account, idToken: found }: CredentialRecords,
  idToken: VerifiedIdToken | null,
): KnownCredential {
  if (idToken !== null) {
    const [identity, ...others] = (found?.identities ?? []).filter((one) => matches(one, idToken));
    if (identity === undefined || others.length > 0) return { name: null, account: null };
    return { name: credentialName('identity', identity.name), account: identity.account?.username ?? null };
  }
  if (job !== null) return { name: credentialName('job', job.id), account: job.user?.username ?? null };
  if (accessToken !== null)
    return { name: credentialName('access', accessToken.id), account: accessToken.owner.username };
  if (deployToken !== null)
    return { name: credentialName('deploy', deployToken.id), account: deployToken.username };
  if (account !== null) return { name: 'password', account: account.username };
  return { name: null, account: null };
}
