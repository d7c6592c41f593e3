import { hash } from 'node:crypto';
import type { Statement } from '../../database/drivers.ts';
import type { Shape } from './shape.ts';

/** What a statement may be asked with. */
export interface Values {
  /** In lower case. */
  readonly paths: readonly string[];
  /** What `token_digest` may be. */
  readonly digests: readonly string[];
  /** What `token_encrypted` may be. */
  readonly encrypted: readonly string[];
  /** What the column `token` of an OAuth token may be. */
  readonly oauth: readonly string[];
  /** A user name or an e-mail address, in lower case. */
  readonly login: string;
  /** The partition of a job's row; null: unknown. */
  readonly partition: number | null;
  /** The id of a job; null: it is looked up by its token. */
  readonly jobId: number | null;
  readonly userId: number | null;
  readonly deployTokenId: number | null;
  /** The job's own project. */
  readonly jobProjectId: number | null;
  readonly tokenId: number | null;
  readonly deployTokenName: string | null;
  readonly projectIds: readonly number[];
  /** Of several subjects, in the same order as `deployTokenIds`. */
  readonly userIds: readonly (number | null)[];
  readonly deployTokenIds: readonly (number | null)[];
}

/** A statement and the values that it takes, in their order. */
export interface GitlabStatement extends Statement {
  readonly takes: readonly (keyof Values)[];
}

const TYPES: Readonly<Record<keyof Values, string>> = {
  paths: 'text[]',
  digests: 'text[]',
  encrypted: 'text[]',
  oauth: 'text[]',
  login: 'text',
  partition: 'bigint',
  jobId: 'bigint',
  userId: 'bigint',
  deployTokenId: 'bigint',
  jobProjectId: 'bigint',
  tokenId: 'bigint',
  deployTokenName: 'text',
  projectIds: 'bigint[]',
  userIds: 'bigint[]',
  deployTokenIds: 'bigint[]',
};

/**
 * Stands in a statement for the relation of the values, `given`. `OFFSET 0` hides the values from
 * the planner, so that it estimates the same with and without them, and keeps one plan for a
 * prepared statement; otherwise it would plan each request anew, which takes longer than all else.
 */
export const GIVEN = '/* the values */';

/** PostgreSQL cuts names after 63 characters. */
const DIGEST_LENGTH = 16;

/** How a part of a statement refers to a value. */
export type Refer = (value: keyof Values) => string;

/**
 * The name ends in a digest of the text: a connection keeps what it has prepared under a name, so the
 * same text must have the same name for ever, and another text another one.
 * @param text mentions `GIVEN` once.
 */
export function buildStatement(name: string, text: (refer: Refer) => string): GitlabStatement {
  const takes: (keyof Values)[] = [];
  const refer: Refer = (value) => {
    if (!takes.includes(value)) takes.push(value);
    return `given."${value}"`;
  };
  const body = text(refer);
  const columns = takes.map((value, at) => `$${at + 1}::${TYPES[value]} AS "${value}"`);
  const given = `(SELECT ${columns.join(', ') || 'true'} OFFSET 0) AS given`;
  const whole = body.replace(GIVEN, given);
  const digest = hash('sha256', whole, 'hex').slice(0, DIGEST_LENGTH);
  return { name: `gitlab-${name}-${digest}`, text: whole, isHot: true, takes };
}

export function valuesFor({ takes }: GitlabStatement, values: Partial<Values>): readonly unknown[] {
  return takes.map((name) => values[name] ?? null);
}

/** One expression, or what stands for it where this GitLab lacks the column. */
export const columnOr =
  (shape: Shape, table: string, alias: string) =>
  (column: string, otherwise: string): string =>
    shape.has(table, column) ? `${alias}.${column}` : otherwise;

/**
 * A column as `timestamptz`. Rails keeps UTC in columns without a zone, and GitLab has both kinds.
 */
export function inUtc(column: string): string {
  return `CASE pg_typeof(${column}) WHEN 'timestamp'::regtype THEN ${column}::timestamp AT TIME ZONE 'UTC'
    ELSE ${column}::timestamptz END`;
}
