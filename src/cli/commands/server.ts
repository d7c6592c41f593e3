import { Command } from 'commander';
import type { Terminal } from '../../terminal.ts';

// What a server is made of is loaded when one is wanted: other commands start in a third of the time.

export function serveCommand(terminal: Terminal): Command {
  return new Command('serve')
    .description('migrate the database (unless CELLPASS_MIGRATE is false), listen, and drain on SIGTERM')
    .action(async () => {
      const { serve } = await import('../../server/process.ts');
      await serve(terminal);
    });
}

export function migrateCommand(terminal: Terminal): Command {
  const { stdout } = terminal;
  return new Command('migrate')
    .description('apply pending migrations; the embedded database must not be in use')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const { migrateDatabase } = await import('../../server/process.ts');
      const applied = await migrateDatabase(terminal);
      if (json) stdout(`${JSON.stringify({ applied })}\n`);
      else
        stdout(
          applied.length === 0 ? 'nothing to do\n' : applied.map((name) => `applied ${name}\n`).join(''),
        );
    });
}
