import { type Command, Option } from 'commander';
import type { Terminal } from '../../../terminal.ts';
import { dataOf } from '../../client/admin-client.ts';
import { withAdminOptions } from '../../client/admin-command.ts';
import { findKid } from '../../client/find-kid.ts';
import { readKeyPem, readPemPair } from '../../client/read-pem.ts';
import { rotateWhenAllowed } from './rotate-wait.ts';
import { type ChangeFlags, showChange } from './show-change.ts';

const FORCE = 'activate the key even if a registry may refuse its tokens';
const KID = 'the id of the key, either of the two, or its first 8 characters or more';

/** The commands of the ordinary life of a key: pending, active, dropped. */
export function addKeyChanges(keys: Command, terminal: Terminal): void {
  withAdminOptions(
    keys.command('stage').description('generate a pending key: published, not signing yet'),
  ).action((flags: ChangeFlags) =>
    showChange(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/keys/stage'))),
  );
  withAdminOptions(
    keys
      .command('activate')
      .description('let the pending key sign tokens, and retire the active key')
      .argument('[kid]', `${KID}; default: the pending key`)
      .option('--force', FORCE),
  ).action((id: string | undefined, flags: ChangeFlags) =>
    showChange(terminal, flags, async (client) => {
      const kid = id === undefined ? undefined : await findKid(client, id);
      const body = { ...(kid !== undefined && { kid }), force: flags.force === true };
      return dataOf(await client.api.POST('/admin/v1/keys/activate', { body }));
    }),
  );
  withAdminOptions(
    keys
      .command('rotate')
      .description('activate the pending key and stage the next one; without a pending key, stage one')
      .option('--force', FORCE)
      .addOption(
        new Option(
          '--wait',
          'stay until the pending key may sign, show what it waits for, and activate it',
        ).conflicts(['force', 'dryRun']),
      )
      .option('--dry-run', 'print what the command would do, and change nothing'),
  ).action(({ wait, ...flags }: ChangeFlags & { readonly dryRun?: boolean; readonly wait?: boolean }) =>
    showChange(terminal, flags, async (client) => {
      if (wait === true) return rotateWhenAllowed(terminal, client);
      const { api } = client;
      const body = { force: flags.force === true, dry_run: flags.dryRun === true };
      return dataOf(await api.POST('/admin/v1/keys/rotate', { body }));
    }),
  );
  withAdminOptions(keys.command('retire').description('drop a pending key').argument('<kid>', KID)).action(
    (id: string, flags: ChangeFlags) =>
      showChange(terminal, flags, async (client) => {
        const body = { kid: await findKid(client, id) };
        return dataOf(await client.api.POST('/admin/v1/keys/retire', { body }));
      }),
  );
}

/** The commands for a leaked key, for a key from elsewhere, and for the encryption of all keys. */
export function addRareKeyChanges(keys: Command, terminal: Terminal): void {
  withAdminOptions(
    keys
      .command('revoke')
      .description('take a key out of the JWK Set at once; the pending key replaces it if it was active')
      .argument('<kid>', KID)
      .requiredOption('--reason <text>', 'why, for the history of the keys'),
  ).action((id: string, { reason, ...flags }: ChangeFlags & { readonly reason: string }) =>
    showChange(terminal, flags, async (client) => {
      const body = { kid: await findKid(client, id), reason };
      return dataOf(await client.api.POST('/admin/v1/keys/revoke', { body }));
    }),
  );
  withAdminOptions(
    keys
      .command('import')
      .description('import an RSA key that registries already trust; it becomes the pending key')
      .requiredOption(
        '--pem <file>',
        'the private key: PKCS #1 or PKCS #8, as PEM or DER; - for standard input',
      )
      .option(
        '--cert <file>',
        'the certificate, or a chain of them, that tokens carry as x5c; without it they carry none',
      ),
  ).action(({ pem, cert, ...flags }: ChangeFlags & { readonly pem: string; readonly cert?: string }) =>
    showChange(terminal, flags, async ({ api }) => {
      const body = cert === undefined ? { key_pem: readKeyPem(pem) } : readPemPair(pem, cert);
      return dataOf(await api.POST('/admin/v1/keys/import', { body }));
    }),
  );
  withAdminOptions(
    keys.command('rewrap').description('encrypt all private keys under a new master.key'),
  ).action((flags: ChangeFlags) =>
    showChange(terminal, flags, async ({ api }) => dataOf(await api.POST('/admin/v1/keys/rewrap'))),
  );
}
