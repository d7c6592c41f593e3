/** The columns of a case file, in the order in which its first line names them. */
export const COLUMNS = [
  'case_id',
  'project_visibility',
  'registry_access_level',
  'principal',
  'role_on_project',
  'token_kind',
  'token_scopes',
  'requested',
  'granted',
  'http_status',
] as const;

export type Column = (typeof COLUMNS)[number];

/** One case as its row has it, before its words are interpreted. */
export type CaseRow = Readonly<Record<Column, string>>;

/** The file is no valid case file; the runner never drops rows silently. */
export class CaseFileError extends Error {}

/**
 * Reads a case file: RFC 4180, with a first line that names exactly `COLUMNS`; empty lines are
 * passed over.
 * @throws {CaseFileError} naming the line.
 */
export function readCases(text: string): readonly CaseRow[] {
  const [head, ...records] = readRecords(text.replace(/^\uFEFF/, ''));
  if (head === undefined || head.fields.join() !== COLUMNS.join())
    throw new CaseFileError(`line 1: must be ${COLUMNS.join()}`);
  if (records.length === 0) throw new CaseFileError('has no cases');
  const rows = records.map(toRow);
  const seen = new Set<string>();
  for (const { case_id: id } of rows) {
    if (seen.has(id)) throw new CaseFileError(`${id} stands there twice`);
    seen.add(id);
  }
  return rows;
}

interface CsvRecord {
  readonly line: number;
  readonly fields: readonly string[];
}

const FIELD = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/y;

function readRecords(text: string): readonly CsvRecord[] {
  const records: CsvRecord[] = [];
  let fields: string[] = [];
  let line = 1;
  let start = 1;
  FIELD.lastIndex = 0;
  while (FIELD.lastIndex < text.length || fields.length > 0) {
    const [whole, field, end] = FIELD.exec(text) ?? [];
    if (whole === undefined || field === undefined) throw new CaseFileError(`line ${line}: is not CSV`);
    fields.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field);
    line += whole.split('\n').length - 1;
    if (end === ',') continue;
    if (fields.join('').trim() !== '') records.push({ line: start, fields });
    fields = [];
    start = line;
  }
  return records;
}

function toRow({ line, fields }: CsvRecord): CaseRow {
  if (fields.length !== COLUMNS.length)
    throw new CaseFileError(`line ${line}: has ${fields.length} fields, not ${COLUMNS.length}`);
  const entries = COLUMNS.map((column, at) => [column, fields[at]?.trim() ?? '']);
  return Object.fromEntries(entries) as CaseRow;
}
