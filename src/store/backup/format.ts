import { createHash, type Hash } from 'node:crypto';
import { CellpassError } from '../../errors.ts';

/**
 * The lines of a backup, which is a gzip file of them: a header, each row after the lines of the
 * tables before, the positions of the sequences, and an end that shows that nothing is missing.
 *
 * {"format":"cellpass-backup","version":1,"schema":"0018-admin-roles",…}
 * {"table":"users","row":{"id":11,…}}
 * {"sequence":"users_id_seq","last_value":11,"is_called":true}
 * {"end":true,"rows":{"users":1},"sequences":1,"sha256":"…"}
 */

const FORMAT = 'cellpass-backup';
/** A reader refuses higher versions. */
const FORMAT_VERSION = 1;

export interface BackupHeader {
  /** The name of the last migration of the database. */
  readonly schema: string;
  /** The version of the cellpass that wrote it. */
  readonly cellpass: string;
  /** ISO 8601. */
  readonly created_at: string;
  readonly cell: number;
  /** Names of the settings that were set; their values are not in a backup. */
  readonly settings: readonly string[];
}

export interface SequencePosition {
  readonly sequence: string;
  readonly last_value: number;
  readonly is_called: boolean;
}

/** A line of a backup between its header and its end. `json` is a row as PostgreSQL wrote it. */
export type BackupLine =
  | { readonly kind: 'row'; readonly table: string; readonly json: string }
  | { readonly kind: 'sequence'; readonly position: SequencePosition };

interface BackupEnd {
  readonly end: true;
  readonly rows: Readonly<Record<string, number>>;
  readonly sequences: number;
  /** Of all lines before, each with its line feed, in hex. */
  readonly sha256: string;
}

export function printHeader(header: BackupHeader): string {
  return JSON.stringify({ format: FORMAT, version: FORMAT_VERSION, ...header });
}

/** The row stays as PostgreSQL wrote it: JavaScript would round large numbers. */
export function printLine(line: BackupLine): string {
  if (line.kind === 'sequence') return JSON.stringify(line.position);
  return `{"table":${JSON.stringify(line.table)},"row":${line.json}}`;
}

/** @throws {CellpassError} `invalid` for a file that is no backup, or one of a later format. */
export function parseHeader(line: string): BackupHeader {
  const header = parseObject(line);
  if (header?.['format'] !== FORMAT) throw noBackup('it does not begin with the header of one');
  const { version, schema, cellpass, created_at, cell, settings } = header;
  if (typeof version !== 'number' || version < 1 || version > FORMAT_VERSION) {
    throw new CellpassError(
      'invalid',
      `the backup has format ${String(version)} of cellpass ${String(cellpass)}, and this version reads formats up to ${FORMAT_VERSION}: restore it with that version`,
    );
  }
  const isWhole =
    typeof schema === 'string' &&
    typeof cellpass === 'string' &&
    typeof created_at === 'string' &&
    typeof cell === 'number' &&
    Array.isArray(settings);
  if (!isWhole) throw noBackup('its header lacks fields');
  return { schema, cellpass, created_at, cell, settings: settings.map(String) };
}

const ROW = /^\{"table":"(?<table>[a-z_]+)","row":(?<json>\{.*\})\}$/s;

/** @throws {CellpassError} `invalid`. */
export function parseLine(line: string): BackupLine | BackupEnd {
  const { table, json } = ROW.exec(line)?.groups ?? {};
  if (table !== undefined && json !== undefined) return { kind: 'row', table, json };
  const found = parseObject(line);
  if (found?.['end'] === true) return toEnd(found);
  const { sequence, last_value, is_called } = found ?? {};
  const isPosition = typeof last_value === 'number' && Number.isSafeInteger(last_value) && last_value > 0;
  if (typeof sequence !== 'string' || !isPosition || typeof is_called !== 'boolean') throw altered();
  return { kind: 'sequence', position: { sequence, last_value, is_called } };
}

function toEnd({ rows, sequences, sha256 }: Readonly<Record<string, unknown>>): BackupEnd {
  if (
    typeof rows !== 'object' ||
    rows === null ||
    typeof sequences !== 'number' ||
    typeof sha256 !== 'string'
  )
    throw altered();
  return { end: true, rows: { ...rows }, sequences, sha256 };
}

/** Counts the lines of a backup, for its end. */
export class LineCounter {
  readonly #hash: Hash = createHash('sha256');
  readonly #rows = new Map<string, number>();
  #sequences = 0;

  /** @param line null: the header. */
  count(text: string, line: BackupLine | null): void {
    this.#hash.update(`${text}\n`);
    if (line?.kind === 'row') this.#rows.set(line.table, (this.#rows.get(line.table) ?? 0) + 1);
    if (line?.kind === 'sequence') this.#sequences += 1;
  }

  /** After the last line. */
  end(): BackupEnd {
    return {
      end: true,
      rows: Object.fromEntries(this.#rows),
      sequences: this.#sequences,
      sha256: this.#hash.digest('hex'),
    };
  }

  /** @throws {CellpassError} `invalid` when lines are missing, or were changed. */
  assertEnd(end: BackupEnd): void {
    const own = this.end();
    const counts = ({ rows, sequences }: BackupEnd): string =>
      JSON.stringify([Object.entries(rows).toSorted(([a], [b]) => (a < b ? -1 : 1)), sequences]);
    if (own.sha256 !== end.sha256 || counts(own) !== counts(end)) throw altered();
  }
}

export function cutOff(cause?: unknown): CellpassError {
  const message =
    'the backup ends before its last line, so a part of it is missing: copy it again, or take another one';
  return new CellpassError('invalid', message, cause === undefined ? {} : { cause });
}

export function altered(cause?: unknown): CellpassError {
  const message = 'the backup was changed or damaged after it was written: take another one';
  return new CellpassError('invalid', message, cause === undefined ? {} : { cause });
}

export function noBackup(reason: string): CellpassError {
  return new CellpassError('invalid', `this is not a backup of cellpass: ${reason}`);
}

function parseObject(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}
