import type { Database, Row, Sql } from '../database/drivers.ts';
import { findSubjects, INSERT_FORMER_NAMES, idsOfSubjects } from './subjects.ts';

/** The record of changes of the directory. */

/** The fields of an entry, without secrets; null: there was no entry. */
type EntryFields = Readonly<Record<string, unknown>> | null;

/** One entry of one change, as administrators see it. */
export interface HistoryEntry {
  /** Of the change: all entries that changed together have the same. */
  readonly id: number;
  readonly time: Date;
  readonly who: string;
  readonly section: string;
  readonly name: string;
  readonly before: EntryFields;
  readonly after: EntryFields;
  /** The change that this one took back; null: it is no undo. */
  readonly undoOf: number | null;
}

export interface NewEntry {
  readonly section: string;
  readonly name: string;
  readonly before: EntryFields;
  readonly after: EntryFields;
  /** `section:name` in lower case; of a recorded entry also ids, such as `users#11`. */
  readonly subjects: readonly string[];
}

/** A row of the directory, with digests, before and after a change. */
export interface NewRow {
  readonly table: string;
  readonly before: object | null;
  readonly after: object | null;
}

export interface NewChange {
  readonly at: Date;
  readonly who: string;
  readonly undoOf?: number;
  readonly entries: readonly NewEntry[];
  readonly rows: readonly NewRow[];
}

/** Rows in one statement, as for the directory itself. */
const ROWS_PER_STATEMENT = 1000;

/** @returns the id of the change. */
export async function recordChange(
  sql: Pick<Sql, 'query'>,
  { at, who, undoOf, entries, rows }: NewChange,
): Promise<number> {
  const [change] = await sql.query<Row & { readonly id: number }>(
    'INSERT INTO history (at, who, undo_of) VALUES ($1, $2, $3) RETURNING id',
    [at, who, undoOf ?? null],
  );
  if (change === undefined) throw new Error('the change got no id');
  const { id } = change;
  await insert(sql, INSERT_ROWS, id, rows);
  await sql.query(INSERT_FORMER_NAMES, [id]);
  await insert(sql, INSERT_ENTRIES, id, entries);
  return id;
}

/** After the directory is written: names count as they were before and as they are after. */
const INSERT_ENTRIES = `
  WITH given AS (SELECT one, position FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY AS given (one, position)),
  subject AS (SELECT position AS place, jsonb_array_elements_text(one -> 'subjects') AS text FROM given),
  identified AS (SELECT place, text FROM subject UNION ${idsOfSubjects('former.change_id = $1')})
  INSERT INTO history_entries (change_id, position, section, name, before, after, subjects)
  SELECT $1, $2 + given.position, given.one ->> 'section', given.one ->> 'name',
    nullif(given.one -> 'before', 'null'), nullif(given.one -> 'after', 'null'), coalesce(found.texts, '{}')
  FROM given LEFT JOIN (SELECT place, array_agg(text) AS texts FROM identified GROUP BY place) AS found
    ON found.place = given.position`;
const INSERT_ROWS = `
  INSERT INTO history_rows (change_id, position, table_name, before, after)
  SELECT $1, $2 + given.position, given.one ->> 'table',
    nullif(given.one -> 'before', 'null'), nullif(given.one -> 'after', 'null')
  FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY AS given (one, position)`;

async function insert(
  sql: Pick<Sql, 'query'>,
  statement: string,
  id: number,
  list: readonly object[],
): Promise<void> {
  for (let from = 0; from < list.length; from += ROWS_PER_STATEMENT)
    await sql.query(statement, [id, from, JSON.stringify(list.slice(from, from + ROWS_PER_STATEMENT))]);
}

export interface HistoryQuestion {
  /**
   * `section:name` in lower case; all must be among what the change is about. A name stands for
   * each user, group or project that has it or had it, under all its names.
   */
  readonly subjects: readonly string[];
  readonly since: Date | null;
  /** The `next` of the page before. */
  readonly after: HistoryPlace | null;
  readonly limit: number;
}

/** The place of an entry, in the order of the history. */
export interface HistoryPlace {
  readonly id: number;
  readonly position: number;
}

interface HistoryRow extends Row {
  readonly id: number;
  readonly at: Date;
  readonly who: string;
  readonly undo_of: number | null;
  readonly position: number;
  readonly section: string;
  readonly name: string;
  readonly before: EntryFields;
  readonly after: EntryFields;
}

