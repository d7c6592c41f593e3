/** The widest that a table gets, in characters. */
const MOST_COLUMNS = 120;
const GAP = '  ';
/** A column that is cut keeps at least this much, or its own width where that is less. */
const LEAST_WIDTH = 8;

export interface Column {
  readonly title: string;
  /** Whether cells stay whole: an id, a time or a state that is cut says nothing. */
  readonly whole?: boolean;
}

/** A column whose cells are never cut. */
export function whole(title: string): Column {
  return { title, whole: true };
}

/** A column whose long cells may be cut. */
export function cuttable(title: string): Column {
  return { title };
}

/** Prints a table for a terminal, 120 columns wide at the most: long cells end in `…`. */
export function printTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => row.map(printable))];
  const widths = fitWidths(
    columns,
    columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0))),
  );
  return lines.map((line) => `${printLine(line, widths)}\n`).join('');
}

/** A table, or a sentence in the place of one without rows, which would be a line of titles. */
export function printTableOr(
  sentence: string,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  return rows.length === 0 ? `${sentence}\n` : printTable(columns, rows);
}

/** A name in a cell must not move the cursor or end the line. */
function printable(cell: string): string {
  return cell.replace(/\p{Cc}/gu, '?');
}

/** Takes from the widest column that may be cut, until the table fits. */
function fitWidths(columns: readonly Column[], natural: readonly number[]): readonly number[] {
  const widths = [...natural];
  const total = (): number => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  for (let excess = total() - MOST_COLUMNS; excess > 0; excess -= 1) {
    const candidates = widths.map((width, at) => (columns[at]?.whole || width <= LEAST_WIDTH ? 0 : width));
    const widest = Math.max(...candidates);
    if (widest === 0) return widths;
    widths[candidates.indexOf(widest)] = widest - 1;
  }
  return widths;
}

function printLine(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, at) => cut(cell, widths[at] ?? 0).padEnd(widths[at] ?? 0))
    .join(GAP)
    .trimEnd();
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
