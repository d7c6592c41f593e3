import type { Command } from 'commander';
import { CellpassError } from '../../../errors.ts';
import type { ResetKeys } from '../../../server/offline/reset-keys.ts';
import type { Terminal } from '../../../terminal.ts';
import { toJsonLine } from '../../client/admin-command.ts';
import { actorName } from '../../client/admin-route.ts';

interface ResetOptions {
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** For a lost `master.key`; the only command of `keys` that needs the server to be stopped. */
export function addKeyReset(keys: Command, terminal: Terminal): void {
  keys
    .command('reset')
    .description(
      'make new keys and a new CA, because master.key is lost; stop the server first. Every registry must get the new CA',
    )
    .option('--yes', 'do not ask')
    .option('--json', 'print JSON')
    .action(async ({ yes, json }: ResetOptions) => {
      const { registriesToTell, resetKeys } = await import('../../../server/offline/reset-keys.ts');
      if (yes !== true) await ask(terminal, registriesToTell(terminal));
      const reset = await resetKeys(terminal, `cellpass keys reset (${actorName(terminal.environment)})`);
      terminal.stdout(json ? toJsonLine(reset) : printReset(reset));
    });
}

async function ask(terminal: Terminal, registries: readonly string[]): Promise<void> {
  const named = registries.length === 0 ? '' : ` (${registries.join(', ')})`;
  if (terminal.confirm === undefined)
    throw new CellpassError(
      'invalid',
      'this asks before it changes anything, and there is no terminal: use --yes',
    );
  const isSure = await terminal.confirm(
    `This deletes every key and CA of this cell. Every registry${named} refuses every token until it has the new CA.\nIf a copy of master.key is anywhere, stop here and copy it back: then nothing must be reset.\nReset the keys?`,
  );
  if (!isSure) throw new CellpassError('conflict', 'nothing was changed');
}

const GIVE: Readonly<Record<'ca' | 'key' | 'jwks', (kid: string) => string>> = {
  ca: () => 'cellpass keys export-ca      as its rootcertbundle',
  key: (kid) => `cellpass keys export-cert ${kid}`,
  jwks: () => 'cellpass keys export-jwks    as its jwks file',
};

function printReset({ kid, ca, deleted_keys, registries }: ResetKeys): string {
  const lines = registries.map(({ name, trusts }) => `  ${name}: ${GIVE[trusts ?? 'ca'](kid)}`);
  return [
    `${kid} is active, with the new CA ${ca}; ${deleted_keys} keys were deleted. Users, projects and tokens are as before.`,
    'Start the server, give each registry the output of its command, and restart the registry:',
    ...(lines.length === 0
      ? [
          '  trusts the CA:',
          `    ${GIVE.ca(kid)}`,
          '  trusts the JWK Set:',
          `    ${GIVE.jwks(kid)}`,
          '  trusts one key:',
          `    ${GIVE.key(kid)}`,
        ]
      : lines),
    'A registry router needs the output of "cellpass cells haproxy". Back up the new master.key.',
    '',
  ].join('\n');
}
