import { Command, Option } from 'commander';
import type { TokenPage, TokenView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf, withAdmin } from '../client/admin-client.ts';
import { type AdminFlags, adminUrlOption, type JsonFlags } from '../client/admin-route.ts';
import { limitOption } from '../client/option-values.ts';
import { fetchPages } from '../client/pages.ts';
import { printTable } from '../client/table.ts';
import { addTokenCreate, TOKEN_KINDS } from './token-create.ts';

export function tokenCommand(terminal: Terminal): Command {
  const token = new Command('token').description('access tokens and deploy tokens');
  addTokenCreate(token, terminal);
  addTokenList(token, terminal);
  token
    .command('revoke <id>')
    .description('refuse a token from now on and for ever; ids are as list shows them')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((id: string, { json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const revoked = dataOf(await api.POST('/admin/v1/tokens/{id}/revoke', { params: { path: { id } } }));
        terminal.stdout(
          json
            ? `${JSON.stringify(revoked)}\n`
            : `${id} (${describeOwner(revoked)}) is revoked, and refused from now on\n`,
        );
      }),
    );
  return token;
}

interface ListOptions extends AdminFlags {
  readonly user?: string;
  readonly project?: string;
  readonly group?: string;
  readonly kind?: TokenView['kind'];
  readonly limit: number;
  readonly json?: boolean;
}

function addTokenList(token: Command, terminal: Terminal): void {
  token
    .command('list')
    .description('every token with its owner, prefix, routing, last use and end; never its secret')
    .option('--user <name>', 'personal tokens of this user')
    .option('--project <path>', 'tokens of this project')
    .option('--group <path>', 'tokens of this group')
    .addOption(new Option('--kind <kind>', 'tokens of this kind').choices(TOKEN_KINDS))
    .addOption(limitOption())
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((options: ListOptions) =>
      withAdmin(terminal, options, async (client) => {
        const page = await fetchTokens(client, options);
        terminal.stdout(options.json ? `${JSON.stringify(page)}\n` : printTokens(page.tokens));
        if (page.next === null) return;
        terminal.stderr(
          `these are the first ${page.tokens.length}; for the others use --limit, --kind, --user, --project or --group\n`,
        );
      }),
    );
}

function fetchTokens({ api }: AdminClient, options: ListOptions): Promise<TokenPage> {
  const { user, project, group, kind, limit } = options;
  const filter = {
    ...(user !== undefined && { user }),
    ...(project !== undefined && { project }),
    ...(group !== undefined && { group }),
    ...(kind !== undefined && { kind }),
  };
  return fetchPages(limit, async (place) =>
    dataOf(await api.GET('/admin/v1/tokens', { params: { query: { ...filter, ...place } } })),
  );
}

const HEADER = ['ID', 'KIND', 'OF', 'NAME', 'SCOPES', 'PREFIX', 'ROUTING', 'LAST USED', 'EXPIRES', 'STATE'];

function printTokens(tokens: readonly TokenView[]): string {
  const rows = tokens.map((token) => [
    token.id,
    token.kind,
    describeOwner(token),
    token.name ?? '-',
    token.scopes.join(','),
    token.prefix ?? '-',
    printRouting(token.routing),
    token.last_used_at ?? 'never',
    token.expires_at ?? 'never',
    stateOf(token),
  ]);
  return printTable(HEADER, rows);
}

/** `alice`, `acme/api as developer`, `puller for acme` */
function describeOwner({ kind, username, projects, group, role }: TokenView): string {
  const place = group ?? projects.join(',');
  if (kind === 'personal') return username;
  return kind === 'deploy' ? `${username} for ${place || 'nothing'}` : `${place} as ${role ?? 'nobody'}`;
}

function printRouting(routing: TokenView['routing']): string {
  if (routing === null) return '-';
  return Object.entries(routing)
    .map(([key, value]) => `${key}:${value}`)
    .join(',');
}

function stateOf({ revoked, expires_at }: TokenView): string {
  if (revoked) return 'revoked';
  return expires_at !== null && new Date(expires_at) <= new Date() ? 'expired' : 'active';
}
