import { Command, Option } from 'commander';
import { parse } from 'yaml';
import { readIssuerRules, readTokenDays } from '../../config/load.ts';
import { notUtf8 } from '../../config/utf8.ts';
import { checkDirectory } from '../../directory/check.ts';
import { invalidDocument } from '../../directory/document/problems.ts';
import { CellpassError, type Problem, printProblem } from '../../errors.ts';
import type { ApplyResult, EntryChangeView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf, withAdmin } from '../client/admin-client.ts';
import { showAnswer, toJsonLine, withAdminOptions } from '../client/admin-command.ts';
import type { AdminFlags, JsonFlags } from '../client/admin-route.ts';
import { maxRemovalsOption } from '../client/option-values.ts';
import { exitWouldChange, printChanges, refusedInJson } from '../client/print-changes.ts';
import { readFileBytes } from '../client/read-file.ts';
import { printTable, whole } from '../client/table.ts';

interface FileOptions extends JsonFlags {
  readonly file: string;
}

interface ApplyOptions extends FileOptions {
  readonly prune?: boolean;
  readonly merge?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly maxRemovals: number;
}

interface UndoOptions extends JsonFlags {
  readonly dryRun?: boolean;
}

const DRY_RUN = 'only print what would be changed: exit code 2 if there is something, 1 if it is refused';

export function directoryCommand(terminal: Terminal): Command {
  const directory = new Command('directory').description(
    'manage the directory: users, groups, projects and tokens',
  );
  withAdminOptions(
    directory
      .command('apply')
      .description(
        'apply a directory document: each entry is a whole declaration, unless --merge is given; all of it or nothing',
      )
      .requiredOption('-f, --file <file>', 'the document; - for standard input')
      .option('--prune', 'remove the entries that a section of the file no longer names')
      .addOption(
        new Option(
          '--merge',
          'an entry changes only the fields that it names; a list counts as a whole',
        ).conflicts('prune'),
      )
      .option('--dry-run', DRY_RUN)
      .option('--yes', 'do not ask')
      .addOption(maxRemovalsOption()),
  ).action((options: ApplyOptions) =>
    withAdmin(terminal, options, (client) => apply(terminal, client, options)),
  );
  withAdminOptions(
    directory
      .command('undo')
      .description('undo a change: what changed together comes back together, secrets included')
      .argument('<change-id>', 'the id that "cellpass history" shows')
      .option('--dry-run', DRY_RUN),
  ).action((id: string, options: UndoOptions) => undo(terminal, id, options));
  directory
    .command('check')
    .description('report every problem in a directory document by itself; needs no server')
    .requiredOption('-f, --file <file>', 'the document; - for standard input')
    .option('--json', 'print JSON')
    .action((options: FileOptions) => check(terminal, options));
  withAdminOptions(
    directory.command('export').description('print the directory as a document, without secrets'),
  ).action(({ json, ...flags }: JsonFlags) => exportDocument(terminal, flags, json === true));
  return directory;
}

/** One request: with its answer, or the answer of its dry run. */
type Request = (query: {
  readonly dry_run: boolean;
  readonly max_removals?: number;
  readonly preview?: string;
}) => Promise<ApplyResult>;

async function apply(terminal: Terminal, { api }: AdminClient, options: ApplyOptions): Promise<void> {
  const { file, prune = false, merge = false } = options;
  const document = readDocument(file);
  const request: Request = async (query) => {
    const answer = await api.POST('/admin/v1/directory', {
      params: { query: { prune, merge, ...query } },
      headers: { 'Content-Type': 'application/yaml' },
      body: document,
      bodySerializer: (text) => text,
    });
    return inFile(terminal, file, () => dataOf(answer));
  };
  // The document came from standard input, so nobody can answer a question there.
  const { confirm, ...noTerminal } = terminal;
  await applyAsAllowed(file === '-' ? noTerminal : terminal, request, options);
}

/** @throws {CellpassError} `conflict` when the change is refused, or a person said no. */
async function applyAsAllowed(terminal: Terminal, send: Request, options: ApplyOptions): Promise<void> {
  const { file, dryRun = false, yes = false, json = false, maxRemovals } = options;
  const limit = { max_removals: maxRemovals };
  const refused = (error: unknown): never => {
    throw refusedInJson(terminal, options, error);
  };
  const request: Request = (query) => send(query).catch(refused);
  const print = (result: ApplyResult): void => {
    warn(terminal, file, result.warnings);
    if (result.warning !== undefined) terminal.stderr(`warning: ${result.warning}\n`);
    terminal.stdout(json ? toJsonLine(result) : printResult(result));
  };
  if (yes && !dryRun) return print(await request({ dry_run: false }));
  const preview = (): Promise<ApplyResult> => request({ dry_run: true, ...(!yes && limit) });
  if (dryRun) {
    const result = await preview();
    print(result);
    if (result.refused !== null) throw refusal(result.refused);
    return result.changes.length > 0 ? exitWouldChange() : undefined;
  }
  if (terminal.confirm === undefined) {
    return print(
      await send({ dry_run: false, ...limit }).catch(async (error: unknown) => {
        if (!(error instanceof CellpassError) || error.code !== 'conflict') return refused(error);
        const result = await preview();
        if (result.refused === null) return refused(error);
        const list = printChanges(result.changes, result.more_changes);
        terminal.stdout(json ? toJsonLine(result) : list);
        throw refusal(result.refused);
      }),
    );
  }
  const { changes, more_changes: more, refused: reason, preview: shown } = await preview();
  if (changes.length > 0) {
    terminal.stderr(printChanges(changes, more));
    const question = reason === null ? 'apply this?' : `${reason}. Apply this?`;
    if (!(await terminal.confirm(question))) throw new CellpassError('conflict', 'nothing was applied');
  }
  // Something else may have changed the directory while the question stood there.
  print(await request({ dry_run: false, preview: shown }));
}

