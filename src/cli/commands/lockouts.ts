import { Command } from 'commander';
import { parseAddress } from '../../addresses.ts';
import type { ClearedLockoutsView, LockoutPageView, LockoutView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { fetchPages } from '../client/fetch-pages.ts';
import { type PageFlags, sayWhereToGoOn, withPageOptions } from '../client/option-values.ts';
import { cuttable, printTableOr, whole } from '../client/table.ts';
import { toMinute } from '../client/time.ts';

const EXAMPLES = `
Examples:
  cellpass lockouts clear 192.0.2.7        (every account from this address)
  cellpass lockouts clear 2001:db8::7      (its whole /64 network, which counts as one address)
  cellpass lockouts clear alice            (alice, from every address)`;

export function lockoutsCommand(terminal: Terminal): Command {
  const lockouts = new Command('lockouts').description(
    'show and clear lockouts, which follow too many failed attempts to log in',
  );
  const list = lockouts
    .command('list')
    .description('list the addresses, and accounts from an address, that are locked out now');
  withAdminOptions(withPageOptions(list)).action(async (options: PageFlags) => {
    const { lockouts: shown, next } = await showAnswer(terminal, options, {
      fetch: (client) => fetchLockouts(client, options),
      print: printLockouts,
    });
    sayWhereToGoOn(terminal, `the latest ${shown.length}`, next);
  });
  const clear = lockouts
    .command('clear')
    .description('forget the failed attempts of an address or a user, who can log in at once')
    .argument('<address-or-user>', 'an IP address, or the name of a user');
  withAdminOptions(clear)
    .addHelpText('after', EXAMPLES)
    .action(async (target: string, flags: JsonFlags) => {
      await showAnswer(terminal, flags, {
        fetch: async ({ api }) =>
          dataOf(await api.POST('/admin/v1/lockouts/clear', { body: toInput(target) })),
        print: printCleared,
      });
    });
  return lockouts;
}

/** No name of a user has a colon or a slash. */
function toInput(target: string): { readonly address: string } | { readonly account: string } {
  const isAddress = parseAddress(target) !== null || /[:/]/.test(target);
  return isAddress ? { address: target } : { account: target };
}

async function fetchLockouts(
  { api }: AdminClient,
  { limit, after }: Pick<PageFlags, 'limit' | 'after'>,
): Promise<LockoutPageView> {
  const { entries, ...place } = await fetchPages(
    limit,
    async (place) => {
      const page = dataOf(await api.GET('/admin/v1/lockouts', { params: { query: place } }));
      return { entries: page.lockouts, next: page.next };
    },
    after,
  );
  return { lockouts: entries, ...place };
}

const COLUMNS = [cuttable('ADDRESS'), cuttable('ACCOUNT'), whole('FAILED'), whole('UNTIL')];

function printLockouts({ lockouts }: LockoutPageView): string {
  const rows = lockouts.map((lockout) => [
    lockout.address,
    describeAccount(lockout),
    String(lockout.failed),
    toMinute(lockout.until),
  ]);
  return printTableOr('no address and no account is locked out', COLUMNS, rows);
}

function describeAccount({ by, account }: LockoutView): string {
  if (by === 'address') return '(all)';
  return account ?? '(no such account)';
}

function printCleared({ cleared, address, account }: ClearedLockoutsView): string {
  const whom = account ?? address;
  if (cleared === 0)
    return account === undefined
      ? `${whom} is not locked out: nothing was changed\n`
      : `${whom} is not locked out by name: nothing was changed; see "cellpass lockouts list" for the address\n`;
  return `${whom} can log in again: ${cleared} ${cleared === 1 ? 'lockout was' : 'lockouts were'} cleared\n`;
}
