import { CellpassError } from '../../errors.ts';
import type { AuthType } from '../../policy/subject.ts';
import type { Sql } from '../database/drivers.ts';

/** One issued token in the audit record, without the token itself. */
export interface IssuedToken {
  readonly jti: string;
  readonly kid: string;
  /** The verified name; empty for anonymous clients. */
  readonly subject: string;
  readonly authType: AuthType;
  readonly service: string;
  readonly access: readonly {
    readonly type: string;
    readonly name: string;
    readonly actions: readonly string[];
  }[];
  readonly address: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly requestId: string;
  readonly cell: number;
}

/** How much the records of known subjects, or of anonymous clients, take on disk. */
export interface AuditSize {
  readonly bytes: number;
  readonly bytesToday: number;
}

interface AuditSizes {
  readonly known: AuditSize;
  readonly anonymous: AuditSize;
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
   * Creates tomorrow's partition, and drops days that are too old or too much: whole days, the oldest
   * first, never today.
   */
  trim(retention: AuditRetention, now: Date): Promise<AuditSizes>;
  /** What is there, and drops nothing. */
  measure(now: Date): Promise<AuditSizes>;
}

const SAVE = {
  name: 'save-issued-tokens',
  text: `
INSERT INTO issued_tokens (issued_at, jti, kid, subject, auth_type, service, access, address, expires_at, request_id, cell)
SELECT issued_at, jti, kid, subject, auth_type, service, access, address, expires_at, request_id, cell
FROM json_to_recordset($1::json) AS issued (issued_at timestamptz, jti uuid, kid text, subject text, auth_type text, service text,
  access jsonb, address text, expires_at timestamptz, request_id uuid, cell integer)
ON CONFLICT DO NOTHING`,
};

const DAY_MS = 24 * 60 * 60 * 1000;
/** How many days are remembered whose partitions exist. */
const DAYS_REMEMBERED = 8;

type Bytes = Omit<AuditRetention, 'days'>;
const UNBOUNDED: Bytes = { knownBytes: Number.MAX_SAFE_INTEGER, anonymousBytes: Number.MAX_SAFE_INTEGER };

export function createIssuedTokens(sql: Sql): IssuedTokens {
  const days = new Set<string>();
  const prepare = async (day: string): Promise<void> => {
    if (days.has(day)) return;
    await sql.query('SELECT create_issued_tokens_partitions($1::date)', [day]);
    if (days.size >= DAYS_REMEMBERED) days.clear();
    days.add(day);
  };
  const save = async (tokens: readonly IssuedToken[]): Promise<void> => {
    for (const day of new Set(tokens.map(({ issuedAt }) => dayOf(issuedAt)))) await prepare(day);
    await sql.query(SAVE, [JSON.stringify(tokens.map(toRow))]);
  };
  const trim = async (now: Date, firstDay: string, most: Bytes): Promise<AuditSizes> => {
    const rows = await sql.query<{ parent: string; bytes: number; bytes_today: number }>(
      'SELECT parent, bytes, bytes_today FROM trim_issued_tokens($1::date, $2::date, $3, $4)',
      [dayOf(now), firstDay, most.knownBytes, most.anonymousBytes],
    );
    const sizeOf = (parent: string): AuditSize => {
      const row = rows.find((one) => one.parent === parent);
      return { bytes: row?.bytes ?? 0, bytesToday: row?.bytes_today ?? 0 };
    };
    return { known: sizeOf('issued_tokens_known'), anonymous: sizeOf('issued_tokens_anonymous') };
  };
  return {
    async save(tokens) {
      try {
        await save(tokens);
      } catch (error) {
        if (error instanceof CellpassError) throw error;
        // Another replica, whose clock is a day ahead, may have dropped the partitions.
        days.clear();
        await save(tokens);
      }
    },
    async trim({ days: keep, ...most }, now) {
      await prepare(dayOf(now));
      await prepare(dayOf(new Date(now.getTime() + DAY_MS)));
      return trim(now, dayOf(new Date(now.getTime() - keep * DAY_MS)), most);
    },
    measure: (now) => trim(now, '-infinity', UNBOUNDED),
  };
}

/** UTC, `yyyy-mm-dd`. */
function dayOf(time: Date): string {
  return time.toISOString().slice(0, 'yyyy-mm-dd'.length);
}

function toRow(token: IssuedToken): object {
  return {
    issued_at: token.issuedAt,
    jti: token.jti,
    kid: token.kid,
    subject: token.subject,
    auth_type: token.authType,
    service: token.service,
    access: token.access.map(({ type, name, actions }) => ({ type, name, actions })),
    address: token.address,
    expires_at: token.expiresAt,
    request_id: token.requestId,
    cell: token.cell,
  };
}
