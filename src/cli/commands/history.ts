import { Command } from 'commander';
import { toEntryChange } from '../../directory/preview/entry-changes.ts';
import type { HistoryEntryView, HistoryPageView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { fetchPages } from '../client/fetch-pages.ts';
import { type PageFlags, readMoment, withPageOptions } from '../client/option-values.ts';
import { printChanges } from '../client/print-changes.ts';
import { toMinute } from '../client/time.ts';

interface HistoryOptions extends JsonFlags, PageFlags {
  readonly user?: string;
  readonly group?: string;
  readonly project?: string;
  readonly since?: string;
}

const EXAMPLES = `
Examples:
  cellpass history --user alice --since 7d     (who changed the user, a membership or a token of hers)
  cellpass history --group acme --json
  cellpass directory undo 12                   (takes change 12 back)`;

/** `cellpass history`: who changed what in the directory. */
export function historyCommand(terminal: Terminal): Command {
  const history = new Command('history')
    .description('list who changed what in the directory, the latest first; never a secret')
    .option('--user <name>', 'changes that are about this user')
    .option('--group <path>', 'changes that are about this group')
    .option('--project <path>', 'changes that are about this project')
    .option('--since <time>', 'changes at this time or later, such as 1h, 7d, 2027-01-31', readMoment);
  return withAdminOptions(withPageOptions(history))
    .addHelpText('after', EXAMPLES)
    .action(async (options: HistoryOptions) => {
      const { changes, next } = await showAnswer(terminal, options, {
        fetch: (client) => fetchHistory(client, options),
        print: ({ changes }) => printHistory(changes),
      });
      if (changes.length === 0 && !options.json) terminal.stderr('no change was found\n');
      if (next !== undefined && !options.json) terminal.stderr(`there are more: add --after ${next}\n`);
    });
}

async function fetchHistory({ api }: AdminClient, options: HistoryOptions): Promise<HistoryPageView> {
  const { user, group, project, since, limit, after } = options;
  const filter = {
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
    ...(project !== undefined && { project }),
    ...(since !== undefined && { since }),
  };
  const { entries, ...place } = await fetchPages(
    limit,
    async (place) => {
      const query = { ...filter, ...place };
      const page = dataOf(await api.GET('/admin/v1/history', { params: { query } }));
      return { entries: page.changes, next: page.next };
    },
    after,
  );
  return { changes: entries, ...place };
}

/** Each change with its entries: `12  2027-01-31 12:00  admin token ci (3)`. */
function printHistory(changes: readonly HistoryEntryView[]): string {
  let last: number | null = null;
  return changes
    .map(({ id, time, who, undo_of: undone, ...entry }) => {
      const title = `change ${id}  ${toMinute(time)}  ${who}${undone === null ? '' : `  (undo of ${undone})`}\n`;
      const heading = id === last ? '' : title;
      last = id;
      return heading + printEntry(entry);
    })
    .join('');
}

function printEntry({ entry, before, after }: Pick<HistoryEntryView, 'entry' | 'before' | 'after'>): string {
  const { fields, ...change } = toEntryChange({ ...entry, before, after });
  return printChanges([{ ...change, fields: [...fields] }]);
}
