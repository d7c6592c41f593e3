import { randomBytes } from 'node:crypto';
import { access, constants, link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CellpassError } from '../errors.ts';
import { createMasterKey, type MasterKey, RECOVERY, type RotatableMasterKey } from './master-key.ts';

/** The file of the master key: `master.key` in the folder of keys. */

export interface LoadedMasterKey {
  readonly masterKey: RotatableMasterKey;
  /** Sentences for the log. */
  readonly warnings: readonly string[];
}

const FILE_NAME = 'master.key';
const NEXT_NAME = 'master.key.next';
const OLD_NAME = 'master.key.old';
const KEY_BYTES = 32;
/** 32 octets in base64url without padding (RFC 4648 §5). */
const KEY_PATTERN = /^[A-Za-z0-9_-]{43}$/;
const ACCESSIBLE_TO_OTHERS = 0o077;
const WRITABLE_BY_EVERYBODY = 0o002;

/**
 * Reads `master.key` in `keysDir`. A missing file is generated only with `mayCreate`, which says
 * that no key in the database depends on it; an existing file is never overwritten. Throws
 * `conflict` if the file is missing, and `invalid` if it can't be read, written or used, or if
 * every user can replace it.
 */
export async function loadMasterKey(
  keysDir: string,
  { mayCreate }: { readonly mayCreate: boolean },
): Promise<LoadedMasterKey> {
  const file = resolve(keysDir, FILE_NAME);
  await refuseOpenFolder(keysDir);
  let text = await readIfPresent(file);
  if (text === undefined) {
    const next = await readKeyFile(resolve(keysDir, NEXT_NAME));
    if (next !== undefined) return { masterKey: createRotatableMasterKey(keysDir, next), warnings: [] };
    if (!mayCreate) throw new CellpassError('conflict', missing(file));
    await createKeyFile(keysDir, file);
    // Read the file even after writing it: another process may have written its key first.
    text = await readIfPresent(file);
  }
  const masterKey = await createMasterKey(parseKey(file, text ?? ''), file);
  return { masterKey: createRotatableMasterKey(keysDir, masterKey), warnings: await warningsAbout(file) };
}

/**
 * Finds what is wrong with the folder or the file before anything depends on them. A missing file
 * is no problem yet: whether it may be generated depends on the database.
 * @throws {CellpassError} `invalid`
 */
export async function checkMasterKeyFile(keysDir: string): Promise<void> {
  await refuseOpenFolder(keysDir);
  await readKeyFile(resolve(keysDir, FILE_NAME));
}

/**
 * If the current key can't decrypt something, it reloads the files and tries those keys, because
 * another server of this folder may have changed the master key. The key that decrypted last
 * encrypts.
 */
function createRotatableMasterKey(keysDir: string, first: MasterKey): RotatableMasterKey {
  const file = resolve(keysDir, FILE_NAME);
  const nextFile = resolve(keysDir, NEXT_NAME);
  let current = first;
  return {
    encrypt: (kid, plaintext) => current.encrypt(kid, plaintext),
    decrypt: (kid, jwe) =>
      current.decrypt(kid, jwe).catch(async (error: unknown) => {
        for (const name of [file, nextFile]) {
          const other = await readKeyFile(name).catch(() => undefined);
          const plaintext = await other?.decrypt(kid, jwe).catch(() => undefined);
          if (other === undefined || plaintext === undefined) continue;
          current = other;
          return plaintext;
        }
        throw error;
      }),
    async prepareNext() {
      const ready = await readKeyFile(nextFile);
      if (ready !== undefined) return ready;
      await createKeyFile(keysDir, nextFile);
      const made = await readKeyFile(nextFile);
      if (made === undefined)
        throw new CellpassError('invalid', `cannot read ${nextFile}, which was just written`);
      return made;
    },
    async adoptNext() {
      current = (await readKeyFile(nextFile)) ?? current;
      try {
        await rm(resolve(keysDir, OLD_NAME), { force: true });
        await link(file, resolve(keysDir, OLD_NAME));
        await rename(nextFile, file);
        await syncDirectory(keysDir);
        return `every key is encrypted with the new ${file}: copy it to every other host of this cell before that host restarts; ${OLD_NAME} decrypts only old backups: delete it together with them`;
      } catch (error) {
        return `every key is encrypted with ${nextFile}, but it could not be renamed to ${file} (${reasonOf(error)}): rename it on every host of this cell before its next start`;
      }
    },
  };
}

async function readKeyFile(file: string): Promise<MasterKey | undefined> {
  const text = await readIfPresent(file);
  return text === undefined ? undefined : createMasterKey(parseKey(file, text), file);
}

async function readIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new CellpassError('invalid', `cannot read the master key ${file}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function parseKey(file: string, text: string): Uint8Array {
  const encoded = text.trimEnd();
  const octets = Buffer.from(encoded, 'base64url');
  // The last character has unused bits, which must be zero: encoding again detects other values.
  if (!KEY_PATTERN.test(encoded) || octets.toString('base64url') !== encoded) {
    throw new CellpassError('invalid', malformed(file));
  }
  return octets;
}

/**
 * Writes a temporary file, then links it, so that readers see a complete file or none. An existing
 * file stays as it is.
 */
async function createKeyFile(keysDir: string, file: string): Promise<void> {
  const temporary = join(keysDir, `.${FILE_NAME}.${randomBytes(8).toString('hex')}`);
  try {
    await mkdir(keysDir, { recursive: true, mode: 0o700 });
    await writeDurably(temporary, `${randomBytes(KEY_BYTES).toString('base64url')}\n`);
    await link(temporary, file).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
    await syncDirectory(keysDir);
  } catch (error) {
    throw new CellpassError('invalid', uncreatable(file, reasonOf(error)), { cause: error });
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Who can write into the folder can put another master key there. Kubernetes mounts secrets with
 * mode 1777 on a read-only file system, which is safe.
 */
async function refuseOpenFolder(keysDir: string): Promise<void> {
  const stats = await stat(keysDir).catch(() => null);
  if (stats === null || (stats.mode & WRITABLE_BY_EVERYBODY) === 0) return;
  const problem: unknown = await access(keysDir, constants.W_OK).catch((error: unknown) => error);
  if (codeOf(problem) === 'EROFS') return;
  throw new CellpassError(
    'invalid',
    `CELLPASS_KEYS_DIR: every user of this machine can write to ${resolve(keysDir)}, and so replace the master key: run "chmod o-w" on it`,
  );
}

async function warningsAbout(file: string): Promise<readonly string[]> {
  const { mode } = await stat(file);
  if ((mode & ACCESSIBLE_TO_OTHERS) === 0) return [];
  return [
    `other users can read the master key ${file}: run "chmod 600" on it, unless something else protects it`,
  ];
}

function missing(file: string): string {
  return `the master key ${file} is missing, but the database contains keys that were encrypted with it. Restore the file from a backup, or correct CELLPASS_KEYS_DIR. If it is lost, run "cellpass keys reset".`;
}

function malformed(file: string): string {
  return `the master key ${file} is not ${KEY_BYTES} octets as base64url (43 characters). ${RECOVERY}`;
}

function uncreatable(file: string, reason: string): string {
  return (
    `cannot write the master key ${file}: ${reason}. Make its folder writable for the first start, ` +
    `or write the file yourself: ${KEY_BYTES} random octets as base64url, for example from ` +
    `node -p "crypto.randomBytes(${KEY_BYTES}).toString('base64url')"`
  );
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
