import type { Command } from 'commander';
import { CellpassError } from '../../errors.ts';
import type { SingleChangeInput } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf } from './admin-client.ts';
import { showAnswer, withAdminOptions } from './admin-command.ts';
import type { JsonFlags } from './admin-route.ts';
import { exitWouldChange, printChanges, refusedInJson } from './print-changes.ts';
import { readTextFile } from './read-file.ts';

/** Options of every command that changes one entry. */
export interface ChangeFlags extends JsonFlags {
  readonly dryRun?: boolean;
}

export function withChangeOptions(command: Command): Command {
  return withAdminOptions(
    command.option('--dry-run', 'only print the change: exit code 2 if there is one, 1 if it is refused'),
  );
}

/** Makes one change and prints it. It is one change of the history. */
export async function makeChange(
  terminal: Terminal,
  { dryRun = false, ...flags }: ChangeFlags,
  change: SingleChangeInput,
): Promise<void> {
  const { changes } = await showAnswer(terminal, flags, {
    fetch: async ({ api }) =>
      inOneLine(() =>
        api
          .POST('/admin/v1/directory/changes', { params: { query: { dry_run: dryRun } }, body: change })
          .then(dataOf),
      ),
    print: (result) => (result.changes.length === 0 ? 'nothing changed\n' : printChanges(result.changes)),
  }).catch((error: unknown) => {
    throw refusedInJson(terminal, flags, error);
  });
  if (dryRun && changes.length > 0) exitWouldChange();
}

/** There is no file whose lines could be named: says what is wrong instead. */
async function inOneLine<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CellpassError) || error.details.problems === undefined) throw error;
    const problems = error.details.problems.map(({ path, message }) =>
      message.startsWith('there is') ? message : `${path.split('.').at(-1)} ${message}`,
    );
    throw new CellpassError('invalid', `nothing was changed: ${problems.join('; ')}`);
  }
}

/** GitLab's least, in characters. */
const SHORTEST_PASSWORD = 8;

/**
 * A password from standard input: an argument would be seen by other users of the machine. Warns of
 * a short one.
 * @throws {CellpassError} `invalid` when there is none.
 */
export function readPassword({ stderr }: Terminal): string {
  const password = readTextFile(0).replace(/\r?\n$/, '');
  if (password === '') throw new CellpassError('invalid', 'give the password on standard input');
  if (password.length < SHORTEST_PASSWORD) {
    stderr(
      `warning: the password has fewer than ${SHORTEST_PASSWORD} characters, so it can be guessed: set a longer one\n`,
    );
  }
  return password;
}
