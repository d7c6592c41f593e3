import { Command } from 'commander';
import { parse } from 'yaml';
import { checkDirectory } from '../../directory/check.ts';
import { CellpassError, type Problem } from '../../errors.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf, withAdmin } from '../client/admin-client.ts';
import { type AdminFlags, adminUrlOption, type JsonFlags } from '../client/admin-route.ts';
import { readTextFile } from '../client/read-file.ts';
import { printTable } from '../client/table.ts';

interface ApplyOptions extends AdminFlags {
  readonly file: string;
  readonly prune?: boolean;
  readonly json?: boolean;
}

export function directoryCommand(terminal: Terminal): Command {
  const directory = new Command('directory').description(
    'what cellpass knows of users, groups, projects and tokens',
  );
  directory
    .command('apply')
    .description('make the directory what the file says, in one transaction')
    .requiredOption('-f, --file <file>', 'the document; - for standard input')
    .option('--prune', 'remove entries that a section of the file no longer names')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((options: ApplyOptions) =>
      withAdmin(terminal, options, (client) => apply(terminal, client, options)),
    );
  directory
    .command('check')
    .description('report every problem in the file; needs no server')
    .requiredOption('-f, --file <file>', 'the document; - for standard input')
    .option('--json', 'print JSON')
    .action((options: ApplyOptions) => check(terminal, options));
  directory
    .command('export')
    .description('print the directory as a document, without secrets')
    .option('--json', 'print JSON, which apply and check read as well')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, (client) => exportDocument(terminal, client, json === true)),
    );
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
  if (options.json) {
    terminal.stdout(`${JSON.stringify(result)}\n`);
    return;
  }
  const rows = Object.entries(result.sections).map(([section, { added, changed, unchanged, removed }]) =>
    [section, added, changed, unchanged, removed].map(String),
  );
  terminal.stdout(printTable(['SECTION', 'ADDED', 'CHANGED', 'UNCHANGED', 'REMOVED'], rows));
  if (!result.changed) terminal.stdout('nothing changed\n');
}

function check(terminal: Terminal, { file, json }: ApplyOptions): void {
  const problems = checkDirectory(readDocument(file));
  if (json) terminal.stdout(`${JSON.stringify({ problems })}\n`);
  inFile(terminal, file, () => {
    if (problems.length > 0) throw new CellpassError('invalid', 'the document is wrong', { problems });
  });
  if (!json) terminal.stdout(`${file}: no problems\n`);
}

async function exportDocument({ stdout }: Terminal, { api }: AdminClient, json: boolean): Promise<void> {
  const document = dataOf(await api.GET('/admin/v1/directory', { parseAs: 'text' }));
  stdout(json ? `${JSON.stringify(parse(document))}\n` : document);
}

function readDocument(file: string): string {
  return readTextFile(file === '-' ? 0 : file);
}

/** Prints each problem with the file's name before it, in the form that editors jump to, and sums them up in the error. */
function inFile<T>({ stderr }: Terminal, file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const problems = error instanceof CellpassError ? (error.details.problems ?? []) : [];
    if (problems.length === 0) throw error;
    for (const problem of problems) stderr(`${file}:${describe(problem)}\n`);
    throw new CellpassError('invalid', `${file}: ${count(problems)}; nothing was changed`);
  }
}

function describe({ line, path, message }: Problem): string {
  return `${line ?? 1}: ${path === '' ? '' : `${path}: `}${message}`;
}

function count(problems: readonly Problem[]): string {
  return problems.length === 1 ? '1 problem' : `${problems.length} problems`;
}