function refusal(reason: string): CellpassError {
  return new CellpassError('conflict', `nothing was applied: ${reason}; --yes applies it`);
}

async function undo(
  terminal: Terminal,
  id: string,
  { dryRun = false, ...options }: UndoOptions,
): Promise<void> {
  if (!/^[1-9][0-9]{0,14}$/.test(id))
    throw new CellpassError('invalid', `${id} is no id of a change: "cellpass history" shows them`);
  const { changes, refused } = await showAnswer(terminal, options, {
    fetch: async ({ api }) =>
      dataOf(
        await api.POST('/admin/v1/history/{id}/undo', {
          params: { path: { id: Number(id) }, query: { dry_run: dryRun } },
        }),
      ),
    print: (result) => printChanges(result.changes),
  }).catch((error: unknown) => {
    throw refusedInJson(terminal, options, error);
  });
  for (const { section, name } of changes.filter(comesBackRevoked))
    terminal.stderr(`${section} ${name} comes back as revoked: no undo makes a revoked token valid\n`);
  if (!dryRun) return;
  if (refused !== null) throw new CellpassError('conflict', refused);
  if (changes.length > 0) exitWouldChange();
}

function comesBackRevoked({ op, fields }: EntryChangeView): boolean {
  return op === '+' && fields.some(({ field, new: given }) => field === 'revoked' && given === true);
}

function warn({ stderr }: Terminal, file: string, warnings: readonly Problem[]): void {
  for (const { message, ...place } of warnings)
    stderr(`${file}:${describeProblem({ ...place, message: `warning: ${message}` })}\n`);
}

const COLUMNS = ['SECTION', 'ADDED', 'CHANGED', 'UNCHANGED', 'REMOVED'].map(whole);

function printResult({ changed, sections, changes, more_changes: more }: ApplyResult): string {
  const rows = Object.entries(sections).map(([section, counts]) =>
    [section, counts.added, counts.changed, counts.unchanged, counts.removed].map(String),
  );
  return `${printChanges(changes, more)}${printTable(COLUMNS, rows)}${changed ? '' : 'nothing changed\n'}`;
}

/** How messages about a name begin that neither the document nor the server has. */
const NOT_FOUND = 'there is no ';
const ONLY_THIS_DOCUMENT =
  'directory check knows only this document; "cellpass directory apply --dry-run" also knows what the server has\n';

function check(terminal: Terminal, { file, json }: FileOptions): void {
  const issuers = readIssuerRules(terminal.environment);
  const bytes = readBytes(file);
  const unreadable = notUtf8(bytes);
  const { problems, warnings } =
    unreadable === null
      ? checkDirectory(bytes.toString('utf8'), issuers, {
          now: new Date(),
          tokenDays: readTokenDays(terminal.environment),
        })
      : { problems: [{ line: 1, path: '', message: unreadable }], warnings: [] };
  if (json) terminal.stdout(toJsonLine({ problems, warnings }));
  warn(terminal, file, warnings);
  inFile(terminal, file, () => {
    if (problems.length === 0) return;
    if (problems.some(({ message }) => message.startsWith(NOT_FOUND))) terminal.stderr(ONLY_THIS_DOCUMENT);
    throw invalidDocument(problems);
  });
  if (!json) terminal.stdout(`${file}: no problems\n`);
}

async function exportDocument(terminal: Terminal, flags: AdminFlags, json: boolean): Promise<void> {
  const document = await withAdmin(terminal, flags, async ({ api }) =>
    dataOf(await api.GET('/admin/v1/directory', { parseAs: 'text' })),
  );
  terminal.stdout(json ? toJsonLine(parse(document)) : document);
}

function readBytes(file: string): Buffer {
  return readFileBytes(file === '-' ? 0 : file);
}

function readDocument(file: string): string {
  const bytes = readBytes(file);
  const unreadable = notUtf8(bytes);
  if (unreadable !== null) throw new CellpassError('invalid', `${file}:1: ${unreadable}`);
  return bytes.toString('utf8');
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

function describeProblem(problem: Problem): string {
  return `${problem.line ?? 1}: ${printProblem(problem)}`;
}
