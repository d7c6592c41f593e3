import { Command } from 'commander';
import type { IssuedTokenPageView, IssuedTokenView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf, withAdmin } from '../client/admin-client.ts';
import { type AdminFlags, adminUrlOption } from '../client/admin-route.ts';
import { limitOption, readMoment } from '../client/option-values.ts';
import { fetchPages } from '../client/pages.ts';
import { printTable } from '../client/table.ts';

interface AuditOptions extends AdminFlags {
  readonly jti?: string;
  readonly subject?: string;
  readonly kid?: string;
  readonly repository?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: number;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  cellpass audit --repository acme/app --since 1h          (who got a token for it in the last hour)
  cellpass audit --kid KID --since 30d --limit 1000000     (what a key signed; "keys list" has ids)
  cellpass audit --subject alice --since 2027-01-31 --until 2027-02-01T12:00:00Z --json`;

export function auditCommand(terminal: Terminal): Command {
  return new Command('audit')
    .description('the record of issued tokens, the latest first; never the tokens themselves')
    .option('--jti <id>', 'the token with this id')
    .option('--subject <name>', 'tokens of this user or deploy token; "" for nobody')
    .option('--kid <id>', 'tokens that this key signed')
    .option('--repository <path>', 'tokens that grant something of this repository')
    .option(
      '--since <time>',
      'from this moment on, such as 1h, 7d, 2027-01-31 (default: 24 h ago)',
      readMoment,
    )
    .option('--until <time>', 'before this moment (default: no end)', readMoment)
    .addOption(limitOption())
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .addHelpText('after', EXAMPLES)
    .action((options: AuditOptions) =>
      withAdmin(terminal, options, async (client) => {
        const page = await fetchIssued(client, options);
        terminal.stdout(options.json ? `${JSON.stringify(page)}\n` : printIssued(page.tokens));
        if (page.next === null) return;
        terminal.stderr(
          `these are the latest ${page.tokens.length}; for the others use --limit, or ask for less\n`,
        );
      }),
    );
}

function fetchIssued({ api }: AdminClient, options: AuditOptions): Promise<IssuedTokenPageView> {
  const { jti, subject, kid, repository, since, until, limit } = options;
  const filter = {
    ...(jti !== undefined && { jti }),
    ...(subject !== undefined && { subject }),
    ...(kid !== undefined && { kid }),
    ...(repository !== undefined && { repository }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
  };
  return fetchPages(limit, async (place) =>
    dataOf(await api.GET('/admin/v1/issued-tokens', { params: { query: { ...filter, ...place } } })),
  );
}

const HEADER = ['ISSUED', 'SUBJECT', 'BY', 'FROM', 'ACCESS', 'KID', 'JTI', 'REQUEST'];

function printIssued(tokens: readonly IssuedTokenView[]): string {
  const rows = tokens.map((token) => [
    token.issued_at,
    token.subject || '-',
    token.auth_type,
    token.address || '-',
    printAccess(token.access),
    token.kid,
    token.jti,
    token.request_id,
  ]);
  return printTable(HEADER, rows);
}

/** A token may grant something of 64 repositories, which no line is to hold. */
const MOST_SHOWN = 3;

/** `acme/app:pull,push acme/web:pull`, or `-`. */
function printAccess(access: IssuedTokenView['access']): string {
  const shown = access
    .slice(0, MOST_SHOWN)
    .map(
      ({ type, name, actions }) => `${type === 'repository' ? '' : `${type}:`}${name}:${actions.join(',')}`,
    );
  const more = access.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join(' ') || '-';
}
