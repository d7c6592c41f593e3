import type { Command } from 'commander';
import type { Terminal } from '../../../terminal.ts';
import { dataOf } from '../../client/admin-client.ts';
import { adminUrlOption } from '../../client/admin-route.ts';
import { readTextFile } from '../../client/read-file.ts';
import { type StepFlags, takeStep } from './outcome.ts';

/** The commands that change the CA, which registries trust for years. */
export function addAuthorityCommands(keys: Command, terminal: Terminal): void {
  keys
    .command('stage-ca')
    .description('make a new CA, exported beside the old one and issuing nothing yet')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((flags: StepFlags) =>
      takeStep(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/authorities/stage'))),
    );
  keys
    .command('import-ca')
    .description('take over a CA, exported beside the old one and issuing nothing yet')
    .requiredOption('--pem <file>', 'its private key: EC P-256, or RSA of 2048 bits or more')
    .requiredOption('--cert <file>', 'its certificate')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ pem, cert, ...flags }: StepFlags & { readonly pem: string; readonly cert: string }) =>
      takeStep(terminal, flags, async ({ api }) => {
        const body = { key_pem: readTextFile(pem), certificate_pem: readTextFile(cert) };
        return dataOf(await api.POST('/admin/v1/authorities/import', { body }));
      }),
    );
  keys
    .command('activate-ca')
    .description('let the new CA issue, once every registry accepts it')
    .option('--force', 'although a registry may refuse every token')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((flags: StepFlags) =>
      takeStep(terminal, flags, async ({ api }) => {
        const body = { force: flags.force === true };
        return dataOf(await api.POST('/admin/v1/authorities/activate', { body }));
      }),
    );
  keys
    .command('discard-ca')
    .description('drop the new CA before it issues')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((flags: StepFlags) =>
      takeStep(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/authorities/discard'))),
    );
}
