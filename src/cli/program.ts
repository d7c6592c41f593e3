import { Command } from 'commander';
import { shortened } from '../shortened.ts';
import type { Terminal } from '../terminal.ts';
import { adminTokenCommand } from './commands/admin-token.ts';
import { auditCommand } from './commands/audit.ts';
import { backupCommand, restoreCommand } from './commands/backup.ts';
import { cellsCommand } from './commands/cells.ts';
import { configCommand } from './commands/config.ts';
import { directoryCommand } from './commands/directory.ts';
import { doctorCommand } from './commands/doctor.ts';
import { groupCommand, memberCommand, projectCommand, userCommand } from './commands/entries.ts';
import { explainCommand } from './commands/explain.ts';
import { federationCommand } from './commands/federation.ts';
import { gitlabCommand } from './commands/gitlab.ts';
import { historyCommand } from './commands/history.ts';
import { keysCommand } from './commands/keys/keys.ts';
import { lockoutsCommand } from './commands/lockouts.ts';
import { whatCanCommand, whoCanCommand } from './commands/questions.ts';
import { refusalsCommand } from './commands/refusals.ts';
import { migrateCommand, serveCommand } from './commands/server.ts';
import { tokenCommand } from './commands/tokens.ts';

/**
 * Every command on one screen. Wrong usage, `--help` and `--version` throw commander's error; the
 * exit code of the last two is 0.
 */
export function createProgram(terminal: Terminal, version: string): Command {
  const program = new Command('cellpass')
    .description(
      "A token server for container registries: GitLab's /jwt/auth, with cells, key rotation and reasons",
    )
    .version(version)
    .exitOverride()
    .showHelpAfterError('(cellpass --help lists the commands)')
    .configureOutput({
      writeOut: terminal.stdout,
      writeErr: terminal.stderr,
      // commander repeats the argument that it refuses.
      outputError: (text, write) => write(`${shortened(text.trimEnd())}\n`),
    });
  program.addCommand(serveCommand(terminal));
  program.addCommand(migrateCommand(terminal));
  program.addCommand(directoryCommand(terminal));
  program.addCommand(userCommand(terminal));
  program.addCommand(memberCommand(terminal));
  program.addCommand(groupCommand(terminal));
  program.addCommand(projectCommand(terminal));
  program.addCommand(historyCommand(terminal));
  program.addCommand(tokenCommand(terminal));
  program.addCommand(keysCommand(terminal));
  program.addCommand(cellsCommand(terminal));
  program.addCommand(explainCommand(terminal));
  program.addCommand(whoCanCommand(terminal));
  program.addCommand(whatCanCommand(terminal));
  program.addCommand(federationCommand(terminal));
  program.addCommand(auditCommand(terminal));
  program.addCommand(refusalsCommand(terminal));
  program.addCommand(lockoutsCommand(terminal));
  program.addCommand(adminTokenCommand(terminal));
  program.addCommand(backupCommand(terminal));
  program.addCommand(restoreCommand(terminal));
  program.addCommand(gitlabCommand(terminal));
  program.addCommand(configCommand(terminal));
  program.addCommand(doctorCommand(terminal));
  inheritSettings(program);
  // Names alone: with their arguments, the descriptions would not wrap in 80 columns.
  return program.configureHelp({ subcommandTerm: (command) => command.name() });
}

/**
 * commander passes settings on only to commands that `command()` created, not to added commands.
 */
function inheritSettings(command: Command, path = command.name()): void {
  for (const child of command.commands) {
    const childPath = `${path} ${child.name()}`;
    const lists = child.commands.length > 0 ? 'lists the commands' : 'explains the options';
    child.copyInheritedSettings(command).showHelpAfterError(`(${childPath} --help ${lists})`);
    inheritSettings(child, childPath);
  }
}
