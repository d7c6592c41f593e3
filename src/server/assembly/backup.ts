import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, open, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createGzip } from 'node:zlib';
import { CellpassError } from '../../errors.ts';
import type { BackupResource } from '../../http/admin/backup.ts';
import { dumpBackup } from '../../store/backup/dump.ts';
import { readVersion } from '../../version.ts';
import type { ServerInputs } from './inputs.ts';

/**
 * Backups of a running server. One is first written to a file in the data directory, so that a slow
 * client holds no transaction open: on the embedded database, token requests wait for it.
 */
export function backupsOf({ config, database, now }: ServerInputs): BackupResource {
  const { dataDir, cell, settingNames: settings } = config;
  return {
    take: async () => {
      const file = await openNameless(dataDir);
      try {
        await fill(file, (write) =>
          dumpBackup(database, { cellpass: readVersion(), cell, settings, now: now() }, write),
        );
        const { size: bytes } = await file.stat();
        return { bytes, stream: file.createReadStream({ start: 0 }) };
      } catch (error) {
        await file.close();
        throw error;
      }
    },
  };
}

/** A file without a name, which nothing is left of when it is closed or the process is killed. */
async function openNameless(folder: string): Promise<FileHandle> {
  const name = join(folder, `backup-${randomUUID()}.tmp`);
  try {
    const file = await open(name, 'wx+', 0o600);
    await unlink(name);
    return file;
  } catch (error) {
    throw unwritable(error);
  }
}

/** Gives the file what `work` writes, packed, and as fast as the disk takes it. */
async function fill(
  file: FileHandle,
  work: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const gzip = createGzip();
  // A write stream would keep the file open for good: only the reader of the backup may close it.
  const written = writeFile(file, gzip).catch((error: unknown) => {
    throw unwritable(error);
  });
  // It is awaited at the end, and may fail before.
  written.catch(() => undefined);
  try {
    await work(async (text) => {
      if (!gzip.write(text)) await Promise.race([once(gzip, 'drain'), written]);
    });
    gzip.end();
    await written;
  } finally {
    gzip.destroy();
    await written.catch(() => undefined);
  }
}

function unwritable(error: unknown): CellpassError {
  const reason = error instanceof Error ? error.message : String(error);
  return new CellpassError(
    'unavailable',
    `the server can't write the backup to CELLPASS_DATA_DIR (${reason}): it needs room there for the whole file`,
    { cause: error },
  );
}
