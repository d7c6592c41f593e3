import type { AuthType } from '../../policy/subject.ts';
import type { Database, Row, Sql } from '../database/drivers.ts';
import { type AccessEntry, parseAccess } from './access-text.ts';
import { searchInTime } from './bounded-search.ts';
import { CREDENTIAL_BY_AUTH_TYPE, type IssuedToken } from './issued-tokens.ts';
import { uuidsWithPrefix } from './uuid-prefix.ts';

/** A search; a token must match all filters that are given. */
export interface IssuedTokenQuestion {
  readonly since: Date;
  /** Exclusive. */
  readonly until?: Date;
  /** A whole id, or a prefix as `isUuidPrefix` says. */
  readonly jti?: string;
  /** Empty for tokens of anonymous clients. */
  readonly subject?: string;
  readonly kid?: string;
  /** As `credentialOf`. */
  readonly credential?: string;
  /** The whole name of a repository to which the token grants something. */
  readonly repository?: string;
  /** The last token of the previous page. */
  readonly after: IssuedTokenPlace | null;
  readonly limit: number;
}

/** A token's place in the record. A request is issued one token at most. */
export type IssuedTokenPlace = Pick<IssuedToken, 'issuedAt' | 'requestId'>;

export interface IssuedTokenPage {
  /** Latest first. */
  readonly tokens: readonly IssuedToken[];
  /** More tokens follow on the next page. */
  readonly hasMore: boolean;
}

/**
 * Only ids, names and credentials are indexed: other filters scan the partitions of all days between
 * the bounds. A statement without a name, so that PostgreSQL plans it each time: missing filters then cost
 * nothing, and partitions outside the bounds are not opened.
 */
const SEARCH = `
SELECT jti, kid, subject, auth_type, service, access, address, issued_at, expires_at, request_id, cell,
  tokens, last_jti, last_issued_at, identity, identity_issuer, identity_subject, identity_jti, credential
FROM issued_tokens
WHERE issued_at >= $11 AND coalesce(last_issued_at, issued_at) >= $1 AND ($2::timestamptz IS NULL OR issued_at < $2)
  AND ($3::uuid IS NULL OR jti BETWEEN $3 AND $10::uuid OR last_jti BETWEEN $3 AND $10::uuid)
  AND ($4::text IS NULL OR (subject = $4 AND ($4 = '' OR auth_type <> 'none')))
  AND ($5::text IS NULL OR kid = $5)
  AND ($6::text IS NULL OR jsonb_path_exists(access, '$[*] ? (@ starts with $start)', jsonb_build_object('start', $6 || ':'))
    OR access @> jsonb_build_array(jsonb_build_object('type', 'repository', 'name', $6)))
  AND ($12::text IS NULL OR (credential = $12 AND auth_type <> 'none') OR ($12 = 'password' AND auth_type = 'gitlab_or_ldap') OR ($12 = 'anonymous' AND auth_type = 'none'))
  AND ($7::timestamptz IS NULL OR (issued_at <= $7 AND (issued_at, request_id) < ($7, $8::uuid)))
ORDER BY issued_at DESC, request_id DESC
LIMIT $9`;

/** @throws {CellpassError} `unavailable`, also when the search takes too long. */
export function searchIssuedTokens(
  database: Pick<Database, 'transaction'>,
  question: IssuedTokenQuestion,
  { timeoutMs }: { readonly timeoutMs?: number } = {},
): Promise<IssuedTokenPage> {
  return searchInTime(database, (sql) => readPage(sql, question), timeoutMs);
}

interface IssuedRow extends Row {
  readonly jti: string;
  readonly kid: string;
  readonly subject: string;
  readonly auth_type: AuthType;
  readonly service: string;
  readonly access: readonly (string | AccessEntry)[];
  readonly address: string;
  readonly issued_at: Date;
  readonly expires_at: Date;
  readonly request_id: string;
  readonly cell: number;
  readonly tokens: number;
  readonly last_jti: string | null;
  readonly last_issued_at: Date | null;
  readonly identity: string | null;
  readonly identity_issuer: string | null;
  readonly identity_subject: string | null;
  readonly identity_jti: string | null;
  readonly credential: string | null;
}

/**
 * A row may count tokens up to a minute after its first, and a little longer under load, but none of
 * another day (UTC).
 */
const LONGEST_ROW_MS = 5 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;

async function readPage(sql: Sql, question: IssuedTokenQuestion): Promise<IssuedTokenPage> {
  const { since, until, jti, subject, kid, repository, credential = null, after, limit } = question;
  const place = [after?.issuedAt ?? null, after?.requestId ?? null];
  const [lowestJti = null, highestJti = null] = jti === undefined ? [] : uuidsWithPrefix(jti);
  const filters = [until ?? null, lowestJti, ...[subject, kid, repository].map((value) => value ?? null)];
  const sinceMs = since.getTime();
  const midnightMs = Math.floor(sinceMs / DAY_MS) * DAY_MS;
  const earliest = new Date(Math.max(midnightMs, sinceMs - LONGEST_ROW_MS));
  const parameters = [since, ...filters, ...place, limit + 1, highestJti, earliest, credential];
  const found = await sql.query<IssuedRow>(SEARCH, parameters);
  return { tokens: found.slice(0, limit).map(toToken), hasMore: found.length > limit };
}

function toToken(row: IssuedRow): IssuedToken {
  const { jti, kid, subject, service, address, cell, last_jti: lastJti, last_issued_at: lastIssuedAt } = row;
  const credential = row.credential ?? CREDENTIAL_BY_AUTH_TYPE[row.auth_type];
  const hasRepeats = lastJti !== null && lastIssuedAt !== null;
  return {
    jti,
    kid,
    subject,
    authType: row.auth_type,
    service,
    access: row.access.map(parseAccess),
    address,
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    requestId: row.request_id,
    cell,
    ...(credential !== undefined && { credential }),
    ...identityOf(row),
    ...(hasRepeats && { repeats: { count: row.tokens - 1, lastJti, lastIssuedAt } }),
  };
}

function identityOf(row: IssuedRow): Pick<IssuedToken, 'identity'> {
  const { identity: name, identity_issuer: issuer, identity_subject: subject, identity_jti: jti } = row;
  return name === null || issuer === null ? {} : { identity: { name, issuer, subject, jti } };
}
