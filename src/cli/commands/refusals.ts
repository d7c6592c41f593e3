import { Command } from 'commander';
import type { RefusalPageView, RefusalView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import { fetchPages } from '../client/fetch-pages.ts';
import { type PageFlags, readMoment, sayWhereToGoOn, withPageOptions } from '../client/option-values.ts';
import { shortener } from '../client/short-id.ts';
import { cuttable, printTableOr, whole } from '../client/table.ts';
import { toMinute } from '../client/time.ts';

interface RefusalOptions extends PageFlags {
  readonly subject?: string;
  readonly repository?: string;
  readonly reason?: string;
  readonly since?: string;
  readonly address?: string;
}

const EXAMPLES = `
Examples:
  cellpass refusals list --subject alice --since 1h        (why was alice refused?)
  cellpass refusals list --repository acme/app             (who was refused access to a repository?)
  cellpass refusals list --reason wrong_password --address 203.0.113.0/24
  cellpass explain --request ID                            (one of them, rule by rule)`;

export function refusalsCommand(terminal: Terminal): Command {
  const refusals = new Command('refusals').description(
    'show requests that were refused, or granted less than was asked',
  );
  const list = refusals
    .command('list')
    .description('list refused requests, and tokens with less than was asked, the latest first')
    .option('--subject <name>', 'of this user or deploy token, failed logins too; "" for anonymous clients')
    .option('--repository <path>', 'requests that asked for this repository')
    .option('--reason <code>', 'with this code, such as wrong_password or role; granted_less for every part')
    .option('--since <time>', 'at this time or later, such as 1h, 7d, 2027-01-31', readMoment)
    .option('--address <address>', 'from this IP address, or from a range such as 10.0.0.0/8');
  withAdminOptions(withPageOptions(list))
    .addHelpText('after', EXAMPLES)
    .action(async (options: RefusalOptions) => {
      const { refusals: shown, next } = await showAnswer(terminal, options, {
        fetch: (client) => fetchRefusals(client, options),
        print: ({ refusals }) => printRefusals(refusals),
      });
      sayWhereToGoOn(terminal, `the latest ${shown.length}`, next);
    });
  return refusals;
}

async function fetchRefusals(client: AdminClient, options: RefusalOptions): Promise<RefusalPageView> {
  const { subject, repository, reason, since, address, limit, after } = options;
  const filter = {
    ...(subject !== undefined && { subject }),
    ...(repository !== undefined && { repository }),
    ...(reason !== undefined && { reason }),
    ...(since !== undefined && { since }),
    ...(address !== undefined && { address }),
  };
  const { entries, ...place } = await fetchPages(
    limit,
    async (place) => {
      const query = { ...filter, ...place };
      const page = dataOf(await client.api.GET('/admin/v1/refusals', { params: { query } }));
      return { entries: page.refusals, next: page.next };
    },
    after,
  );
  return { refusals: entries, ...place };
}

const COLUMNS = [
  whole('TIME'),
  whole('STATUS'),
  cuttable('SUBJECT'),
  cuttable('FROM'),
  cuttable('REASON'),
  cuttable('ASKED'),
  whole('REQUEST'),
];

function printRefusals(refusals: readonly RefusalView[]): string {
  const shortRequest = shortener(refusals.map(({ request_id }) => request_id));
  const rows = refusals.map((refusal) => [
    toMinute(refusal.time),
    String(refusal.status),
    describeSubject(refusal),
    refusal.address || '-',
    refusal.reason,
    refusal.asked.join(' ') || '-',
    shortRequest(refusal.request_id),
  ]);
  return printTableOr('no refusal matches', COLUMNS, rows);
}

/** In brackets where the login failed: it may have been another person. */
function describeSubject({ subject, account }: RefusalView): string {
  if (subject !== null) return subject || '-';
  return account === undefined ? '?' : `(${account})`;
}
