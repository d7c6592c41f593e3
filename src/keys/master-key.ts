import { randomBytes, webcrypto } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { CellpassError } from '../errors.ts';

/** The key that encrypts private keys at rest. It holds its octets where nothing can print them. */
export interface MasterKey {
  /** The JWE names what it holds as `kid`, so that two rows can't be exchanged unnoticed. */
  encrypt(kid: string, plaintext: Uint8Array): Promise<string>;
  /** Throws `conflict` when this is not the key that encrypted it, or the JWE holds something else than `kid`. */
  decrypt(kid: string, jwe: string): Promise<Uint8Array>;
}

export interface LoadedMasterKey {
  readonly masterKey: RotatableMasterKey;
  /** One sentence each, for the log. */
  readonly warnings: readonly string[];
}

/** A master key that can be changed while servers run; see `cellpass keys rewrap`. */
export interface RotatableMasterKey extends MasterKey {
  /** The next master key: the one that lies ready beside the file, or a new one. Throws `invalid` if neither can be had. */
  prepareNext(): Promise<MasterKey>;
  /** Uses the next one from now on, and puts it in the place of the file; answers, for people, what there is left to do. */
  adoptNext(): Promise<string>;
}

const FILE_NAME = 'master.key';
const NEXT_NAME = 'master.key.next';
const OLD_NAME = 'master.key.old';
const KEY_BYTES = 32;
/** 32 octets in base64url without padding (RFC 4648 §5). */
const KEY_PATTERN = /^[A-Za-z0-9_-]{43}$/;
const ACCESSIBLE_TO_OTHERS = 0o077;

/**
 * Reads `master.key` in `keysDir`; a missing one is made only if `mayCreate` says that no key in the database depends on it.
 * An existing file is never written. Throws `conflict` if it is missing, `invalid` if it can't be read, written or used.
 */
export async function loadMasterKey(
  keysDir: string,
  { mayCreate }: { readonly mayCreate: boolean },
): Promise<LoadedMasterKey> {
  const file = resolve(keysDir, FILE_NAME);
  let text = await readIfPresent(file);
  if (text === undefined) {
    const next = await readKeyFile(resolve(keysDir, NEXT_NAME));
    if (next !== undefined) return { masterKey: createRotatableMasterKey(keysDir, next), warnings: [] };
    if (!mayCreate) throw new CellpassError('conflict', missing(file));
    await createKeyFile(keysDir, file);
    // Read back also what we wrote ourselves: another process may have been first, and its key is the one that counts.
    text = await readIfPresent(file);
  }
  const masterKey = await createMasterKey(parseKey(file, text ?? ''), file);
  return { masterKey: createRotatableMasterKey(keysDir, masterKey), warnings: await warningsAbout(file) };
}

/**
 * What doesn't open with the key at hand is tried with the files as they are by then: another server of this folder may have changed
 * the master key. Whichever opened something last is the one to encrypt with.
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
        throw new CellpassError('invalid', `cannot read ${nextFile}, which was just made`);
      return made;
    },
    async adoptNext() {
      current = (await readKeyFile(nextFile)) ?? current;
      try {
        await rm(resolve(keysDir, OLD_NAME), { force: true });
        await link(file, resolve(keysDir, OLD_NAME));
        await rename(nextFile, file);
        await syncDirectory(keysDir);
        return `every key is encrypted under the new ${file}: copy it to every other host of this cell before that host starts again; ${OLD_NAME} opens nothing but old backups: delete it when you have none`;
      } catch (error) {
        return `every key is encrypted under ${nextFile}, but it could not be put in the place of ${file} (${reasonOf(error)}): do so on every host of this cell before its next start`;
      }
    },
  };
}

async function readKeyFile(file: string): Promise<MasterKey | undefined> {
  const text = await readIfPresent(file);
  return text === undefined ? undefined : createMasterKey(parseKey(file, text), file);
}

/** `source` names the key in messages. */
export async function createMasterKey(octets: Uint8Array, source: string): Promise<MasterKey> {
  const key = await webcrypto.subtle.importKey('raw', octets, 'AES-GCM', false, ['encrypt', 'decrypt']);
  return {
    encrypt: (kid, plaintext) =>
      new CompactEncrypt(plaintext).setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid }).encrypt(key),
    async decrypt(kid, jwe) {
      const opened = await compactDecrypt(jwe, key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      }).catch((cause: unknown) => {
        throw new CellpassError('conflict', undecryptable(source, kid), { cause });
      });
      if (opened.protectedHeader['kid'] !== kid) {
        throw new CellpassError('conflict', exchanged(kid, String(opened.protectedHeader['kid'])));
      }
      return opened.plaintext;
    },
  };
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
  // The last character carries unused bits; encoding again shows whether somebody changed them.
  if (!KEY_PATTERN.test(encoded) || octets.toString('base64url') !== encoded) {
    throw new CellpassError('invalid', malformed(file));
  }
  return octets;
}

/** The whole key under a name of its own first, then linked: a reader sees all of it or nothing, and an existing file stays. */
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

async function warningsAbout(file: string): Promise<readonly string[]> {
  const { mode } = await stat(file);
  if ((mode & ACCESSIBLE_TO_OTHERS) === 0) return [];
  return [`the master key ${file} is open to other users: chmod 600 it, if nothing else guards it`];
}

const RECOVERY =
  'Restore the file from a backup, or copy it from another server of this cell. If it is lost, the stored keys are lost with it: ' +
  'the cell then needs an empty key store and a new CA, which every registry must be given.';

function missing(file: string): string {
  return `the master key ${file} is missing, but the database holds keys that were encrypted under it. ${RECOVERY}`;
}

function malformed(file: string): string {
  return `the master key ${file} is not ${KEY_BYTES} octets as base64url (43 characters). ${RECOVERY}`;
}

function undecryptable(source: string, kid: string): string {
  return `the stored key ${kid} does not open with the master key ${source}: it was encrypted under another one, or is damaged. ${RECOVERY}`;
}

function exchanged(kid: string, found: string): string {
  return `the stored key ${kid} holds the private half of ${found}: the database was changed from outside. Restore it from a backup.`;
}

function uncreatable(file: string, reason: string): string {
  return (
    `cannot make the master key ${file}: ${reason}. Make its folder writable for the first start, ` +
    `or put the file there: ${KEY_BYTES} random octets as base64url, for example from ` +
    `node -p "crypto.randomBytes(${KEY_BYTES}).toString('base64url')"`
  );
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
