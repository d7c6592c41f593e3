import { CommanderError } from 'commander';
import { isRecord } from '../../config/issues.ts';
import { CellpassError } from '../../errors.ts';
import type { EntryChangeView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { toJsonLine } from './admin-command.ts';

type FieldChange = EntryChangeView['fields'][number];

/**
 * One line for each entry that is added or removed, and for each field that changes:
 * `~ users alice: state active → blocked`.
 * @param more how many changes are not in the list.
 */
export function printChanges(changes: readonly EntryChangeView[], more = 0): string {
  const lines = changes.flatMap(linesOf);
  if (more > 0) lines.push(`… and ${more} more`);
  return lines.map((line) => `${line}\n`).join('');
}

function linesOf({ op, section, name, fields }: EntryChangeView): readonly string[] {
  const entry = `${op} ${section} ${name}`;
  return op === '~' ? fields.map((change) => `${entry}: ${printField(change)}`) : [entry];
}

function printField({ field, old, new: given }: FieldChange): string {
  return `${field} ${printValue(old)} → ${printValue(given)}`;
}

/** A list may have thousands of elements. */
const MOST_ELEMENTS = 10;

function printValue(value: unknown): string {
  if (value === null || value === undefined || value === '') return 'none';
  if (Array.isArray(value)) {
    const shown = value.slice(0, MOST_ELEMENTS).map(printElement).join(', ');
    const more = value.length > MOST_ELEMENTS ? ` and ${value.length - MOST_ELEMENTS} more` : '';
    return value.length === 0 ? 'none' : `[${shown}${more}]`;
  }
  return printElement(value);
}

/** The field that names an element of a list. */
const NAME_FIELDS = ['user', 'group', 'pattern'];

/**
 * Of an element with fields its values, the name first: `alice developer 2027-01-31`. The database
 * keeps the fields in another order than the document.
 */
function printElement(value: unknown): string {
  if (!isRecord(value)) return String(value);
  const names = NAME_FIELDS.filter((field) => field in value);
  const others = Object.keys(value).filter((field) => !NAME_FIELDS.includes(field));
  const values = [...names, ...others].map((field) => value[field]);
  const isFlat = values.every((one) => typeof one !== 'object');
  return isFlat ? values.map(String).join(' ') : JSON.stringify(value);
}

/** Ends a dry run with the exit code 2: there is something to do. */
export function exitWouldChange(): never {
  throw new CommanderError(2, 'cellpass.would_change', 'something would be changed');
}

/**
 * Prints a refusal of a change as JSON where `--json` asks for it, so that standard output is never
 * empty.
 * @returns the error, for the caller to throw.
 */
export function refusedInJson(
  { stdout }: Pick<Terminal, 'stdout'>,
  { json = false }: { readonly json?: boolean },
  error: unknown,
): unknown {
  if (json && isRefusal(error)) stdout(toJsonLine({ changes: [], refused: error.message }));
  return error;
}

/** The change does not fit the directory; any other error says nothing about the change. */
function isRefusal(error: unknown): error is CellpassError {
  return error instanceof CellpassError && ['conflict', 'not_found', 'invalid'].includes(error.code);
}
