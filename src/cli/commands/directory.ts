import { Command } from 'commander';
import { parse } from 'yaml';
import { readIssuerRules } from '../../config/load.ts';
import { checkDirectory } from '../../directory/check.ts';
import { invalidDocument } from '../../directory/document/problems.ts';
import { CellpassError, type Problem } from '../../errors.ts';
import type { ApplyResult } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf, withAdmin } from '../client/admin-client.ts';
import { toJsonLine, withAdminOptions } from '../client/admin-command.ts';
import type { AdminFlags, JsonFlags } from '../client/admin-route.ts';
import { readTextFile } from '../client/read-file.ts';
import { printTable, whole } from '../client/table.ts';

interface FileOptions extends JsonFlags {
  readonly file: string;
}

interface ApplyOptions extends FileOptions {
  readonly prune?: boolean;
}

export function directoryCommand(terminal: Terminal): Command {
  const directory = new Command('directory').description(
    'manage the directory: users, groups, projects and tokens',
  );
  withAdminOptions(
    directory
      .command('apply')
      .description('apply a directory document to the server, in one transaction')
      .requiredOption('-f, --file <file>', 'the document; - for standard input')
      .option('--prune', 'remove the entries that a section of the file no longer names'),
  ).action((options: ApplyOptions) =>
    withAdmin(terminal, options, (client) => apply(terminal, client, options)),
  );
  directory
    .command('check')
    .description('report every problem in a directory document; needs no server')
    .requiredOption('-f, --file <file>', 'the document; - for standard input')
    .option('--json', 'print JSON')
    .action((options: FileOptions) => check(terminal, options));
  withAdminOptions(
    directory.command('export').description('print the directory as a document, without secrets'),
  ).action(({ json, ...flags }: JsonFlags) => exportDocument(terminal, flags, json === true));
  return directory;
}

async function apply(terminal: Terminal, { api }: AdminClient, options: ApplyOptions): Promise<void> {
  const answer = await api.POST('/admin/v1/directory', {
    params: { query: { prune: options.prune === true } },
    headers: { 'Content-Type': 'application/yaml' },
    body: readDocument(options.file),
    bodySerializer: (text) => text,
  });
  const result = inFile(terminal, options.file, () => dataOf(answer));
  warn(terminal, options.file, result.warnings);
  terminal.stdout(options.json ? toJsonLine(result) : printResult(result));
}

function warn({ stderr }: Terminal, file: string, warnings: readonly Problem[]): void {
  for (const { message, ...place } of warnings)
    stderr(`${file}:${describeProblem({ ...place, message: `warning: ${message}` })}\n`);
}

const COLUMNS = ['SECTION', 'ADDED', 'CHANGED', 'UNCHANGED', 'REMOVED'].map(whole);

function printResult({ changed, sections }: ApplyResult): string {
  const rows = Object.entries(sections).map(([section, counts]) =>
    [section, counts.added, counts.changed, counts.unchanged, counts.removed].map(String),
  );
  return `${printTable(COLUMNS, rows)}${changed ? '' : 'nothing changed\n'}`;
}

function check(terminal: Terminal, { file, json }: FileOptions): void {
  const { problems, warnings } = checkDirectory(readDocument(file), readIssuerRules(terminal.environment));
  if (json) terminal.stdout(toJsonLine({ problems, warnings }));
  warn(terminal, file, warnings);
  inFile(terminal, file, () => {
    if (problems.length > 0) throw invalidDocument(problems);
  });
  if (!json) terminal.stdout(`${file}: no problems\n`);
}

async function exportDocument(terminal: Terminal, flags: AdminFlags, json: boolean): Promise<void> {
  const document = await withAdmin(terminal, flags, async ({ api }) =>
    dataOf(await api.GET('/admin/v1/directory', { parseAs: 'text' })),
  );
  terminal.stdout(json ? toJsonLine(parse(document)) : document);
}

function readDocument(file: string): string {
  return readTextFile(file === '-' ? 0 : file);
}

/**
 * Prints the first problems as `file:line: …`, a form that editors can jump to.
 * @throws {CellpassError} `invalid` with the number of all problems.
 */
function inFile<T>({ stderr }: Terminal, file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof CellpassError) || error.details.problems === undefined) throw error;
    for (const problem of error.details.problems) stderr(`${file}:${describeProblem(problem)}\n`);
    throw new CellpassError('invalid', `${file}: ${error.message}`);
  }
}

function describeProblem({ line, path, message }: Problem): string {
  return `${line ?? 1}: ${path === '' ? '' : `${path}: `}${message}`;
}
