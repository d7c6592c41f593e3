import { Command } from 'commander';
import type { AdminTokenBody } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf, withAdmin } from '../client/admin-client.ts';
import { adminUrlOption, type JsonFlags } from '../client/admin-route.ts';
import { printTable } from '../client/table.ts';

interface CreateFlags extends JsonFlags {
  readonly name: string;
  readonly expiresAt?: string;
}

export function adminTokenCommand(terminal: Terminal): Command {
  const adminToken = new Command('admin-token').description('credentials for the admin API over TCP');
  addCreate(adminToken, terminal);
  addList(adminToken, terminal);
  addRevoke(adminToken, terminal);
  return adminToken;
}

function addCreate(adminToken: Command, terminal: Terminal): void {
  const { stdout, stderr } = terminal;
  adminToken
    .command('create')
    .description('make an admin token and print its secret, this once; on the host of the server alone')
    .requiredOption('--name <name>', 'what the record of changes calls whoever uses it')
    .option(
      '--expires-at <date>',
      'when it ends, such as 2027-01-31 or 2027-01-31T12:00:00Z (default: never)',
    )
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ name, expiresAt, json, ...flags }: CreateFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const body = { name, ...(expiresAt !== undefined && { expires_at: expiresAt }) };
        const created = dataOf(await api.POST('/admin/v1/admin-tokens', { body }));
        if (!json)
          stderr(
            `admin token ${created.id} (${created.name}), ${endOf(created)}; its secret is shown this once\n`,
          );
        stdout(json ? `${JSON.stringify(created)}\n` : `${created.token}\n`);
      }),
    );
}

function addList(adminToken: Command, terminal: Terminal): void {
  const { stdout } = terminal;
  adminToken
    .command('list')
    .description('every admin token, without its secret')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const list = dataOf(await api.GET('/admin/v1/admin-tokens'));
        stdout(json ? `${JSON.stringify(list)}\n` : printAdminTokens(list.admin_tokens));
      }),
    );
}

function addRevoke(adminToken: Command, terminal: Terminal): void {
  const { stdout } = terminal;
  adminToken
    .command('revoke <id>')
    .description('refuse an admin token from now on')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((id: string, { json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const params = { path: { id: Number(id) } };
        const revoked = dataOf(await api.POST('/admin/v1/admin-tokens/{id}/revoke', { params }));
        stdout(
          json ? `${JSON.stringify(revoked)}\n` : `${revoked.name} (${revoked.id}): ${endOf(revoked)}\n`,
        );
      }),
    );
}

function printAdminTokens(tokens: readonly AdminTokenBody[]): string {
  const rows = tokens.map((token) => [
    String(token.id),
    token.name,
    endOf(token),
    token.last_used_at ?? 'never',
    token.created_at,
    token.created_by,
  ]);
  return printTable(['ID', 'NAME', 'END', 'LAST USED', 'CREATED', 'BY'], rows);
}

function endOf({ revoked_at, expires_at }: Pick<AdminTokenBody, 'revoked_at' | 'expires_at'>): string {
  if (revoked_at !== null) return `revoked at ${revoked_at}`;
  return expires_at === null ? 'never expires' : `expires at ${expires_at}`;
}
