import { open, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { CellpassError } from '../../errors.ts';

/**
 * A new file takes the place of the old one, which must not be a device such as /dev/null: root would
 * take it from every program of the machine.
 * @throws {CellpassError} `invalid` when something else than a file has the name.
 */
export async function assertReplaceable(file: string): Promise<void> {
  if (file === '') throw new CellpassError('invalid', 'the name of the file is empty: name a file');
  const found = await stat(file).catch(() => undefined);
  if (found === undefined || found.isFile()) return;
  const kind = found.isDirectory() ? 'a folder' : 'a device, pipe or socket';
  throw new CellpassError('invalid', `${file} is ${kind}: name a file, or - for standard output`);
}

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
      // Unlike `write`, it goes on until the chunk is written or the disk is full.
      await handle.writeFile(chunk).catch((error: unknown) => {
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
