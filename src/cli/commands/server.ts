import { Command } from 'commander';
import type { Terminal } from '../../terminal.ts';
import { toJsonLine } from '../client/admin-command.ts';

// The server's modules are loaded on demand, so that other commands start in a third of the time.

export function serveCommand(terminal: Terminal): Command {
  return new Command('serve')
    .description(
      'run the server: migrate the database (unless CELLPASS_MIGRATE is false), listen, drain on SIGTERM',
    )
    .action(async () => {
      const { serve } = await import('../../server/process.ts');
      await serve(terminal);
    });
}

export function migrateCommand(terminal: Terminal): Command {
  const { stdout } = terminal;
  return new Command('migrate')
    .description('apply pending migrations; stop the server first if it uses the embedded database')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const { migrateDatabase } = await import('../../server/process.ts');
      const applied = await migrateDatabase(terminal);
      stdout(json ? toJsonLine({ applied }) : printApplied(applied));
    });
}

function printApplied(names: readonly string[]): string {
  return names.length === 0 ? 'nothing to do\n' : names.map((name) => `applied ${name}\n`).join('');
}
