import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** What tells one version of files from the next. */
export type FileVersions = readonly string[];

export interface WatchOptions {
  /** From before the files were read, so that a change while they are read counts, too. */
  readonly since: FileVersions;
  readonly intervalMs: number;
  readonly changed: () => void;
}

/** Call it before you read the files. */
export function versionsOf(files: readonly string[]): FileVersions {
  return files.map((file) => {
    try {
      return versionOf(statSync(file));
    } catch {
      return MISSING;
    }
  });
}

/**
 * Looks at files from time to time, also behind symbolic links, which watching a folder would not
 * follow. It keeps no process alive.
 * @returns ends it.
 */
export function watchFiles(
  files: readonly string[],
  { since, intervalMs, changed }: WatchOptions,
): () => void {
  let last = since.join();
  let isEnded = false;
  let isLooking = false;
  const look = async (): Promise<void> => {
    const now = (await Promise.all(files.map(currentVersion))).join();
    if (isEnded || now === last) return;
    last = now;
    changed();
  };
  const timer = setInterval(() => {
    // A slow disk: the last look is not done.
    if (isLooking) return;
    isLooking = true;
    void look().finally(() => {
      isLooking = false;
    });
  }, intervalMs).unref();
  return () => {
    isEnded = true;
    clearInterval(timer);
  };
}

const MISSING = 'missing';

function currentVersion(file: string): Promise<string> {
  return stat(file).then(versionOf, () => MISSING);
}

function versionOf({ dev, ino, size, mtimeMs, ctimeMs }: ReturnType<typeof statSync> & object): string {
  return [dev, ino, size, mtimeMs, ctimeMs].join(':');
}
