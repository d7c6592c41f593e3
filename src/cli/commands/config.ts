import { Command } from 'commander';
import { withOwnIssuer } from '../../cells/own-issuer.ts';
import { type ListedSetting, listSettings } from '../../config/list-settings.ts';
import { type Config, loadConfig } from '../../config/load.ts';
import { describeUnknownVariable } from '../../config/sources.ts';
import type { Terminal } from '../../terminal.ts';
import { toJsonLine } from '../client/admin-command.ts';
import { cuttable, printTable, whole } from '../client/table.ts';

export function configCommand(terminal: Terminal): Command {
  const config = new Command('config').description('the settings of this server');
  config
    .command('show')
    .description('list every setting, its value (secrets masked) and where it comes from; needs no server')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) => {
      const config = loadConfig(terminal.environment);
      const settings = withOwnIssuerOf(config, listSettings(terminal.environment));
      for (const name of config.unknownVariables)
        terminal.stderr(`warning: not a setting: ${describeUnknownVariable(name)}\n`);
      terminal.stdout(json ? toJsonLine({ settings: settings.map(toView) }) : printSettings(settings));
    });
  return config;
}

/** The issuer that `cells.yaml` gives this cell, as the server reads it. */
function withOwnIssuerOf(config: Config, settings: readonly ListedSetting[]): readonly ListedSetting[] {
  const { issuer } = withOwnIssuer(config);
  if (issuer === config.issuer) return settings;
  return settings.map((setting) =>
    setting.name === 'issuer' ? { ...setting, value: issuer, source: 'file', place: 'cells_file' } : setting,
  );
}

function toView({ name, value, source }: ListedSetting): Omit<ListedSetting, 'place'> {
  return { name, value, source };
}

const COLUMNS = [whole('SETTING'), cuttable('VALUE'), cuttable('SOURCE')];

function printSettings(settings: readonly ListedSetting[]): string {
  return printTable(
    COLUMNS,
    settings.map(({ name, value, source, place }) => [
      name,
      printValue(value),
      place === null ? source : `${source} (${place})`,
    ]),
  );
}

function printValue(value: unknown): string {
  if (value === null) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
