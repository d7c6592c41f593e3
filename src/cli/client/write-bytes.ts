import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { CellpassError } from '../../errors.ts';

/**
 * Writes a new file that only this user can read, and waits until the disk has it.
 * @throws {CellpassError} `invalid` with the name of the file.
 */
export async function writeToFile(file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((error: unknown) => {
    throw unwritable(file, error);
  });
  try {
    for await (const chunk of bytes) {
      await handle.write(chunk).catch((error: unknown) => {
        throw unwritable(file, error);
      });
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Waits for a reader that is slow. */
export async function writeToStdout(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await pipeline(bytes, process.stdout, { end: false });
}

function unwritable(file: string, error: unknown): CellpassError {
  const reason = error instanceof Error ? error.message : String(error);
  return new CellpassError('invalid', `can't write ${file}: ${reason}`, { cause: error });
}
