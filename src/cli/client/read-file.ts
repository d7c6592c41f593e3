import { readFileSync } from 'node:fs';
import { CellpassError } from '../../errors.ts';

/**
 * Reads the file that an argument names, as text.
 * @param file a path; 0: standard input.
 * @throws {CellpassError} `invalid` with the name of the file.
 */
export function readTextFile(file: string | 0): string {
  return readFileBytes(file).toString('utf8');
}

/** As `readTextFile`, of a file that may hold anything. */
export function readFileBytes(file: string | 0): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const name = file === 0 ? 'standard input' : file;
    throw new CellpassError('invalid', `can't read ${name}: ${reason}`, { cause });
  }
}
