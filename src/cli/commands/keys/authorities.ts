import type { Command } from 'commander';
import type { Terminal } from '../../../terminal.ts';
import { dataOf } from '../../client/admin-client.ts';
import { withAdminOptions } from '../../client/admin-command.ts';
import { readPemPair } from '../../client/read-pem.ts';
import { type ChangeFlags, showChange } from './show-change.ts';

/** The commands that change the CA, which registries trust for years. */
export function addAuthorityCommands(keys: Command, terminal: Terminal): void {
  withAdminOptions(
    keys
      .command('stage-ca')
      .description('generate a pending CA: exported with the active CA, issuing no certificates yet'),
  ).action((flags: ChangeFlags) =>
    showChange(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/authorities/stage'))),
  );
  withAdminOptions(
    keys
      .command('import-ca')
      .description('import a CA as pending: exported with the active CA, issuing no certificates yet')
      .requiredOption(
        '--pem <file>',
        'its private key: EC P-256, or RSA of 2048 bits or more, as PEM or DER; - for standard input',
      )
      .requiredOption('--cert <file>', 'its certificate'),
  ).action(({ pem, cert, ...flags }: ChangeFlags & { readonly pem: string; readonly cert: string }) =>
    showChange(terminal, flags, async ({ api }) => {
      const body = readPemPair(pem, cert);
      return dataOf(await api.POST('/admin/v1/authorities/import', { body }));
    }),
  );
  withAdminOptions(
    keys
      .command('activate-ca')
      .description('let the pending CA issue certificates, once every registry accepts it')
      .option('--force', 'activate the CA even if a registry may refuse every token'),
  ).action((flags: ChangeFlags) =>
    showChange(terminal, flags, async ({ api }) => {
      const body = { force: flags.force === true };
      return dataOf(await api.POST('/admin/v1/authorities/activate', { body }));
    }),
  );
  withAdminOptions(keys.command('discard-ca').description('drop the pending CA')).action(
    (flags: ChangeFlags) =>
      showChange(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/authorities/discard'))),
  );
}
