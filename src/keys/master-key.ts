import { webcrypto } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { CellpassError } from '../errors.ts';

/** The key that encrypts the stored private keys. Its octets can't be printed. */
export interface MasterKey {
  /** The header of the JWE contains `kid`, so that exchanged rows are detected. */
  encrypt(kid: string, plaintext: Uint8Array): Promise<string>;
  /**
   * Throws `conflict` if another key encrypted the JWE, or if it contains the private half of
   * another `kid`.
   */
  decrypt(kid: string, jwe: string): Promise<Uint8Array>;
}

/** A master key that can be replaced while servers run; see `cellpass keys rewrap`. */
export interface RotatableMasterKey extends MasterKey {
  /** Reads `master.key.next`, or generates it. Throws `invalid` if that fails. */
  prepareNext(): Promise<MasterKey>;
  /**
   * Uses the next key and replaces the file by it. Returns a message that says what the admin must
   * do.
   */
  adoptNext(): Promise<string>;
}

/** Imports a key of 32 octets; `source` names it in messages. */
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

/** What an admin does about a master key that is missing or doesn't fit; the end of messages. */
export const RECOVERY = 'Restore the file from a backup. If it is lost, run "cellpass keys reset".';

function undecryptable(source: string, kid: string): string {
  return `the stored key ${kid} can't be decrypted with ${source}: another master key encrypted it, or it is damaged. ${RECOVERY}`;
}

function exchanged(kid: string, found: string): string {
  return `the stored key ${kid} contains the private half of ${found}: the database was changed from outside. Restore it from a backup.`;
}
