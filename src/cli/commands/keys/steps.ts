import type { Command } from 'commander';
import type { Terminal } from '../../../terminal.ts';
import { dataOf } from '../../client/admin-client.ts';
import { adminUrlOption } from '../../client/admin-route.ts';
import { readTextFile } from '../../client/read-file.ts';
import { type StepFlags, takeStep } from './outcome.ts';

const FORCE = 'although a registry may refuse its tokens';

/** The commands that move a key from one state to the next. */
export function addKeySteps(keys: Command, terminal: Terminal): void {
  keys
    .command('stage')
    .description('make a key, published but not signing')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((flags: StepFlags) =>
      takeStep(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/keys/stage'))),
    );
  keys
    .command('activate [kid]')
    .description('let the pending key sign, and retire the one before')
    .option('--force', FORCE)
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((kid: string | undefined, flags: StepFlags) =>
      takeStep(terminal, flags, async ({ api }) => {
        const body = { ...(kid !== undefined && { kid }), force: flags.force === true };
        return dataOf(await api.POST('/admin/v1/keys/activate', { body }));
      }),
    );
  keys
    .command('rotate')
    .description('let the pending key sign and stage the next; without one, stage it')
    .option('--force', FORCE)
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((flags: StepFlags & { readonly dryRun?: boolean }) =>
      takeStep(terminal, flags, async ({ api }) => {
        const body = { force: flags.force === true, dry_run: flags.dryRun === true };
        return dataOf(await api.POST('/admin/v1/keys/rotate', { body }));
      }),
    );
  keys
    .command('retire <kid>')
    .description('drop a pending key')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((kid: string, flags: StepFlags) =>
      takeStep(terminal, flags, async ({ api }) =>
        dataOf(await api.POST('/admin/v1/keys/retire', { body: { kid } })),
      ),
    );
  addEmergency(keys, terminal);
}

function addEmergency(keys: Command, terminal: Terminal): void {
  keys
    .command('revoke <kid>')
    .description('take a key out of the JWK Set at once; of the active one, the pending one takes over')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((kid: string, { reason, ...flags }: StepFlags & { readonly reason: string }) =>
      takeStep(terminal, flags, async ({ api }) =>
        dataOf(await api.POST('/admin/v1/keys/revoke', { body: { kid, reason } })),
      ),
    );
  keys
    .command('import')
    .description('take over an RSA key that registries trust already, as pending')
    .requiredOption('--pem <file>', 'the private key, PKCS #1 or PKCS #8')
    .option('--cert <file>', 'its certificate, which tokens will show; without it they show none')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ pem, cert, ...flags }: StepFlags & { readonly pem: string; readonly cert?: string }) =>
      takeStep(terminal, flags, async ({ api }) => {
        const body = {
          key_pem: readTextFile(pem),
          ...(cert !== undefined && { certificate_pem: readTextFile(cert) }),
        };
        return dataOf(await api.POST('/admin/v1/keys/import', { body }));
      }),
    );
  keys
    .command('rewrap')
    .description('encrypt all private halves under a new master.key')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((flags: StepFlags) =>
      takeStep(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/keys/rewrap'))),
    );
}
