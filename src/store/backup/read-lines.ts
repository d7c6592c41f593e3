import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { CellpassError } from '../../errors.ts';
import {
  altered,
  type BackupHeader,
  type BackupLine,
  cutOff,
  LineCounter,
  noBackup,
  parseHeader,
  parseLine,
} from './format.ts';

/** A backup as it is read, once, from its beginning to its end. */
export interface OpenBackup {
  readonly header: BackupHeader;
  /** Throws `invalid` after the last line where the backup isn't whole: use nothing before. */
  readonly lines: AsyncIterable<BackupLine>;
}

interface CheckedBackup {
  readonly header: BackupHeader;
  /** By table. */
  readonly rows: Readonly<Record<string, number>>;
}

/**
 * Opens the backup in a file. Its lines are read while they are asked for; at most one line is in
 * memory.
 * @throws {CellpassError} `invalid` for a file that can't be read or is no backup.
 */
export async function openBackup(file: string): Promise<OpenBackup> {
  await assertFile(file);
  const lines = linesOf(file);
  const first = await lines.next();
  if (first.done === true) throw noBackup('it is empty');
  const header = parseHeader(first.value);
  return { header, lines: checkedLines(lines, first.value) };
}

/**
 * Reads a backup to its end, and uses nothing of it.
 * @throws {CellpassError} `invalid` when it is cut off, changed, or no backup.
 */
export async function checkBackup(file: string): Promise<CheckedBackup> {
  const { header, lines } = await openBackup(file);
  const rows: Record<string, number> = {};
  for await (const line of lines) {
    if (line.kind === 'row') rows[line.table] = (rows[line.table] ?? 0) + 1;
  }
  return { header, rows };
}

async function* checkedLines(texts: AsyncIterable<string>, header: string): AsyncGenerator<BackupLine> {
  const counter = new LineCounter();
  counter.count(header, null);
  let hasEnded = false;
  for await (const text of texts) {
    if (hasEnded) throw altered();
    const line = parseLine(text);
    if ('end' in line) {
      counter.assertEnd(line);
      hasEnded = true;
      continue;
    }
    counter.count(text, line);
    yield line;
  }
  if (!hasEnded) throw cutOff();
}

/** A file is read more than once. Whether there is one shows when it is read. */
async function assertFile(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined || found.isFile() || found.isDirectory()) return;
  throw new CellpassError(
    'invalid',
    `${file} is a device, pipe or socket: copy the backup to a file, and name that`,
  );
}

/** More than any row takes: 64 MiB of text without a line feed are no backup. */
const LONGEST_LINE = 64 * 1024 * 1024;

/** The unpacked lines, without their line feeds. */
async function* linesOf(file: string): AsyncGenerator<string> {
  // The parts of a line, joined at its end: joining them with each part takes minutes for a long line.
  let parts: string[] = [];
  let length = 0;
  for await (const text of unpacked(file)) {
    const [first = '', ...others] = text.split('\n');
    parts.push(first);
    length += first.length;
    if (length > LONGEST_LINE) throw noBackup('it has a line of more than 64 MiB');
    const rest = others.pop();
    if (rest === undefined) continue;
    yield parts.join('');
    yield* others;
    parts = [rest];
    length = rest.length;
  }
  if (length > 0) throw cutOff();
}

async function* unpacked(file: string): AsyncGenerator<string> {
  const isGzip = await beginsAsGzip(file);
  const source = createReadStream(file);
  const gunzip = createGunzip();
  source.on('error', (error) => gunzip.destroy(error));
  // The loop below throws it; without a listener, an error before the loop would end the process.
  gunzip.on('error', () => undefined);
  try {
    const size = await stat(file).then((stats) => stats.size);
    const decoder = new TextDecoder();
    for await (const chunk of source.pipe(gunzip)) yield decoder.decode(chunk, { stream: true });
    // zlib ignores what follows the end of its data.
    if (gunzip.bytesWritten !== size) throw altered();
  } catch (error) {
    throw readable(file, error, isGzip);
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}

/** RFC 1952 section 2.3.1. Bytes behind the end of the data can be taken for a second header. */
async function beginsAsGzip(file: string): Promise<boolean> {
  const start = createReadStream(file, { end: 1 });
  const read: Buffer[] = [];
  try {
    for await (const chunk of start) read.push(Buffer.from(chunk));
  } catch {
    return false;
  }
  return Buffer.concat(read).equals(Buffer.from([0x1f, 0x8b]));
}

function readable(file: string, error: unknown, isGzip: boolean): unknown {
  if (error instanceof CellpassError || !(error instanceof Error)) return error;
  const code = 'code' in error ? error.code : undefined;
  if (code === 'Z_BUF_ERROR') return cutOff(error);
  if (error.message === 'incorrect header check' && !isGzip) return noBackup('it is not a gzip file');
  if (typeof code === 'string' && code.startsWith('Z_')) return altered(error);
  return new CellpassError('invalid', `can't read ${file}: ${error.message}`, { cause: error });
}