/** The newest change first; its entries in their order. */
const LIST = `
  SELECT history.id, history.at, history.who, history.undo_of, entry.position, entry.section, entry.name, entry.before, entry.after
  FROM history_entries AS entry JOIN history ON history.id = entry.change_id
  WHERE ($1::timestamptz IS NULL OR history.at >= $1)
    AND ($2::bigint IS NULL OR history.id < $2 OR (history.id = $2 AND entry.position > $3))
    AND ($5::text[] IS NULL OR entry.subjects && $5) AND ($6::text[] IS NULL OR entry.subjects && $6)
    AND ($7::text[] IS NULL OR entry.subjects && $7)
  ORDER BY history.id DESC, entry.position LIMIT $4`;

export async function listHistory(
  sql: Pick<Sql, 'query'>,
  { subjects, since, after, limit }: HistoryQuestion,
): Promise<{ readonly entries: readonly HistoryEntry[]; readonly next: HistoryPlace | null }> {
  const [first = null, second = null, third = null] = await findSubjects(sql, subjects);
  const place = [after?.id ?? null, after?.position ?? 0];
  const found = await sql.query<HistoryRow>(LIST, [since, ...place, limit + 1, first, second, third]);
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return {
    entries: page.map(toEntry),
    next: found.length > limit && last !== undefined ? { id: last.id, position: last.position } : null,
  };
}

function toEntry({ at, undo_of, position, ...same }: HistoryRow): HistoryEntry {
  return { ...same, time: at, undoOf: undo_of };
}

/** A row of a recorded change; both sides as JSON text, or null. */
export interface RecordedRow {
  readonly table: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** A recorded change, whole. */
export interface RecordedChange {
  readonly entries: readonly NewEntry[];
  readonly rows: readonly RecordedRow[];
  /** The change that took this one back; null: none did. */
  readonly undoneBy: number | null;
}

/** Undefined: there is no such change, or it is too old. */
export async function findChange(sql: Pick<Sql, 'query'>, id: number): Promise<RecordedChange | undefined> {
  const [change] = await sql.query<Row & { readonly undone_by: number | null }>(
    `SELECT (SELECT undo.id FROM history AS undo WHERE undo.undo_of = history.id) AS undone_by
     FROM history WHERE id = $1`,
    [id],
  );
  if (change === undefined) return undefined;
  const entries = await sql.query<Row & NewEntry>(
    `SELECT section, name, before, after, to_jsonb(subjects) AS subjects
     FROM history_entries WHERE change_id = $1 ORDER BY position`,
    [id],
  );
  const rows = await sql.query<Row & RecordedRow>(
    `SELECT table_name AS "table", before::text AS before, after::text AS after FROM history_rows WHERE change_id = $1 ORDER BY position`,
    [id],
  );
  return { entries, rows, undoneBy: change.undone_by };
}

/** A token whose secret a change revoked. */
export interface RevokedByChange {
  /** Such as `access-12`. */
  readonly id: string;
  /** SHA-256 of the secret, in hex. */
  readonly sha256: string;
}

/** The tokens that a recorded change revoked, such as those that a document declares as revoked. */
export function findRevokedBy(sql: Pick<Sql, 'query'>, id: number): Promise<readonly RevokedByChange[]> {
  return sql.query<Row & RevokedByChange>(REVOKED_BY, [id]);
}

const REVOKED_BY = `
  WITH tokens AS (
    SELECT coalesce(after, before) ->> 'token_digest' AS digest,
      CASE table_name WHEN 'access_tokens' THEN 'access-' ELSE 'deploy-' END || (coalesce(after, before) ->> 'id') AS id
    FROM history_rows WHERE change_id = $1 AND table_name IN ('access_tokens', 'deploy_tokens'))
  SELECT substr(secret.after ->> 'token_digest', 3) AS sha256, coalesce(min(tokens.id), 'unknown') AS id
  FROM history_rows AS secret LEFT JOIN tokens ON tokens.digest = secret.after ->> 'token_digest'
  WHERE secret.change_id = $1 AND secret.table_name = 'revoked_secrets' AND secret.before IS NULL
  GROUP BY 1 ORDER BY 1`;

/** The first changes after this one that are about one of its entries. */
export async function findLaterChanges(sql: Pick<Sql, 'query'>, id: number): Promise<readonly number[]> {
  const rows = await sql.query<Row & { readonly id: number }>(
    `SELECT DISTINCT later.change_id AS id FROM history_entries AS later
     JOIN history_entries AS own ON own.change_id = $1 AND later.subjects && own.subjects
     WHERE later.change_id > $1 ORDER BY 1 LIMIT 3`,
    [id],
  );
  return rows.map((row) => row.id);
}

/** Deletes the changes from before `until`. */
export async function forgetHistory(database: Pick<Database, 'transaction'>, until: Date): Promise<void> {
  await database.transaction((sql) => sql.query('DELETE FROM history WHERE at < $1', [until]));
}
