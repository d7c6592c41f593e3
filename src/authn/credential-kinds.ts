import type { Reason } from '../errors.ts';
import { dialectOf } from '../policy/dialect.ts';
import type { Subject } from '../policy/subject.ts';
import type { CredentialRecords } from './account.ts';
import { type Credentials, unauthorized } from './basic.ts';
import { keysOfToken } from './federation/claims.ts';
import { idTokenKey } from './federation/id-token.ts';
import { fromIdToken } from './federation/identity.ts';
import type { VerifiedIdToken } from './federation/verify.ts';
import { Secret } from './secret.ts';
import type { CredentialKindName, IdTokenQuestion, SourceQuestion } from './source.ts';
import {
  fromAccessToken,
  fromAccount,
  fromDeployToken,
  fromJob,
  type Reading,
  type SubjectOrReason,
} from './to-subject.ts';

/** What a kind is verified on. */
export interface Evidence {
  readonly credentials: Credentials;
  readonly records: CredentialRecords;
  readonly now: Date;
  /** Set where the secret is an ID token. */
  readonly idToken?: VerifiedIdToken | null;
}

interface Kind {
  readonly name: CredentialKindName;
  /** Whether credentials of this form may be of this kind; if not, no source looks for it. */
  admits(credentials: Credentials): boolean;
}

/**
 * A kind whose secret is random, or signed: that the source has a record of it, or of the identity
 * that it proves, is enough.
 */
interface RecordedKind extends Kind {
  readonly proof: 'record';
  /** Null: the secret is not of this kind, and the next kind is tried. */
  verify(evidence: Evidence): SubjectOrReason | null;
}

/** A kind whose secret may be guessed, so that only a slow hash of it is stored. */
export interface HashedKind extends Kind {
  readonly proof: 'hash';
  /** Null: there is none, and nothing matches. */
  hashOf(records: CredentialRecords): string | null;
  /** @param matches whether the secret matches the hash. */
  verify(evidence: Evidence, matches: boolean): SubjectOrReason;
}

export type CredentialKind = RecordedKind | HashedKind;

const JOB_USERNAME = 'gitlab-ci-token';
/** How GitLab's tokens begin. A secret of this form is never tried as a password. */
export const TOKEN_FORM = /^gl[a-z]{1,10}-/;

/** `kindsOf` admits it alone, by its signature. */
const ID_TOKEN: RecordedKind = {
  name: 'id_token',
  proof: 'record',
  admits: () => false,
  verify: (evidence) => {
    const { idToken, records, credentials } = evidence;
    if (!idToken || records.idToken === undefined) return null;
    return fromIdToken(idToken, records.idToken, { ...readingOf(evidence), username: credentials.username });
  },
};

const JOB: RecordedKind = {
  name: 'job',
  proof: 'record',
  admits: ({ username }) => username === JOB_USERNAME,
  verify: (evidence) => evidence.records.job && fromJob(evidence.records.job, readingOf(evidence)),
};

const ACCESS_TOKEN: RecordedKind = {
  name: 'access_token',
  proof: 'record',
  admits: () => true,
  verify: (evidence) => {
    const { accessToken, oauthToken } = evidence.records;
    if (oauthToken !== undefined) return 'oauth_token';
    return accessToken && fromAccessToken(accessToken, readingOf(evidence));
  },
};

const DEPLOY_TOKEN: RecordedKind = {
  name: 'deploy_token',
  proof: 'record',
  admits: () => true,
  verify: ({ records: { deployToken }, credentials, now }) => {
    if (deployToken === null) return null;
    return deployToken.username === credentials.username
      ? fromDeployToken(deployToken, { now })
      : 'deploy_token_username';
  },
};

const PASSWORD: HashedKind = {
  name: 'password',
  proof: 'hash',
  admits: mayBePassword,
  hashOf: ({ account }) => account?.passwordHash ?? null,
  verify: (evidence, matches) => {
    const { account, passwordAuthentication } = evidence.records;
    if (account === null) return 'unknown';
    if (!matches) return account.unjudged ?? 'wrong_password';
    return fromAccount(account, passwordAuthentication, readingOf(evidence).dialect);
  },
};

function readingOf({ records, now }: Evidence): Reading {
  return { now, dialect: dialectOf(records) };
}

/**
 * The order of GitLab's `find_for_git_client`: the first kind that recognises the secret decides,
 * also when it refuses it. A kind whose proof is a hash stands last, because it recognises every
 * secret that it admits. An ID token, which GitLab does not know, is never of another kind.
 */
export const CREDENTIAL_KINDS: readonly CredentialKind[] = [
  ID_TOKEN,
  JOB,
  ACCESS_TOKEN,
  DEPLOY_TOKEN,
  PASSWORD,
];

export function mayBePassword({ password }: Credentials): boolean {
  return !TOKEN_FORM.test(password);
}

/**
 * The kinds that these credentials may be, in the order in which they are tried.
 * @param idToken what the secret is, where it is a verified ID token.
 */
export function kindsOf(
  credentials: Credentials,
  idToken: VerifiedIdToken | null = null,
): readonly CredentialKind[] {
  if (idToken !== null) return [ID_TOKEN];
  return CREDENTIAL_KINDS.filter((kind) => kind.admits(credentials));
}

/**
 * What a source is asked about these credentials; null for an anonymous request.
 * @throws {CellpassError} `unauthorized` for an empty password, which no account has: the source is
 * not asked.
 */
export function questionOf(
  credentials: Credentials | null,
  idToken: VerifiedIdToken | null = null,
): SourceQuestion | null {
  if (credentials === null) return null;
  const { username, password } = credentials;
  if (password === '') throw unauthorized('no_password');
  const kinds = kindsOf(credentials, idToken).map(({ name }) => name);
  return { secret: new Secret(password), username, kinds, ...(idToken && { idToken: toQuestion(idToken) }) };
}

function toQuestion({ issuer, claims, jti }: VerifiedIdToken): IdTokenQuestion {
  return {
    issuer,
    claims,
    lookupKeys: keysOfToken(claims),
    tokenKey: jti === null ? null : idTokenKey(issuer, jti),
  };
}

/** The verdict of the first kind that has a record of the secret; null: none has. */
export function verifyByRecord(
  kinds: readonly CredentialKind[],
  evidence: Evidence,
): Subject | Reason | null {
  for (const kind of kinds) {
    const verdict = kind.proof === 'record' ? kind.verify(evidence) : null;
    if (verdict !== null) return verdict;
  }
  return null;
}
