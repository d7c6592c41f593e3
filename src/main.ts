import { createInterface } from 'node:readline/promises';
import { CommanderError } from 'commander';
import { createProgram } from './cli/program.ts';
import { CellpassError } from './errors.ts';
import { escapeOutput } from './printable.ts';
import { shortened } from './shortened.ts';
import type { Terminal } from './terminal.ts';
import { readVersion } from './version.ts';

/** Runs the command in `argv` (without node and script) in this process, with its environment. */
export function main(argv: readonly string[]): Promise<number> {
  return runCommand(argv, {
    environment: process.env,
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    ...(process.stdin.isTTY && process.stderr.isTTY && { confirm }),
  });
}

/**
 * Runs one command, and escapes what it prints. Resolves with the exit code: 0 done, 1 refused or
 * failed, 2 wrong usage, or a dry run that would change something.
 */
export async function runCommand(argv: readonly string[], terminal: Terminal): Promise<number> {
  const escaping: Terminal = {
    ...terminal,
    stdout: (text) => terminal.stdout(escapeOutput(text)),
    stderr: (text) => terminal.stderr(escapeOutput(text)),
  };
  try {
    await createProgram(escaping, readVersion()).parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    return report(error, escaping);
  }
}

/** Only `y` and `yes` mean yes. */
async function confirm(question: string): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await reader.question(`${escapeOutput(question)} [y/N] `);
    return ['y', 'yes'].includes(answer.trim().toLowerCase());
  } finally {
    reader.close();
  }
}

function report(error: unknown, { stderr, confirm }: Terminal): number {
  // commander has already printed its message, or the help.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  // A script or a log gets one line.
  stderr(`cellpass: ${messageOf(error, confirm !== undefined)}\n`);
  if (error instanceof Error && !needsNoStack(error)) stderr(`${error.stack}\n`);
  return 1;
}

/** Messages of the system repeat values, too; problems are short already, and escaped ones longer. */
function messageOf(error: unknown, isForPerson: boolean): string {
  const message = escapeOutput(error instanceof Error ? error.message : String(error));
  if (!(error instanceof CellpassError)) return shortened(message);
  const { problems, longest, list } = error.details;
  if (isForPerson && list !== undefined && list.texts.length > 1) {
    return `${list.title}:\n  ${list.texts.join('\n  ')}`;
  }
  return problems === undefined ? shortened(message, longest) : message;
}

/**
 * A message that needs no stack: one of ours, or an error of the system such as a folder that can't
 * be written.
 */
function needsNoStack(error: Error): boolean {
  return error instanceof CellpassError || 'syscall' in error;
}
