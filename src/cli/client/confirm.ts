import { createInterface } from 'node:readline/promises';
import { CellpassError } from '../../errors.ts';
import type { Terminal } from '../../terminal.ts';

/**
 * Asks on the terminal. True: the answer begins with y.
 * @throws {CellpassError} `invalid` where standard input is no terminal.
 */
export async function confirm({ stderr }: Pick<Terminal, 'stderr'>, question: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new CellpassError(
      'invalid',
      'this asks before it changes anything, and there is no terminal: use --yes',
    );
  }
  const lines = createInterface({ input: process.stdin, terminal: false });
  stderr(`${question} [y/N] `);
  try {
    for await (const answer of lines) return /^y/i.test(answer.trim());
    return false;
  } finally {
    lines.close();
  }
}
