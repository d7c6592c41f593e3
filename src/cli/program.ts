import { Command } from 'commander';
import type { Surroundings } from '../terminal.ts';
import { adminTokenCommand } from './commands/admin-token.ts';
import { auditCommand } from './commands/audit.ts';
import { cellsCommand } from './commands/cells.ts';
import { directoryCommand } from './commands/directory.ts';
import { doctorCommand } from './commands/doctor.ts';
import { explainCommand } from './commands/explain.ts';
import { keysCommand } from './commands/keys/keys.ts';
import { migrateCommand, serveCommand } from './commands/server.ts';
import { tokenCommand } from './commands/tokens.ts';

/** Every command on one screen. Wrong usage throws commander's error, with exit code 0 where help or the version was asked for. */
export function createProgram(surroundings: Surroundings, version: string): Command {
  const program = new Command('cellpass')
    .description(
      "A token server for container registries: GitLab's /jwt/auth, with cells, key rotation and reasons",
    )
    .version(version)
    .exitOverride()
    .showHelpAfterError('(cellpass --help lists the commands)')
    .configureOutput({ writeOut: surroundings.stdout, writeErr: surroundings.stderr });
  program.addCommand(serveCommand(surroundings));
  program.addCommand(migrateCommand(surroundings));
  program.addCommand(directoryCommand(surroundings));
  program.addCommand(tokenCommand(surroundings));
  program.addCommand(keysCommand(surroundings));
  program.addCommand(cellsCommand(surroundings));
  program.addCommand(explainCommand(surroundings));
  program.addCommand(auditCommand(surroundings));
  program.addCommand(adminTokenCommand(surroundings));
  program.addCommand(doctorCommand(surroundings));
  return inherit(program);
}

/** commander gives settings only to commands that `command()` made; these were added. */
function inherit(command: Command): Command {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inherit(child);
  }
  return command;
}
