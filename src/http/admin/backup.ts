import type { Readable } from 'node:stream';
import type { Middleware } from 'koa';
import { CellpassError } from '../../errors.ts';

/** A backup that is complete, as bytes of gzip. The reader destroys the stream, or reads it whole. */
interface FinishedBackup {
  readonly stream: Readable;
  readonly bytes: number;
}

export interface BackupResource {
  take(): Promise<FinishedBackup>;
}

/** Answers when the backup is complete, so that an error is an error and not half a file. */
export function takeBackup(backups: BackupResource): Middleware {
  let isTaking = false;
  return async (ctx) => {
    if (isTaking)
      throw new CellpassError('conflict', 'another backup is being taken: try again when it is done');
    isTaking = true;
    const { stream, bytes } = await backups.take().finally(() => {
      isTaking = false;
    });
    ctx.set('Cache-Control', 'no-store');
    ctx.type = 'application/gzip';
    ctx.length = bytes;
    ctx.body = stream;
  };
}
