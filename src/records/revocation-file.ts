import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';
import { oneAfterAnother } from '../shares/one-after-another.ts';

/**
 * `revocations.jsonl` in the data directory: every revocation, beside the database. A backup from
 * before a revocation makes a token valid again; `cellpass restore --revocations` revokes it again.
 */

const REVOCATION_FILE = 'revocations.jsonl';

/** What was revoked. Secrets are named by the SHA-256 of the secret, in hex: ids may be reused. */
export type Revoked =
  | { readonly kind: 'token'; readonly id: string; readonly sha256: string }
  | { readonly kind: 'admin_token'; readonly id: number; readonly sha256: string }
  | { readonly kind: 'identity' | 'identity_restored'; readonly name: string }
  | {
      readonly kind: 'id_token';
      readonly issuer: string;
      readonly jti: string;
      readonly kept_until: string;
    }
  | { readonly kind: 'key'; readonly kid: string; readonly reason: string };

export type RevocationLine = Revoked & {
  /** ISO 8601. */
  readonly time: string;
  readonly actor: string;
};

export interface RevocationFile {
  /**
   * Adds a line each, and waits until the disk has them. Never rejects: the revocations have happened.
   * @returns a warning for the answer; null: the lines are written.
   */
  add(revoked: readonly Revoked[], actor: string): Promise<string | null>;
}

export function openRevocationFile(
  dataDir: string,
  { now, log }: { readonly now: () => Date; readonly log: Pick<Log, 'warn'> },
): RevocationFile {
  const file = join(dataDir, REVOCATION_FILE);
  const inTurn = oneAfterAnother();
  return {
    add: async (revoked, actor) => {
      if (revoked.length === 0) return null;
      const time = now().toISOString();
      const lines = revoked.map((one) => `${JSON.stringify({ time, actor, ...one })}\n`);
      try {
        await inTurn(() => append(file, lines.join('')));
        return null;
      } catch (error) {
        log.warn({ err: error }, `can't write ${REVOCATION_FILE}`);
        const reason = error instanceof Error ? error.message : String(error);
        return `this is revoked, but it could not be noted in ${file} (${reason}), so a restored backup would make it valid again: correct that, and revoke it once more`;
      }
    },
  };
}

/** Text that can't be written whole is taken back. */
async function append(file: string, lines: string): Promise<void> {
  const handle = await open(file, 'a', 0o600);
  try {
    const { size } = await handle.stat();
    try {
      await handle.writeFile(lines);
      await handle.datasync();
    } catch (error) {
      await handle.truncate(size).catch(() => undefined);
      throw error;
    }
  } finally {
    await handle.close();
  }
}

/**
 * The lines of such a file, or of several joined, in the order of their times.
 * @throws {CellpassError} `invalid` with the number of a line that can't be read.
 */
export async function readRevocations(file: string): Promise<readonly RevocationLine[]> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CellpassError('invalid', `can't read ${file}: ${reason}`, { cause: error });
  });
  const lines = text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const parsed = parseRevocation(line);
    if (parsed !== null) return [parsed];
    throw new CellpassError(
      'invalid',
      `line ${index + 1} of ${file} is no revocation: correct it, or remove it if it is cut off, and restore again`,
    );
  });
  return lines.toSorted((a, b) => Date.parse(a.time) - Date.parse(b.time));
}

const SHA256 = /^[0-9a-f]{64}$/;

function parseRevocation(text: string): RevocationLine | null {
  const line = parseObject(text);
  const { time, actor = '', kind } = line;
  if (typeof time !== 'string' || Number.isNaN(Date.parse(time)) || typeof actor !== 'string') return null;
  const revoked = toRevoked(kind, line);
  return revoked === null ? null : { time, actor, ...revoked };
}

function toRevoked(kind: unknown, line: Readonly<Record<string, unknown>>): Revoked | null {
  const { id, sha256, name, issuer, jti, kept_until, kid, reason } = line;
  const isDigest = typeof sha256 === 'string' && SHA256.test(sha256);
  switch (kind) {
    case 'token':
      return isDigest && typeof id === 'string' ? { kind, id, sha256 } : null;
    case 'admin_token':
      return isDigest && typeof id === 'number' ? { kind, id, sha256 } : null;
    case 'identity':
    case 'identity_restored':
      return typeof name === 'string' ? { kind, name } : null;
    case 'id_token': {
      const isWhole = typeof issuer === 'string' && typeof jti === 'string' && typeof kept_until === 'string';
      return isWhole && !Number.isNaN(Date.parse(kept_until)) ? { kind, issuer, jti, kept_until } : null;
    }
    case 'key':
      return typeof kid === 'string' && typeof reason === 'string' ? { kind, kid, reason } : null;
    default:
      return null;
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
