import { lowerCaseAscii } from '../../ascii.ts';
import { type CredentialRecords, whyNoLogin } from '../../authn/account.ts';
import { ID_TOKEN_USERNAME } from '../../authn/federation/id-token.ts';
import { fromIdentity } from '../../authn/federation/identity.ts';
import type { SubjectQuestion } from '../../authn/source.ts';
import {
  fromAccessToken,
  fromAccount,
  fromDeployToken,
  fromJob,
  type SubjectOrReason,
  toUser,
} from '../../authn/to-subject.ts';
import { dialectOf } from '../../policy/dialect.ts';
import { readTokenId } from '../../store/directory/token-id.ts';

/** @param as such as `user:alice` or `deploy-token:puller`. */
export function toSubjectQuestion(as: string): SubjectQuestion {
  const colon = as.indexOf(':');
  const kind = as.slice(0, colon);
  const name = as.slice(colon + 1);
  if (kind === 'token') return tokenQuestion(name);
  // `job-7`, as records name a job, or its number alone.
  if (kind === 'job') return { kind, id: Number(name.replace(/^job-/, '')) };
  if (kind === 'identity') return { kind, name };
  return kind === 'user' ? { kind, name: lowerCaseAscii(name) } : { kind: 'deploy_token', name };
}

/** `access-12` and `deploy-3`, as `token list` shows them; a number alone is an access token's. */
function tokenQuestion(name: string): SubjectQuestion {
  const key = readTokenId(name);
  if (key?.table === 'deploy') return { kind: 'deploy_token_id', id: key.number };
  return { kind: 'token', id: key?.number ?? Number(name) };
}

interface ReadingOfRecords {
  /** For a user: as if by a token with these scopes, not by password. */
  readonly tokenScopes: readonly string[] | undefined;
  readonly now: Date;
}

/** Whom the records stand for, or why their credential is refused. Null: there is no such record. */
export function fromRecords(
  { kind }: SubjectQuestion,
  records: CredentialRecords,
  { tokenScopes, now }: ReadingOfRecords,
): SubjectOrReason | null {
  const { job, accessToken, deployToken, account, passwordAuthentication } = records;
  const reading = { now, dialect: dialectOf(records) };
  switch (kind) {
    case 'job':
      return job && fromJob(job, reading);
    case 'token':
      return accessToken && fromAccessToken(accessToken, reading);
    case 'deploy_token':
    case 'deploy_token_id':
      return deployToken && fromDeployToken(deployToken, reading);
    case 'identity': {
      const [identity] = records.idToken?.identities ?? [];
      const proof = { name: identity?.name ?? '', issuer: identity?.issuer ?? '', subject: null, jti: null };
      return identity === undefined
        ? null
        : fromIdentity(identity, proof, { ...reading, username: ID_TOKEN_USERNAME }, null);
    }
    case 'user':
      if (account === null || tokenScopes === undefined)
        return account && fromAccount(account, passwordAuthentication, reading.dialect);
      if (account.unjudged === 'composite_identity') return account.unjudged;
      return whyNoLogin(account, reading.dialect) ?? toUser(account, tokenScopes);
  }
}
