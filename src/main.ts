import { CommanderError } from 'commander';
import { createProgram } from './cli/program.ts';
import { CellpassError } from './errors.ts';
import { readVersion } from './version.ts';

/** argv → command → exit code: 0 done, 1 refused or failed, 2 wrong usage. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = createProgram(
    {
      environment: process.env,
      stdout: (text) => process.stdout.write(text),
      stderr: (text) => process.stderr.write(text),
    },
    readVersion(),
  );
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    return report(error);
  }
}

function report(error: unknown): number {
  // commander has printed its own message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  process.stderr.write(`cellpass: ${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof Error && !saysItAll(error)) process.stderr.write(`${error.stack}\n`);
  return 1;
}

/** What was written for people, or what the system refused, such as a folder that may not be written to. */
function saysItAll(error: Error): boolean {
  return error instanceof CellpassError || 'syscall' in error;
}
