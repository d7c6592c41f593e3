import { CellpassError } from '../../errors.ts';
import type { AuthType, SubjectIdentity } from '../../policy/subject.ts';
import type { Database, Row } from '../database/drivers.ts';
import { type AccessEntry, printAccess } from './access-text.ts';
import { type AuditSizes, readSizes, saveSizes, type TrimmedKind } from './issued-token-sizes.ts';

/** One issued token in the audit record, without the token itself. */
export interface IssuedToken {
  readonly jti: string;
  readonly kid: string;
  /** The verified name; empty for anonymous clients. */
  readonly subject: string;
  readonly authType: AuthType;
  readonly service: string;
  readonly access: readonly AccessEntry[];
  readonly address: string;
  readonly issuedAt: Date;
  /** When the token expires; with `repeats`, when the last one of them does. */
  readonly expiresAt: Date;
  readonly requestId: string;
  readonly cell: number;
  /** As `credentialOf`; missing in records of older versions, for tokens and jobs. */
  readonly credential?: string;
  /** The federated identity that the client proved, now or when it exchanged its ID token. */
  readonly identity?: SubjectIdentity;
  /** Further tokens that this record counts; missing for a record of one token. */
  readonly repeats?: TokenRepeats;
}

/** Tokens of the same subject, credential, address, service, key and access, issued within a minute or so. */
interface TokenRepeats {
  /** Without the first token. */
  readonly count: number;
  readonly lastJti: string;
  readonly lastIssuedAt: Date;
}

export interface AuditRetention {
  readonly days: number;
  readonly knownBytes: number;
  readonly anonymousBytes: number;
}

export interface IssuedTokens {
  /** Writing the same batch again changes nothing. */
  save(tokens: readonly IssuedToken[]): Promise<void>;
  /**
   * Makes room: creates the partitions of today and tomorrow, ends a partition that has grown
   * large, and drops whole partitions, the oldest first, that are too old or too much. It never
   * drops the partition that is being written.
   */
  trim(retention: AuditRetention, now: Date): Promise<AuditSizes>;
  /** What the last trim of any replica found; measures if no replica trims. */
  measure(now: Date): Promise<AuditSizes>;
}

const SAVE = {
  name: 'save-issued-token-rows',
  text: `
INSERT INTO issued_tokens (issued_at, jti, kid, subject, auth_type, service, access, address, expires_at, request_id, cell,
  tokens, last_jti, last_issued_at, identity, identity_issuer, identity_subject, identity_jti, credential)
SELECT issued_at, jti, kid, subject, auth_type, service, access, address, expires_at, request_id, cell,
  tokens, last_jti, last_issued_at, identity, identity_issuer, identity_subject, identity_jti, credential
FROM json_to_recordset($1::json) AS issued (issued_at timestamptz, jti uuid, kid text, subject text, auth_type text, service text,
  access jsonb, address text, expires_at timestamptz, request_id uuid, cell integer,
  tokens integer, last_jti uuid, last_issued_at timestamptz,
  identity text, identity_issuer text, identity_subject text, identity_jti text, credential text)
ON CONFLICT DO NOTHING`,
};

const TRIM = 'SELECT * FROM trim_issued_tokens_partitions($1, $2::date, $3, $4)';

const DAY_MS = 24 * 60 * 60 * 1000;
/** How many days are remembered whose partitions exist. */
const DAYS_REMEMBERED = 8;

type Bytes = Omit<AuditRetention, 'days'>;
const UNBOUNDED: Bytes = { knownBytes: Number.MAX_SAFE_INTEGER, anonymousBytes: Number.MAX_SAFE_INTEGER };

export function createIssuedTokens(database: Pick<Database, 'query' | 'transaction'>): IssuedTokens {
  const days = new Set<string>();
  const prepare = async (day: string): Promise<void> => {
    if (days.has(day)) return;
    await database.query('SELECT create_issued_tokens_partitions($1::date)', [day]);
    if (days.size >= DAYS_REMEMBERED) days.clear();
    days.add(day);
  };
  const save = async (tokens: readonly IssuedToken[]): Promise<void> => {
    for (const day of new Set(tokens.map(({ issuedAt }) => dayOf(issuedAt)))) await prepare(day);
    await database.query(SAVE, [JSON.stringify(tokens.map(toRow))]);
  };
  const trimTo = (now: Date, firstDay: string, most: Bytes): Promise<AuditSizes> =>
    database.transaction(async (sql) => {
      const bounds = [most.knownBytes, most.anonymousBytes];
      await sql.query('SELECT end_large_issued_tokens_partitions($1, $2, $3)', [now, ...bounds]);
      const rows = await sql.query<Row & TrimmedKind>(TRIM, [now, firstDay, ...bounds]);
      return saveSizes(sql, rows);
    });
  return {
    async save(tokens) {
      try {
        await save(tokens);
      } catch (error) {
        if (error instanceof CellpassError) throw error;
        // Another replica may have dropped the partitions.
        days.clear();
        await save(tokens);
      }
    },
    async trim({ days: keep, ...most }, now) {
      await prepare(dayOf(now));
      await prepare(dayOf(new Date(now.getTime() + DAY_MS)));
      return trimTo(now, dayOf(new Date(now.getTime() - keep * DAY_MS)), most);
    },
    measure: async (now) => (await readSizes(database)) ?? trimTo(now, '-infinity', UNBOUNDED),
  };
}

/** UTC, `yyyy-mm-dd`. */
function dayOf(time: Date): string {
  return time.toISOString().slice(0, 'yyyy-mm-dd'.length);
}

/** The credentials that the kind of authentication says. */
export const CREDENTIAL_BY_AUTH_TYPE: Partial<Record<AuthType, string>> = {
  none: 'anonymous',
  gitlab_or_ldap: 'password',
};

function saysCredential(authType: AuthType): boolean {
  return CREDENTIAL_BY_AUTH_TYPE[authType] !== undefined;
}

function toRow(token: IssuedToken): object {
  return {
    issued_at: token.issuedAt,
    jti: token.jti,
    kid: token.kid,
    subject: token.subject,
    auth_type: token.authType,
    service: token.service,
    access: token.access.map(printAccess),
    address: token.address,
    expires_at: token.expiresAt,
    request_id: token.requestId,
    cell: token.cell,
    tokens: 1 + (token.repeats?.count ?? 0),
    last_jti: token.repeats?.lastJti ?? null,
    last_issued_at: token.repeats?.lastIssuedAt ?? null,
    identity: token.identity?.name ?? null,
    identity_issuer: token.identity?.issuer ?? null,
    identity_subject: token.identity?.subject ?? null,
    identity_jti: token.identity?.jti ?? null,
    // Most rows are shorter without what `auth_type` says.
    credential: saysCredential(token.authType) ? null : (token.credential ?? null),
  };
}
