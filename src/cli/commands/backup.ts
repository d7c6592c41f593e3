import { randomUUID } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { isatty } from 'node:tty';
import { Command } from 'commander';
import { CellpassError } from '../../errors.ts';
import type { RestoreResult } from '../../server/offline/restore.ts';
import type { Terminal } from '../../terminal.ts';
import { withAdmin } from '../client/admin-client.ts';
import { toJsonLine, withAdminOptions } from '../client/admin-command.ts';
import type { AdminFlags, JsonFlags } from '../client/admin-route.ts';
import { assertReplaceable, writeToFile, writeToStdout } from '../client/write-bytes.ts';

const STDOUT = 1;

export function backupCommand(terminal: Terminal): Command {
  const backup = new Command('backup')
    .description(
      'write the directory, the encrypted keys, admin tokens and revocations of a running server to one file',
    )
    .argument('<file>', 'the file to write; - for standard output');
  return withAdminOptions(backup)
    .addHelpText('after', '\nThe file holds password hashes, and does not hold master.key: keep both, apart.')
    .action((file: string, { json, ...flags }: JsonFlags) =>
      file === '-'
        ? backUpToStdout(terminal, flags)
        : backUpToFile(terminal, { ...flags, file, json: json === true }),
    );
}

async function backUpToStdout(terminal: Terminal, flags: AdminFlags): Promise<void> {
  if (isatty(STDOUT))
    throw new CellpassError(
      'invalid',
      'a backup is not text for a terminal: name a file, or redirect the output',
    );
  await withAdmin(terminal, flags, async (client) =>
    writeToStdout(await client.download('/admin/v1/backup')),
  );
}

interface FileBackup extends AdminFlags {
  readonly file: string;
  readonly json: boolean;
}

/**
 * Replaces the file only when the new backup was read back whole. Nobody can know the name that it
 * has until then, and so put a link there that leads elsewhere.
 */
async function backUpToFile(terminal: Terminal, { file, json, ...flags }: FileBackup): Promise<void> {
  const { checkBackup } = await import('../../store/backup/read-lines.ts');
  await assertReplaceable(file);
  const partial = `${file}.${randomUUID()}.partial`;
  try {
    await withAdmin(terminal, flags, async (client) =>
      writeToFile(partial, await client.download('/admin/v1/backup')),
    );
    const { header, rows } = await checkBackup(partial);
    const { size: bytes } = await stat(partial);
    await rename(partial, file);
    terminal.stdout(
      json
        ? toJsonLine({ file, bytes, ...header, rows })
        : `wrote ${file}: ${total(rows)} rows, ${bytes} bytes, as of ${header.created_at}\n`,
    );
    if (!json)
      terminal.stderr('master.key is not in it: keep a copy of it, too, but not beside the backup\n');
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

interface RestoreOptions {
  readonly json?: boolean;
  readonly revocations?: string;
}

export function restoreCommand(terminal: Terminal): Command {
  return new Command('restore')
    .description(
      'write a backup into an empty database, and revoke again what was revoked since; stop the server, and copy master.key, first',
    )
    .argument('[file]', 'a file of "cellpass backup"')
    .option(
      '--revocations <file>',
      'revoke again what this file lists, which is revocations.jsonl in CELLPASS_DATA_DIR; also without a backup',
    )
    .option('--json', 'print JSON')
    .action(async (file: string | undefined, { json, revocations }: RestoreOptions, command: Command) => {
      if (file === undefined && revocations === undefined)
        command.error('error: name a backup, or --revocations with a file', { exitCode: 2 });
      const { restore } = await import('../../server/offline/restore.ts');
      const result = await restore(terminal, { file, revocations });
      terminal.stdout(json ? toJsonLine(result) : printRestored(result));
      for (const warning of result.warnings) terminal.stderr(`warning: ${warning}\n`);
    });
}

/** With a warning the server may have to wait. */
function printRestored({ rows, taken_at, revoked, warnings }: RestoreResult): string {
  const restored = rows === null ? '' : `restored ${total(rows)} rows, as of ${taken_at}\n`;
  const again = revoked === null ? '' : `revoked again: ${printCounts(revoked)}\n`;
  return `${restored}${again}${warnings.length === 0 ? 'start the server now\n' : ''}`;
}

function printCounts(counts: Readonly<Record<string, number>>): string {
  const named = Object.entries(counts).filter(([, count]) => count > 0);
  return named.map(([kind, count]) => `${count} ${kind.replace('_', ' ')}`).join(', ') || 'nothing';
}

function total(rows: Readonly<Record<string, number>>): number {
  return Object.values(rows).reduce((sum, count) => sum + count, 0);
}
