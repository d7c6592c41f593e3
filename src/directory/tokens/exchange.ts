import { isDeepStrictEqual } from 'node:util';
import type { IdentityRecord } from '../../authn/account.ts';
import { idTokenKey } from '../../authn/federation/id-token.ts';
import { endOf, matches } from '../../authn/federation/identity.ts';
import type { VerifiedIdToken } from '../../authn/federation/verify.ts';
import { mintRoutableToken } from '../../cells/routable-token.ts';
import { CellpassError, type Reason } from '../../errors.ts';
import { credentialName, type SubjectIdentity } from '../../policy/subject.ts';
import type { Database, Row, Sql } from '../../store/database/drivers.ts';
import { nameCreator, writeDirectory } from '../../store/directory/directory.ts';
import { allocateIds } from '../../store/directory/ids.ts';
import { markExchanged } from '../../store/federation/revocations.ts';
import { toStoredSecret } from '../document/secret.ts';
import { ACCESS_TOKEN_PREFIX } from './mint.ts';

/** What an ID token has proven, as the directory was when it was asked. */
export interface ProvenIdentity {
  readonly idToken: VerifiedIdToken;
  readonly identity: SubjectIdentity;
  readonly userId: number;
  readonly scopes: readonly string[];
  /** When the identity ends; null: never. The ID token's own end does not matter. */
  readonly identityEnds: Date | null;
}

export interface ExchangeDependencies {
  readonly database: Pick<Database, 'transaction'>;
  /** The id of this cell, which becomes part of the token. */
  readonly cell: number;
  readonly ttlSeconds: number;
}

export interface ExchangedToken {
  readonly secret: string;
  readonly endsAt: Date;
}

/**
 * Creates an access token in exchange for an ID token, which can be exchanged once. It waits for a
 * document that is being applied only where that changes the identity.
 * @param awaited aborted when the client no longer waits: then nothing is stored, and the ID token
 *   can be exchanged again.
 * @throws {CellpassError} `unauthorized` with the reason, when the ID token was exchanged before, or
 *   the identity or the ID token was revoked or changed meanwhile; `unavailable` while the user is
 *   being changed, or when the client no longer waits.
 */
export async function exchangeIdToken(
  { database, cell, ttlSeconds }: ExchangeDependencies,
  proven: ProvenIdentity,
  { now, awaited }: { readonly now: Date; readonly awaited: AbortSignal },
): Promise<ExchangedToken> {
  const { identity, identityEnds, idToken } = proven;
  const { jti } = identity;
  if (jti === null) throw refused('id_token_without_jti');
  const ends = new Date(now.getTime() + ttlSeconds * 1000);
  const endsAt = identityEnds !== null && identityEnds < ends ? identityEnds : ends;
  return database.transaction(async (sql) => {
    if (!(await markExchanged(sql, idTokenKey(identity.issuer, jti), idToken.expiresAt)))
      throw refused('id_token_used');
    const locked = await lockIdentity(sql, identity.name);
    if (locked === null || locked.revoked) throw refused('identity_revoked');
    if (!isAsProven(locked, proven)) throw refused('identity_unknown');
    const organizationId = await lockUser(sql, proven.userId);
    const secret = mintRoutableToken(ACCESS_TOKEN_PREFIX, {
      c: BigInt(cell),
      o: BigInt(organizationId),
      u: BigInt(proven.userId),
    });
    await store(sql, { ...proven, identityId: locked.id, secret, endsAt });
    if (awaited.aborted) throw tryAgain('the client waits no more', 'client_gone');
    return { secret, endsAt };
  });
}

/** Why an exchange is refused whose ID token was right when the directory was asked. */
export const EXCHANGE_REFUSALS = [
  'id_token_without_jti',
  'id_token_used',
  'identity_revoked',
  'identity_unknown',
] as const;

function refused(reason: (typeof EXCHANGE_REFUSALS)[number]): CellpassError {
  return new CellpassError('unauthorized', 'the subject_token is refused', { reason });
}

function tryAgain(message: string, reason?: Reason): CellpassError {
  return new CellpassError('unavailable', message, { ...(reason && { reason }), retryAfterSeconds: 1 });
}

type LockedIdentity = Row &
  Pick<IdentityRecord, 'issuer' | 'scopes' | 'claims' | 'expiresOn'> & {
    readonly id: number;
    readonly userId: number;
  };

/**
 * Whoever revokes or changes the identity waits for this transaction, or comes before it and is seen
 * here. Null: the identity is gone, or has another name.
 */
async function lockIdentity(
  sql: Sql,
  name: string,
): Promise<(LockedIdentity & Pick<IdentityRecord, 'revoked'>) | null> {
  const [locked] = await sql.query<LockedIdentity>(
    `SELECT id, issuer, user_id AS "userId", to_jsonb(scopes) AS scopes, claims, expires_at AS "expiresOn"
     FROM federated_identities WHERE name = $1 FOR SHARE`,
    [name],
  );
  if (locked === undefined) return null;
  // In a statement of its own, which sees what was committed while the lock was awaited.
  const revoked = await sql.query('SELECT FROM revoked_identities WHERE name = $1', [name]);
  return { ...locked, revoked: revoked.length > 0 };
}

/** Whether the ID token still proves this identity, and the identity gives what it gave then. */
function isAsProven(
  { issuer, userId, scopes, claims, expiresOn }: LockedIdentity,
  proven: ProvenIdentity,
): boolean {
  return (
    issuer === proven.identity.issuer &&
    userId === proven.userId &&
    isDeepStrictEqual([...scopes].sort(), [...proven.scopes].sort()) &&
    endOf({ expiresOn })?.getTime() === proven.identityEnds?.getTime() &&
    matches({ claims }, proven.idToken)
  );
}

/**
 * The organization of a user, who can't be removed before the transaction ends. It does not wait: a
 * document that removes the user may itself wait for the identity.
 */
async function lockUser(sql: Sql, id: number): Promise<number> {
  const [user] = await sql.query<Row & { readonly organizationId: number }>(
    'SELECT organization_id AS "organizationId" FROM users WHERE id = $1 FOR KEY SHARE SKIP LOCKED',
    [id],
  );
  if (user === undefined) throw tryAgain('the user of the identity is being changed; try again');
  return user.organizationId;
}

interface NewToken extends ProvenIdentity {
  readonly identityId: number;
  readonly secret: string;
  readonly endsAt: Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;

async function store(
  sql: Sql,
  { identity, userId, scopes, identityId, secret, endsAt }: NewToken,
): Promise<void> {
  const [id] = await allocateIds(sql, 'access_tokens', { above: 0, count: 1 });
  if (id === undefined) throw new Error('the sequence of access_tokens gave no id');
  await nameCreator(sql, credentialName('identity', identity.name));
  await writeDirectory(sql, {
    access_tokens: {
      remove: [],
      upsert: [
        {
          id,
          kind: 'personal',
          name: `exchanged by ${identity.name}`,
          user_id: userId,
          project_id: null,
          group_id: null,
          scopes,
          // For a replica of a version that knows no moments: the day after.
          expires_at: new Date(endsAt.getTime() + DAY_MS).toISOString().slice(0, 'yyyy-mm-dd'.length),
          revoked: false,
          minted: true,
          ends_at: endsAt.toISOString(),
          identity_id: identityId,
          identity_name: identity.name,
          identity_issuer: identity.issuer,
          identity_subject: identity.subject,
          identity_jti: identity.jti,
          ...toStoredSecret(secret),
        },
      ],
    },
  });
}
