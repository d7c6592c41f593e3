import { idTokenKey } from '../../authn/federation/id-token.ts';
import { mintRoutableToken } from '../../cells/routable-token.ts';
import { CellpassError, type Reason } from '../../errors.ts';
import type { SubjectIdentity } from '../../policy/subject.ts';
import type { Database, Row, Sql } from '../../store/database/drivers.ts';
import { writeDirectory } from '../../store/directory/directory.ts';
import { allocateIds } from '../../store/directory/ids.ts';
import { markExchanged } from '../../store/federation/revocations.ts';
import { toStoredSecret } from '../document/secret.ts';
import { ACCESS_TOKEN_PREFIX } from './mint.ts';

/** What an ID token has proven. */
export interface ProvenIdentity {
  readonly identity: SubjectIdentity;
  readonly userId: number;
  readonly scopes: readonly string[];
  /** When the identity ends; null: never. The ID token's own end does not matter. */
  readonly identityEnds: Date | null;
  /** Until then the ID token could be shown again. */
  readonly idTokenEnds: Date;
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
 * Creates an access token in exchange for an ID token, which can be exchanged once. It does not wait
 * for a document that is being applied: no document names such a token.
 * @throws {CellpassError} `unauthorized` with the reason, when the ID token was exchanged before, or
 *   the identity or the ID token was revoked meanwhile.
 */
export function exchangeIdToken(
  { database, cell, ttlSeconds }: ExchangeDependencies,
  proven: ProvenIdentity,
  now: Date,
): Promise<ExchangedToken> {
  const { identity, identityEnds, idTokenEnds } = proven;
  const { jti } = identity;
  if (jti === null) throw refused('id_token_without_jti');
  const ends = new Date(now.getTime() + ttlSeconds * 1000);
  const endsAt = identityEnds !== null && identityEnds < ends ? identityEnds : ends;
  return database.transaction(async (sql) => {
    if (!(await markExchanged(sql, idTokenKey(identity.issuer, jti), idTokenEnds)))
      throw refused('id_token_used');
    const found = await lockIdentity(sql, identity.name);
    if (found === null) throw refused('identity_revoked');
    const secret = mintRoutableToken(ACCESS_TOKEN_PREFIX, {
      c: BigInt(cell),
      o: BigInt(found.organizationId),
      u: BigInt(proven.userId),
    });
    await store(sql, { ...proven, identityId: found.id, secret, endsAt });
    return { secret, endsAt };
  });
}

function refused(reason: Reason): CellpassError {
  return new CellpassError('unauthorized', 'the subject_token is refused', { reason });
}

interface LockedIdentity {
  readonly id: number;
  readonly organizationId: number;
}

/**
 * Whoever revokes the identity waits for this transaction, or comes before it and is seen here. Null:
 * the identity is gone or revoked.
 */
async function lockIdentity(sql: Sql, name: string): Promise<LockedIdentity | null> {
  const [locked] = await sql.query<Row & LockedIdentity>(
    `SELECT identity.id, users.organization_id AS "organizationId"
     FROM federated_identities AS identity JOIN users ON users.id = identity.user_id
     WHERE identity.name = $1 FOR KEY SHARE OF identity`,
    [name],
  );
  if (locked === undefined) return null;
  // In a statement of its own, which sees what was committed while the lock was awaited.
  const revoked = await sql.query('SELECT FROM revoked_identities WHERE name = $1', [name]);
  return revoked.length > 0 ? null : locked;
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
